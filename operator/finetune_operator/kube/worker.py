"""Takes keys off the queue and has each looked at; whatever goes wrong is logged, counted and tried again."""

import asyncio
import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Final
from uuid import uuid4

from finetune_operator.kube.errors import ApiError, ConflictError, KubeError
from finetune_operator.kube.kinds import Key
from finetune_operator.kube.metrics import Metrics
from finetune_operator.kube.ports import Reconciler
from finetune_operator.kube.workqueue import WorkQueue

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pass:
    """One look at one object; its id is in every line that is logged meanwhile."""

    key: Key
    id: str


CURRENT: Final[ContextVar[Pass | None]] = ContextVar("pass", default=None)
"""The pass that this task is in."""


def short_ids() -> Callable[[], str]:
    """Ids that no other process uses."""
    process, number = uuid4().hex[:8], count(1)
    return lambda: f"{process}-{next(number)}"


class Workers:
    """A number of workers on one queue."""

    def __init__(self, queue: WorkQueue, reconciler: Reconciler, metrics: Metrics, *, number: int) -> None:
        self._queue = queue
        self._reconciler = reconciler
        self._metrics = metrics
        self._number = number
        self._new_id = short_ids()
        metrics.max_workers.set(number)

    async def run(self) -> None:
        """Work until cancelled; a pass under way is cut off too: the next process starts anew from what is there."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._number):
                group.create_task(self._work(), name=f"worker-{number}")

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            self._metrics.active_workers.inc()
            try:
                with self._metrics.pass_seconds.time():
                    await self._look_at(key)
            finally:
                self._metrics.active_workers.dec()
                self._queue.done(key)

    async def _look_at(self, key: Key) -> None:
        token = CURRENT.set(Pass(key, self._new_id()))
        try:
            again = await self._reconciler.reconcile(key)
        except Exception as e:  # noqa: BLE001  the outermost loop: one object's trouble is nobody else's
            self._failed(key, e)
        else:
            self._queue.succeeded(key)
            self._metrics.passes["success" if again is None else "requeue_after"].inc()
            if again is not None:
                self._queue.add_after(key, again)
        finally:
            CURRENT.reset(token)

    def _failed(self, key: Key, error: Exception) -> None:
        asked = error.retry_after if isinstance(error, ApiError) else None
        delay = self._queue.add_failed(key, asked or timedelta())
        self._metrics.passes["error"].inc()
        self._metrics.pass_errors.inc()
        if isinstance(error, ConflictError):
            # the store was behind; the next pass sees what is there
            _log.info("Seen too late, again in %s s: %s", delay.total_seconds(), error)
        elif isinstance(error, KubeError):
            _log.warning("Tried in vain, again in %s s: %s", delay.total_seconds(), error)
        else:
            _log.error("Failed, again in %s s", delay.total_seconds(), exc_info=error)
