"""Time is warped: minutes of waiting cost nothing."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest

from finetune_operator.kube.errors import ForbiddenError, TransportError
from finetune_operator.kube.kinds import LEASES, Kind, Object
from finetune_operator.kube.lease import Elector, LeaseLostError
from tests.support.fake_cluster import FakeCluster
from tests.support.warp_loop import WARPED

pytestmark = pytest.mark.anyio

LEASE = ("system", "finetune-operator")
START = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def anyio_backend() -> object:
    return WARPED


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


def seconds() -> float:
    return round(asyncio.get_running_loop().time(), 3)


def elector(cluster: FakeCluster, identity: str) -> Elector:
    return Elector(cluster, LEASE, identity, now=lambda: START + timedelta(seconds=seconds()))


def spec(cluster: FakeCluster) -> Object:
    (lease,) = cluster.all_of(LEASES)
    return dict(lease["spec"])


async def lead(one: Elector) -> NoReturn:
    await one.acquire()
    await one.keep()


async def test_the_first_one_leads_at_once(cluster: FakeCluster) -> None:
    one = elector(cluster, "one")
    await one.acquire()
    assert one.is_leader
    assert seconds() == 0
    assert spec(cluster) == {
        "holderIdentity": "one",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-05-01T00:00:00.000000Z",
        "renewTime": "2026-05-01T00:00:00.000000Z",
        "leaseTransitions": 0,
    }


async def test_a_leader_that_renews_is_never_replaced(cluster: FakeCluster) -> None:
    one, two = elector(cluster, "one"), elector(cluster, "two")
    await one.acquire()
    keeping = asyncio.create_task(one.keep())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(600):
            await two.acquire()
    keeping.cancel()
    assert (spec(cluster)["holderIdentity"], spec(cluster)["leaseTransitions"]) == ("one", 0)
    assert spec(cluster)["renewTime"] > "2026-05-01T00:09:55"
    assert spec(cluster)["acquireTime"] == "2026-05-01T00:00:00.000000Z"


async def test_a_silent_leader_is_replaced_after_what_it_promised(cluster: FakeCluster) -> None:
    await elector(cluster, "one").acquire()
    await elector(cluster, "two").acquire()
    assert 15 <= seconds() < 18
    assert (spec(cluster)["holderIdentity"], spec(cluster)["leaseTransitions"]) == ("two", 1)


async def test_a_released_lease_is_taken_at_the_next_look(cluster: FakeCluster) -> None:
    one = elector(cluster, "one")
    await one.acquire()
    await one.release()
    assert not one.is_leader
    assert spec(cluster)["holderIdentity"] == ""
    await elector(cluster, "two").acquire()
    assert seconds() == 0


async def test_releasing_what_another_took_changes_nothing(cluster: FakeCluster) -> None:
    one = elector(cluster, "one")
    await one.acquire()
    await elector(cluster, "two").acquire()
    await one.release()
    assert spec(cluster)["holderIdentity"] == "two"


async def test_a_lease_whose_renewal_was_cut_off_is_released_too(cluster: FakeCluster) -> None:
    one = elector(cluster, "one")
    await one.acquire()
    (lease,) = cluster.all_of(LEASES)
    lease["spec"]["renewTime"] = "2026-05-01T00:00:01.000000Z"
    cluster.add(LEASES, lease)
    await one.release()
    assert spec(cluster)["holderIdentity"] == ""


async def test_losing_it_to_another_is_an_error(cluster: FakeCluster) -> None:
    one = elector(cluster, "one")
    await one.acquire()
    await elector(cluster, "two").acquire()
    with pytest.raises(LeaseLostError, match="taken away"):
        await one.keep()
    assert not one.is_leader


async def test_a_deleted_lease_is_lost(cluster: FakeCluster) -> None:
    one = elector(cluster, "one")
    await one.acquire()
    cluster.remove(LEASES, LEASE)
    with pytest.raises(LeaseLostError):
        await one.keep()


async def test_a_server_away_for_a_while_is_survived(cluster: FakeCluster) -> None:
    cluster.fail("replace", LEASES, TransportError("no answer"), times=3)
    one = elector(cluster, "one")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await lead(one)
    assert one.is_leader


async def test_a_server_away_for_long_ends_it_before_another_may_lead(cluster: FakeCluster) -> None:
    cluster.fail("replace", LEASES, TransportError("no answer"), times=100)
    one = elector(cluster, "one")
    with pytest.raises(LeaseLostError, match="in time"):
        await lead(one)
    assert seconds() < 15
    assert not one.is_leader


class _Silent(FakeCluster):
    """Takes the lease and then never answers again."""

    async def replace(self, kind: Kind, obj: Object) -> Object | None:
        await asyncio.sleep(3600)
        return await super().replace(kind, obj)


async def test_a_server_that_never_answers_ends_it_in_time_too() -> None:
    with pytest.raises(LeaseLostError):
        await lead(elector(_Silent(), "one"))
    assert seconds() < 15


async def test_an_answer_that_was_lost_may_have_renewed_it(cluster: FakeCluster) -> None:
    one = elector(cluster, "one")
    await one.acquire()
    (lease,) = cluster.all_of(LEASES)
    lease["spec"]["renewTime"] = "2026-05-01T00:00:01.000000Z"
    cluster.add(LEASES, lease)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await one.keep()
    assert one.is_leader


async def test_a_missing_right_is_waited_out(cluster: FakeCluster) -> None:
    cluster.fail("get", LEASES, ForbiddenError(403, "Forbidden"), times=4)
    await elector(cluster, "one").acquire()
    assert seconds() == 8


async def test_a_process_that_comes_back_under_its_name_goes_on_leading(cluster: FakeCluster) -> None:
    await elector(cluster, "one").acquire()
    await elector(cluster, "one").acquire()
    assert (seconds(), spec(cluster)["leaseTransitions"]) == (0, 0)
