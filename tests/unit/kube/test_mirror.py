"""Time is warped: minutes of waiting cost nothing."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from finetune_operator.kube.errors import ServerError
from finetune_operator.kube.kinds import (
    CONFIG_MAPS,
    FINE_TUNE_JOBS,
    JOBS,
    NODES,
    PODS,
    RESOURCE_CLAIMS,
    Key,
    Kind,
    Object,
    uid_of,
)
from finetune_operator.kube.metrics import Metrics
from finetune_operator.kube.mirror import SELECTORS, Matters, Mirror, Scope
from finetune_operator.kube.store import DELETED, Store
from finetune_operator.kube.workqueue import WorkQueue
from tests.support.fake_cluster import FakeCluster
from tests.support.warp_loop import WARPED

pytestmark = pytest.mark.anyio

LABELS = {"app.kubernetes.io/managed-by": "finetune-operator"}
A = ("ns", "a")


@pytest.fixture
def anyio_backend() -> object:
    return WARPED


@dataclass
class World:
    cluster: FakeCluster = field(default_factory=FakeCluster)
    store: Store = field(default_factory=Store)
    queue: WorkQueue = field(default_factory=lambda: WorkQueue(Metrics()))

    def mirror(self, scope: Scope | None = None, matters: Matters = lambda *_: True) -> Mirror:
        scope = scope or Scope()
        return Mirror(self.cluster, self.store, self.queue, waits=_waits, scope=scope, matters=matters)

    async def queued(self, seconds: float = 60) -> list[Key]:
        """The keys that come within that time."""
        keys = []
        try:
            async with asyncio.timeout(seconds):
                while True:
                    keys.append(await self.queue.get())
                    self.queue.done(keys[-1])
        except TimeoutError:
            return keys


def _waits(job: Object) -> bool:
    return job.get("status") == {"waits": True}


def make(name: str, owner: Object | None = None, **fields: object) -> Object:
    metadata: Object = {"namespace": "ns", "name": name, "labels": LABELS}
    if owner is not None:
        reference = {"uid": uid_of(owner), "name": owner["metadata"]["name"]}
        metadata["ownerReferences"] = [reference | {k: owner[k] for k in ("apiVersion", "kind")}]
    return {"metadata": metadata, **fields}


def node(**fields: object) -> Object:
    return {"metadata": {"name": "n1"}, **fields}


@pytest.fixture
def world() -> World:
    return World()


async def test_filling_lists_each_kind_once_and_queues_every_job(world: World) -> None:
    job = world.cluster.add(FINE_TUNE_JOBS, make("a", spec={}))
    world.cluster.add(JOBS, make("ours", job, spec={}))
    world.cluster.add(JOBS, {"metadata": {"namespace": "ns", "name": "theirs"}, "spec": {}})
    mirror = world.mirror()
    assert mirror.filled_at is None
    await mirror.fill()
    assert mirror.filled_at == 0
    assert [request.verb for request in world.cluster.requests] == ["list"] * len(SELECTORS)
    assert [obj["metadata"]["name"] for obj in world.store.all_of(JOBS)] == ["ours"]
    assert await world.queued() == [A]


async def test_a_scope_of_namespaces_lists_them_alone_but_whole_what_holds_devices(world: World) -> None:
    await world.mirror(Scope(("x", "y"), (JOBS, PODS, RESOURCE_CLAIMS, NODES))).fill()
    listed = [(r.kind, r.key[0]) for r in world.cluster.requests]
    assert listed == [(JOBS, "x"), (JOBS, "y"), (PODS, ""), (RESOURCE_CLAIMS, ""), (NODES, "")]


@pytest.mark.parametrize("kind", [JOBS, CONFIG_MAPS])
async def test_what_a_job_owns_concerns_it(world: World, kind: Kind) -> None:
    job = world.cluster.add(FINE_TUNE_JOBS, make("a", spec={}))
    mirror = world.mirror()
    mirror.observe(kind, "ADDED", world.cluster.add(kind, make("child", job, spec={})))
    assert await world.queued() == [A]


async def test_a_pod_concerns_the_job_of_its_job(world: World) -> None:
    mirror = world.mirror()
    world.cluster.watchers.append(mirror.observe)
    job = world.cluster.add(FINE_TUNE_JOBS, make("a", spec={}))
    child = world.cluster.add(JOBS, make("child", job, spec={}))
    await world.queued()
    world.cluster.add(PODS, make("pod", child, spec={}))
    assert await world.queued() == [A]


async def test_what_we_have_made_ourselves_is_no_news(world: World) -> None:
    job = world.cluster.add(FINE_TUNE_JOBS, make("a", spec={}))
    child = world.cluster.add(JOBS, make("child", job, spec={}))
    world.store.observe(JOBS, "", child)
    mirror = world.mirror()
    mirror.observe(JOBS, "ADDED", child)
    assert await world.queued() == []
    mirror.observe(JOBS, DELETED, child)
    assert await world.queued() == [A]


async def test_a_status_of_our_own_is(world: World) -> None:
    job = world.cluster.add(FINE_TUNE_JOBS, make("a", spec={}))
    world.store.observe(FINE_TUNE_JOBS, "", job)
    world.mirror().observe(FINE_TUNE_JOBS, "MODIFIED", job)
    assert await world.queued() == [A]


async def test_changes_that_don_t_matter_wake_nobody(world: World) -> None:
    job = world.cluster.add(FINE_TUNE_JOBS, make("a", spec={}))
    mirror = world.mirror(matters=lambda _kind, before, _after: before is None)
    mirror.observe(JOBS, "ADDED", world.cluster.add(JOBS, make("child", job, spec={})))
    assert await world.queued() == [A]
    changed = make("child", job, spec={"suspend": True})
    mirror.observe(JOBS, "MODIFIED", world.cluster.add(JOBS, changed))
    assert await world.queued() == []
    mirror.observe(JOBS, DELETED, world.cluster.add(JOBS, changed))
    assert await world.queued() == [A]


async def test_what_belongs_to_nobody_concerns_nobody(world: World) -> None:
    theirs = world.cluster.add(JOBS, make("theirs", spec={}))
    mirror = world.mirror()
    for kind, obj in ((JOBS, theirs), (PODS, world.cluster.add(PODS, make("pod", theirs, spec={})))):
        mirror.observe(kind, "ADDED", obj)
    assert await world.queued() == []


@pytest.mark.parametrize(
    ("kind", "before", "after", "wakes"),
    [
        pytest.param(PODS, None, make("p", spec={"nodeName": "n1"}), True, id="a pod takes devices"),
        pytest.param(PODS, {"phase": "Running"}, {"phase": "Succeeded"}, True, id="a pod ends"),
        pytest.param(PODS, {"phase": "Pending"}, {"phase": "Running"}, False, id="a pod runs"),
        pytest.param(NODES, {"allocatable": {"gpu": "1"}}, {"allocatable": {"gpu": "2"}}, True, id="devices appear"),
        pytest.param(
            NODES,
            {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "1"}]},
            {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2"}]},
            False,
            id="a heartbeat",
        ),
        pytest.param(
            NODES,
            {"conditions": [{"type": "Ready", "status": "False"}]},
            {"conditions": [{"type": "Ready", "status": "True"}]},
            True,
            id="a node comes back",
        ),
    ],
)
async def test_jobs_that_wait_are_woken_when_what_is_free_may_have_changed(
    world: World, kind: Kind, before: Object | None, after: Object, *, wakes: bool
) -> None:
    mirror = world.mirror()
    for name, status in (("a", {"waits": True}), ("b", {})):
        mirror.observe(FINE_TUNE_JOBS, "ADDED", world.cluster.add(FINE_TUNE_JOBS, make(name, spec={}, status=status)))
    bare = node() if kind == NODES else make("p")
    if before is not None:
        mirror.observe(kind, "ADDED", world.cluster.add(kind, bare | {"status": before}))
    await world.queued()
    changed = world.cluster.add(kind, after if "metadata" in after else bare | {"status": after})
    mirror.observe(kind, "MODIFIED", changed)
    assert await world.queued() == ([A] if wakes else [])


async def test_a_crowd_of_pods_wakes_a_job_once(world: World) -> None:
    mirror = world.mirror()
    job = world.cluster.add(FINE_TUNE_JOBS, make("a", spec={}, status={"waits": True}))
    mirror.observe(FINE_TUNE_JOBS, "ADDED", job)
    await world.queued()
    for number in range(100):
        pod = world.cluster.add(PODS, make(f"p{number}", spec={}))
        mirror.observe(PODS, "ADDED", pod)
        mirror.observe(PODS, DELETED, pod)
    assert await world.queued() == [A]


async def test_who_waits_is_woken_as_long_as_it_waits(world: World) -> None:
    mirror, pod = world.mirror(), world.cluster.add(PODS, make("p", spec={}))
    job = world.cluster.add(FINE_TUNE_JOBS, make("a", spec={}, status={"waits": True}))

    async def woken() -> list[Key]:
        await world.queued()
        mirror.observe(PODS, "ADDED", pod)
        mirror.observe(PODS, DELETED, pod)
        return await world.queued()

    await mirror.fill()
    assert await woken() == [A]
    started = world.cluster.add(FINE_TUNE_JOBS, {**job, "status": {}})
    mirror.observe(FINE_TUNE_JOBS, "MODIFIED", started)
    assert await woken() == []
    waits = world.cluster.add(FINE_TUNE_JOBS, {**started, "status": {"waits": True}})
    mirror.observe(FINE_TUNE_JOBS, "MODIFIED", waits)
    assert await woken() == [A]
    # what an older event says is no news
    mirror.observe(FINE_TUNE_JOBS, "MODIFIED", started)
    assert await woken() == [A]
    world.cluster.remove(FINE_TUNE_JOBS, A)
    mirror.observe(FINE_TUNE_JOBS, DELETED, waits)
    assert await woken() == []


async def test_listeners_hear_of_everything_also_of_what_went_unheard(world: World) -> None:
    heard: list[tuple[str, str]] = []
    mirror = world.mirror()
    mirror.listeners.append(lambda _, change, obj: heard.append((change, obj["metadata"]["name"])))
    mirror.observe(NODES, "ADDED", world.cluster.add(NODES, node()))
    world.cluster.remove(NODES, ("", "n1"))
    world.cluster.add(PODS, make("p", spec={}))
    await mirror.fill()
    assert heard == [("ADDED", "n1"), ("DELETED", "n1"), ("", "p")]


async def test_everything_is_listed_from_time_to_time_also_after_a_failure(world: World) -> None:
    world.cluster.fail("list", FINE_TUNE_JOBS, ServerError(500))
    mirror = world.mirror()
    world.cluster.add(FINE_TUNE_JOBS, make("a", spec={}))
    keeping = asyncio.create_task(mirror.keep_filled(timedelta(minutes=10)))
    assert await world.queued(15 * 60) == []
    assert mirror.filled_at is None
    assert await world.queued(10 * 60) == [A]
    keeping.cancel()
