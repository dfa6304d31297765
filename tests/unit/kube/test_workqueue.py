"""Time is warped: minutes of waiting cost nothing."""

import asyncio
from datetime import timedelta

import pytest

from finetune_operator.kube.kinds import Key
from finetune_operator.kube.metrics import Metrics
from finetune_operator.kube.workqueue import Backoff, WorkQueue
from tests.support.warp_loop import WARPED

pytestmark = pytest.mark.anyio

A, B = ("ns", "a"), ("ns", "b")


@pytest.fixture
def anyio_backend() -> object:
    return WARPED


def make() -> tuple[WorkQueue, Metrics]:
    metrics = Metrics()
    return WorkQueue(metrics), metrics


def now() -> float:
    return round(asyncio.get_running_loop().time(), 3)


async def take(queue: WorkQueue) -> tuple[Key, float]:
    """The next key, and when it came; the work on it takes no time."""
    key = await queue.get()
    queue.done(key)
    return key, now()


async def is_empty(queue: WorkQueue) -> bool:
    try:
        async with asyncio.timeout(3600):
            await queue.get()
    except TimeoutError:
        return True
    return False


async def test_keys_come_in_order_and_once() -> None:
    queue, metrics = make()
    for key in (A, B, A, A):
        queue.add(key)
    assert [await take(queue), await take(queue)] == [(A, 0), (B, 0)]
    assert await is_empty(queue)
    assert metrics.registry.get_sample_value("workqueue_adds_total", {"name": "finetunejob"}) == 2


async def test_a_key_in_work_comes_again_only_when_that_is_done() -> None:
    queue, _ = make()
    queue.add(A)
    assert await queue.get() == A
    queue.add(A)
    queue.add(A)
    queue.add(B)
    assert (await take(queue))[0] == B
    assert await is_empty(queue)
    queue.done(A)
    assert (await take(queue))[0] == A
    assert await is_empty(queue)


async def test_a_key_that_was_not_put_in_again_is_done() -> None:
    queue, _ = make()
    queue.add(A)
    await take(queue)
    assert await is_empty(queue)


async def test_later_means_later_and_the_soonest_holds() -> None:
    queue, _ = make()
    queue.add_after(A, timedelta(seconds=30))
    queue.add_after(A, timedelta(seconds=10))
    queue.add_after(A, timedelta(seconds=20))
    assert await take(queue) == (A, 10)
    assert await is_empty(queue)


async def test_taking_a_key_answers_for_what_was_planned_for_it() -> None:
    queue, _ = make()
    queue.add_after(A, timedelta(seconds=10))
    queue.add(A)
    await take(queue)
    assert await is_empty(queue)


async def test_failures_in_a_row_wait_longer_up_to_a_limit() -> None:
    queue = WorkQueue(Metrics(), Backoff(timedelta(seconds=1), timedelta(seconds=10)))
    waits = []
    for _ in range(6):
        waits.append(queue.add_failed(A).total_seconds())
        await take(queue)
    assert waits == [1, 2, 4, 8, 10, 10]
    assert now() == sum(waits)
    queue.succeeded(A)
    assert queue.add_failed(A).total_seconds() == 1


async def test_failures_of_one_are_nobody_elses() -> None:
    queue, metrics = make()
    for _ in range(3):
        queue.add_failed(A)
    assert queue.add_failed(B).total_seconds() == 1
    assert metrics.registry.get_sample_value("workqueue_retries_total", {"name": "finetunejob"}) == 4


async def test_a_server_that_asks_for_a_longer_wait_gets_it() -> None:
    queue, _ = make()
    assert queue.add_failed(A, timedelta(seconds=7)).total_seconds() == 7


def test_a_thousand_failures_are_no_overflow() -> None:
    assert Backoff().after(1000) == timedelta(minutes=5)


async def test_depth_and_times_are_measured() -> None:
    queue, metrics = make()
    sample = metrics.registry.get_sample_value
    labels = {"name": "finetunejob"}
    queue.add(A)
    queue.add(B)
    await asyncio.sleep(3)
    assert sample("workqueue_depth", labels) == 2
    await queue.get()
    await asyncio.sleep(5)
    assert sample("workqueue_depth", labels) == 1
    assert sample("workqueue_longest_running_processor_seconds", labels) == pytest.approx(5)
    queue.done(A)
    assert queue.longest_work() == 0
    assert sample("workqueue_queue_duration_seconds_sum", labels) == pytest.approx(3)
    assert sample("workqueue_work_duration_seconds_sum", labels) == pytest.approx(5)
