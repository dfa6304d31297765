"""What was made of objects, kept as long as they are the same: a pass looks at much that hasn't changed."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

Made = TypeVar("Made")

MOST: Final = 2048
"""Objects of which it is kept."""


class Kept(Generic[Made]):
    """Reads an object once for each version of it.

    Args:
        read: makes something of an object.
        version: the field of its metadata that changes whenever what is read of it does.
        most: objects of which it is kept; who was looked at longest ago is forgotten.
    """

    def __init__(self, read: Callable[[Mapping[str, Any]], Made], version: str, most: int = MOST) -> None:
        self._read = read
        self._version = version
        self._most = most
        self._kept: OrderedDict[str, tuple[Any, Made]] = OrderedDict()

    def __call__(self, found: Mapping[str, Any]) -> Made:
        """As `read`; an object that says no version is read each time."""
        uid, version = found["metadata"]["uid"], found["metadata"].get(self._version)
        known = self._kept.get(uid)
        if known is not None and version and known[0] == version:
            self._kept.move_to_end(uid)
            return known[1]
        made = self._read(found)
        self._kept[uid] = version, made
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return made
