"""An event loop in which waiting takes no time: where every task waits for the clock, the clock goes on at once."""

import asyncio
import selectors
from typing import Any


class WarpLoop(asyncio.SelectorEventLoop):
    """Starts at second 0; for tests without sockets and threads."""

    def __init__(self) -> None:
        self._seconds = 0.0
        super().__init__(_WarpSelector(self))

    def time(self) -> float:
        return self._seconds

    def pass_by(self, seconds: float) -> None:
        """Let that much time pass."""
        # a hair more, so that a timer is due and isn't missed by the last binary digit
        self._seconds += seconds + 1e-9


class _WarpSelector(selectors.DefaultSelector):
    def __init__(self, loop: WarpLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, Any]]:
        events = super().select(None if timeout is None else 0)
        if not events and timeout:
            self._loop.pass_by(timeout)
        return events


WARPED = ("asyncio", {"loop_factory": WarpLoop})
"""What the fixture anyio_backend gives where a test's time is to be warped."""
