"""The election against a real API server, with a shorter lease than in production."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from finetune_operator.kube import connection
from finetune_operator.kube.kinds import LEASES, Object
from finetune_operator.kube.lease import Elector, LeaseLostError, Timing
from finetune_operator.kube.rest import RestClient
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.kubectl import Kubectl

pytestmark = pytest.mark.anyio

TIMING = Timing(duration=timedelta(seconds=3), deadline=timedelta(seconds=2), period=timedelta(milliseconds=200))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def client(kubectl: Kubectl) -> AsyncIterator[RestClient]:
    rest = RestClient((await connection.load(kubectl.kubeconfig, None)).configuration)
    yield rest
    await rest.close()


def now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def elector(client: RestClient, namespace: str, identity: str) -> Elector:
    return Elector(client, (namespace, "lease"), identity, now=now, timing=TIMING)


async def spec(client: RestClient, namespace: str) -> Object:
    lease = await client.get(LEASES, (namespace, "lease"))
    assert lease is not None
    return dict(lease["spec"])


async def test_of_many_one_leads_and_one_takes_over(client: RestClient, namespace: str) -> None:
    electors = [elector(client, namespace, f"p{number}") for number in range(5)]
    tasks = [asyncio.create_task(each.acquire()) for each in electors]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    leaders = [each for each in electors if each.is_leader]
    assert len(leaders) == 1
    keeping = asyncio.create_task(leaders[0].keep())
    done, _ = await asyncio.wait(tasks, timeout=2 * TIMING.duration.total_seconds())
    assert len(done) == 1
    keeping.cancel()
    await asyncio.wait([keeping])
    await leaders[0].release()
    async with asyncio.timeout(30):
        while sum(each.is_leader for each in electors) == 0:  # noqa: ASYNC110  polled, with a deadline
            await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (await spec(client, namespace))["leaseTransitions"] == 1


async def test_a_silent_leader_is_replaced_and_learns_of_it(client: RestClient, namespace: str) -> None:
    one, two = elector(client, namespace, "one"), elector(client, namespace, "two")
    await one.acquire()
    async with asyncio.timeout(30):
        await two.acquire()
    assert (await spec(client, namespace))["holderIdentity"] == "two"
    with pytest.raises(LeaseLostError):
        await one.keep()


async def test_a_leader_without_an_api_server_ends(
    control_plane: ControlPlane, client: RestClient, namespace: str
) -> None:
    one = elector(client, namespace, "one")
    await one.acquire()
    control_plane.stop_api_server()
    try:
        with pytest.raises(LeaseLostError, match="in time"):
            async with asyncio.timeout(30):
                await one.keep()
    finally:
        control_plane.start_api_server()


async def test_what_kubectl_shows(client: RestClient, kubectl: Kubectl, namespace: str) -> None:
    await elector(client, namespace, "one").acquire()
    assert "one" in kubectl.run("get", "lease", "lease", "-n", namespace)
