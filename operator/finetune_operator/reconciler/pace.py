"""How often something is done for one object, however often the object is looked at."""

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final

MOST: Final = 4096
"""Objects that are remembered."""


class Pace:
    """Allows one thing at a time; what it has forgotten it allows once more."""

    def __init__(self, every: timedelta, most: int = MOST) -> None:
        self._every = every
        self._most = most
        self._last: OrderedDict[str, datetime] = OrderedDict()

    def allows(self, uid: str, now: datetime) -> bool:
        """Whether it is time for that object again; if so, it counts as done."""
        last = self._last.get(uid)
        if last is not None and now - last < self._every:
            return False
        self._last[uid] = now
        self._last.move_to_end(uid)
        if len(self._last) > self._most:
            self._last.popitem(last=False)
        return True
