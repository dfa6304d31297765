"""Which objects want to be looked at: each at most once at a time, again after a failure, later where asked."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from finetune_operator.kube.kinds import Key
from finetune_operator.kube.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a key waits after each failure in a row."""

    first: timedelta = timedelta(seconds=1)
    """After the first failure; doubled after each one more."""
    longest: timedelta = timedelta(minutes=5)
    """Never longer than this: what was down comes back."""

    def after(self, failures: int) -> timedelta:
        """The wait after so many failures in a row."""
        doublings = min(failures - 1, 20)
        return min(self.longest, self.first * (1 << doublings))


DEFAULT_BACKOFF: Final = Backoff()
"""1 s, 2 s, 4 s … 5 min."""


class WorkQueue:
    """Keys in the order in which they came, without doubles.

    A key that is put in while it is being worked on comes again when that is done. Times are those of the event loop.
    """

    def __init__(self, metrics: Metrics, backoff: Backoff = DEFAULT_BACKOFF) -> None:
        self._metrics = metrics
        self._backoff = backoff
        self._waiting: asyncio.Queue[Key] = asyncio.Queue()
        self._since: dict[Key, float] = {}
        """When each key was put in; also those that wait until their work is done."""
        self._started: dict[Key, float] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        metrics.depth.set_function(self._waiting.qsize)
        metrics.longest_running.set_function(self.longest_work)

    def add(self, key: Key) -> None:
        """Look at it as soon as somebody is free."""
        if key in self._since:
            return
        self._metrics.adds.inc()
        self._since[key] = _now()
        if key not in self._started:
            self._waiting.put_nowait(key)

    def add_after(self, key: Key, delay: timedelta) -> None:
        """Look at it no later than that; of several times the soonest holds."""
        at = _now() + delay.total_seconds()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= at:
                return
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_at(at, self._ring, key)

    def add_failed(self, key: Key, at_least: timedelta = timedelta()) -> timedelta:
        """Try it again after a wait that grows with each failure in a row; says how long."""
        self._failures[key] = self._failures.get(key, 0) + 1
        delay = max(self._backoff.after(self._failures[key]), at_least)
        self._metrics.retries.inc()
        self.add_after(key, delay)
        return delay

    def succeeded(self, key: Key) -> None:
        """Forget its failures."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """The next key; the caller says done() when it is.

        Whoever takes a key answers for what was planned for it, too: a time set before is dropped.
        """
        key = await self._waiting.get()
        self._started[key] = _now()
        self._metrics.queue_seconds.observe(self._started[key] - self._since.pop(key))
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        return key

    def done(self, key: Key) -> None:
        """The work is done; if it was put in meanwhile, it comes again now."""
        self._metrics.work_seconds.observe(_now() - self._started.pop(key))
        if key in self._since:
            self._waiting.put_nowait(key)

    def longest_work(self) -> float:
        """Seconds since the oldest work under way began; 0 where there is none."""
        return _now() - min(self._started.values()) if self._started else 0.0

    def _ring(self, key: Key) -> None:
        del self._timers[key]
        self.add(key)


def _now() -> float:
    return asyncio.get_running_loop().time()
