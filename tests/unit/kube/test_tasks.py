import asyncio

import pytest

from finetune_operator.kube.tasks import first_end

pytestmark = pytest.mark.anyio


async def _for_ever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        # a bit of work at the end, which is waited for
        await asyncio.sleep(0)
        ended.append("cleaned up")


async def _fails() -> None:
    await asyncio.sleep(0)
    raise ValueError("first")


async def test_the_first_failure_ends_all_and_is_raised() -> None:
    ended: list[str] = []
    with pytest.raises(ValueError, match="first"):
        await first_end(_for_ever(ended), _fails())
    assert ended == ["cleaned up"]


async def test_the_first_success_ends_all() -> None:
    ended: list[str] = []
    await first_end(asyncio.sleep(0), _for_ever(ended))
    assert ended == ["cleaned up"]


async def test_cancelling_it_cancels_all() -> None:
    ended: list[str] = []
    task = asyncio.create_task(first_end(_for_ever(ended), _for_ever(ended)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cleaned up"] * 2
