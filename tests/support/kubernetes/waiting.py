"""Polls with a deadline."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

PAUSE_SECONDS: Final = 0.1
"""Between two looks."""


def wait_for(look: Callable[[], T | None], what: str, *, seconds: float = 60.0) -> T:
    """Look until there is something that counts as true, and return it.

    Raises:
        TimeoutError: names `what` was waited for, and what was seen last.
    """
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s; last seen: {seen!r}")
        time.sleep(PAUSE_SECONDS)
