"""Time is warped: minutes of waiting cost nothing."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from finetune_operator.kube.errors import ConflictError, TooManyRequestsError, TransportError
from finetune_operator.kube.kinds import Key
from finetune_operator.kube.metrics import Metrics
from finetune_operator.kube.worker import CURRENT, Workers
from finetune_operator.kube.workqueue import WorkQueue
from tests.support.warp_loop import WARPED

pytestmark = pytest.mark.anyio

A, B = ("ns", "a"), ("ns", "b")
Look = Callable[[Key], Awaitable[timedelta | None]]


@pytest.fixture
def anyio_backend() -> object:
    return WARPED


def now() -> float:
    return round(asyncio.get_running_loop().time(), 3)


class Scripted:
    """Answers look after look what it was given, then None."""

    def __init__(self, *answers: timedelta | Exception | None) -> None:
        self.answers = list(answers)
        self.looks: list[tuple[Key, float]] = []

    async def reconcile(self, key: Key) -> timedelta | None:
        self.looks.append((key, now()))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


class Slow:
    """Takes ten seconds a look."""

    def __init__(self) -> None:
        self.under_way: list[Key] = []
        self.most = 0
        self.ids: list[str] = []

    async def reconcile(self, key: Key) -> timedelta | None:
        assert key not in self.under_way
        self.under_way.append(key)
        self.most = max(self.most, len(self.under_way))
        await asyncio.sleep(10)
        self.under_way.remove(key)
        current = CURRENT.get()
        assert current is not None
        assert current.key == key
        self.ids.append(current.id)
        return None


async def work(reconciler: Scripted | Slow, *keys: Key, number: int = 1, seconds: float = 3600) -> Metrics:
    metrics = Metrics()
    queue = WorkQueue(metrics)
    for key in keys:
        queue.add(key)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await Workers(queue, reconciler, metrics, number=number).run()
    return metrics


def passes(metrics: Metrics, result: str) -> float | None:
    labels = {"controller": "finetunejob", "result": result}
    return metrics.registry.get_sample_value("controller_runtime_reconcile_total", labels)


async def test_each_key_is_looked_at_once() -> None:
    reconciler = Scripted()
    metrics = await work(reconciler, A, B)
    assert reconciler.looks == [(A, 0), (B, 0)]
    assert (passes(metrics, "success"), passes(metrics, "error")) == (2, 0)


async def test_again_when_it_is_asked_for() -> None:
    reconciler = Scripted(timedelta(seconds=15), timedelta(seconds=60))
    metrics = await work(reconciler, A)
    assert reconciler.looks == [(A, 0), (A, 15), (A, 75)]
    assert passes(metrics, "requeue_after") == 2


async def test_failures_are_tried_again_and_success_forgets_them(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reconciler = Scripted(ValueError("bug"), TransportError("no answer"), None)
    metrics = await work(reconciler, A)
    assert [at for _, at in reconciler.looks] == [0, 1, 3]
    assert (passes(metrics, "error"), passes(metrics, "success")) == (2, 1)
    levels = [(record.levelname, record.exc_info is not None) for record in caplog.records]
    assert levels == [("ERROR", True), ("WARNING", False)]


async def test_a_conflict_is_no_alarm(caplog: pytest.LogCaptureFixture) -> None:
    await work(Scripted(ConflictError(409, "Conflict")), A)
    assert caplog.records == []


async def test_a_busy_server_is_left_alone_for_as_long_as_it_asks() -> None:
    reconciler = Scripted(TooManyRequestsError(429, retry_after=timedelta(seconds=40)))
    await work(reconciler, A)
    assert [at for _, at in reconciler.looks] == [0, 40]


async def test_workers_work_beside_each_other_but_never_on_the_same() -> None:
    reconciler = Slow()
    await work(reconciler, *((("ns", str(number))) for number in range(6)), number=3)
    assert reconciler.most == 3
    assert len(set(reconciler.ids)) == 6
