"""The cluster in memory keeps the rules that the operator meets; the same are held against a real one."""

import pytest

from finetune_operator.kube.client import Client, Propagation
from finetune_operator.kube.errors import AlreadyExistsError, ConflictError, InvalidError, ServerError
from finetune_operator.kube.kinds import CONFIG_MAPS, FINE_TUNE_JOBS, JOBS, PODS, Kind, Object, key_of, uid_of
from tests.support.fake_cluster import FakeCluster, Request

pytestmark = pytest.mark.anyio

KEY = ("ns", "a")


def make(name: str = "a", owner: Object | None = None, **fields: object) -> Object:
    metadata: Object = {"namespace": "ns", "name": name}
    if owner:
        metadata["ownerReferences"] = [{"uid": uid_of(owner), "name": owner["metadata"]["name"], "kind": owner["kind"]}]
    return {"metadata": metadata, **fields}


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


async def test_it_is_a_client(cluster: FakeCluster) -> None:
    client: Client = cluster
    assert await client.get(JOBS, KEY) is None


async def test_create_once(cluster: FakeCluster) -> None:
    made = await cluster.create(CONFIG_MAPS, make(data={"k": "v"}))
    assert (made["apiVersion"], made["kind"]) == ("v1", "ConfigMap")
    with pytest.raises(AlreadyExistsError):
        await cluster.create(CONFIG_MAPS, make())
    named = await cluster.create(CONFIG_MAPS, {"metadata": {"namespace": "ns", "generateName": "x-"}})
    assert named["metadata"]["name"].startswith("x-")


async def test_applying_the_same_again_changes_nothing(cluster: FakeCluster) -> None:
    first = await cluster.apply(JOBS, make(spec={"template": {"a": 1}}))
    assert await cluster.apply(JOBS, make(spec={"template": {"a": 1}})) == first
    assert len(cluster.writes) == 2


async def test_apply_removes_only_what_it_wrote_itself(cluster: FakeCluster) -> None:
    await cluster.apply(CONFIG_MAPS, make(data={"ours": "1", "old": "1"}))
    stored = await cluster.get(CONFIG_MAPS, KEY)
    assert stored is not None
    stored["data"]["theirs"] = "2"
    cluster.add(CONFIG_MAPS, stored)
    applied = await cluster.apply(CONFIG_MAPS, make(data={"ours": "3"}))
    assert applied["data"] == {"ours": "3", "theirs": "2"}
    assert applied["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]


async def test_conditions_are_kept_by_type(cluster: FakeCluster) -> None:
    cluster.add(FINE_TUNE_JOBS, make(spec={}, status={"conditions": [{"type": "Theirs", "status": "True"}]}))
    for status in ("True", "False"):
        stored = await cluster.apply_status(
            FINE_TUNE_JOBS, make(status={"conditions": [{"type": "Ours", "status": status}]})
        )
        assert stored is not None
        assert [c["status"] for c in stored["status"]["conditions"]] == ["True", status]
    stored = await cluster.apply_status(FINE_TUNE_JOBS, make(status={}))
    assert stored is not None
    assert stored["status"] == {"conditions": [{"type": "Theirs", "status": "True"}]}


async def test_status_and_spec_are_written_apart(cluster: FakeCluster) -> None:
    made = await cluster.create(FINE_TUNE_JOBS, make(spec={"a": 1}, status={"phase": "Forged"}))
    assert "status" not in made
    status = await cluster.apply_status(FINE_TUNE_JOBS, make(spec={"a": 2}, status={"phase": "Planning"}))
    assert status is not None
    assert (status["spec"], status["status"]) == ({"a": 1}, {"phase": "Planning"})
    assert status["metadata"]["generation"] == 1
    changed = await cluster.apply(FINE_TUNE_JOBS, make(spec={"a": 3}))
    assert changed["metadata"]["generation"] == 2
    assert changed["status"] == {"phase": "Planning"}


async def test_another_object_of_the_same_name_is_left_alone(cluster: FakeCluster) -> None:
    made = await cluster.create(FINE_TUNE_JOBS, make(spec={}))
    stale = make(status={})
    stale["metadata"]["uid"] = "someone else"
    assert await cluster.apply_status(FINE_TUNE_JOBS, stale) is None
    assert not await cluster.delete(FINE_TUNE_JOBS, KEY, uid="someone else")
    with pytest.raises(ConflictError):
        await cluster.apply(FINE_TUNE_JOBS, stale)
    assert cluster.all_of(FINE_TUNE_JOBS) == [made]
    assert (
        await cluster.apply_status(FINE_TUNE_JOBS, {"metadata": {"namespace": "ns", "name": "b"}, "status": {}}) is None
    )


async def test_replace_needs_the_version_that_was_read(cluster: FakeCluster) -> None:
    made = await cluster.create(CONFIG_MAPS, make(data={"a": "1"}))
    new = await cluster.replace(CONFIG_MAPS, {**made, "data": {"a": "2"}})
    assert new is not None
    assert new["data"] == {"a": "2"}
    with pytest.raises(ConflictError):
        await cluster.replace(CONFIG_MAPS, made)
    cluster.remove(CONFIG_MAPS, KEY)
    assert await cluster.replace(CONFIG_MAPS, new) is None


@pytest.mark.parametrize("propagation", list(Propagation))
async def test_what_is_owned_goes_with_its_owner(cluster: FakeCluster, propagation: Propagation) -> None:
    top = await cluster.create(FINE_TUNE_JOBS, make(spec={}))
    middle = await cluster.create(JOBS, make(owner=top, spec={}))
    await cluster.create(PODS, make(owner=middle, spec={}))
    await cluster.create(PODS, make("other", spec={}))
    assert await cluster.delete(FINE_TUNE_JOBS, KEY, uid=uid_of(top), propagation=propagation)
    assert [cluster.all_of(kind) for kind in (FINE_TUNE_JOBS, JOBS)] == [[], []]
    assert [key_of(pod) for pod in cluster.all_of(PODS)] == [("ns", "other")]


async def test_a_child_of_nobody_does_not_stay(cluster: FakeCluster) -> None:
    owner = await cluster.create(FINE_TUNE_JOBS, make(spec={}))
    cluster.remove(FINE_TUNE_JOBS, KEY)
    await cluster.create(JOBS, make(owner=owner, spec={}))
    assert cluster.all_of(JOBS) == []


async def test_a_finalizer_holds_an_object_until_it_is_taken_off(cluster: FakeCluster) -> None:
    pod = make(spec={})
    pod["metadata"]["finalizers"] = ["batch.kubernetes.io/job-tracking"]
    made = await cluster.create(PODS, pod)
    assert await cluster.delete(PODS, KEY, uid=uid_of(made))
    (held,) = cluster.all_of(PODS)
    assert "deletionTimestamp" in held["metadata"]
    held["metadata"]["finalizers"] = []
    cluster.add(PODS, held)
    assert cluster.all_of(PODS) == []


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (CONFIG_MAPS, {"immutable": True, "data": {"a": "1"}}, {"immutable": True, "data": {"a": "2"}}),
        (JOBS, {"spec": {"template": {"a": 1}}}, {"spec": {"template": {"a": 2}}}),
    ],
)
async def test_what_cannot_be_changed_is_refused(
    cluster: FakeCluster, kind: Kind, before: Object, after: Object
) -> None:
    await cluster.apply(kind, make(**before))
    with pytest.raises(InvalidError):
        await cluster.apply(kind, make(**after))
    assert cluster.all_of(kind)[0] == await cluster.apply(kind, make(**before))


async def test_lists_by_namespace_and_labels(cluster: FakeCluster) -> None:
    for name, labels in (("a", {"app": "x", "tier": "1"}), ("b", {"app": "y"}), ("c", {})):
        cluster.add(PODS, {"metadata": {"namespace": f"ns-{name}", "name": name, "labels": labels}})

    async def names(selector: str, namespace: str = "") -> str:
        pods = await cluster.list_all(PODS, selector=selector, namespace=namespace)
        return "".join(key_of(pod)[1] for pod in pods)

    assert await names("") == "abc"
    assert await names("", "ns-b") == "b"
    assert [await names(s) for s in ("app=x", "app!=x", "app", "!app", "app in (x, y),tier")] == [
        "a",
        "bc",
        "ab",
        "c",
        "a",
    ]


async def test_what_comes_out_is_a_copy(cluster: FakeCluster) -> None:
    made = await cluster.create(CONFIG_MAPS, make(data={"a": "1"}))
    made["data"]["a"] = "2"
    listed = await cluster.list_all(CONFIG_MAPS)
    listed[0]["data"]["a"] = "3"
    assert cluster.all_of(CONFIG_MAPS)[0]["data"] == {"a": "1"}


async def test_faults_and_requests(cluster: FakeCluster) -> None:
    cluster.fail("create", JOBS, ServerError(500), times=2)
    for _ in range(2):
        with pytest.raises(ServerError):
            await cluster.create(JOBS, make(spec={}))
    await cluster.create(JOBS, make(spec={}))
    assert cluster.requests == [Request("create", JOBS, KEY)] * 3


async def test_the_tail_of_a_log(cluster: FakeCluster) -> None:
    assert await cluster.read_log(KEY, "trainer", tail_lines=1, limit_bytes=99) is None
    cluster.add(PODS, make(spec={}))
    cluster.logs["ns", "a", "trainer"] = "one\ntwo\n"
    assert await cluster.read_log(KEY, "trainer", tail_lines=1, limit_bytes=99) == "two\n"
    assert cluster.writes == []


async def test_watchers_are_told_of_every_change(cluster: FakeCluster) -> None:
    seen: list[str] = []
    cluster.watchers.append(lambda kind, change, obj: seen.append(f"{change} {kind.kind} {obj['metadata']['name']}"))
    owner = await cluster.create(FINE_TUNE_JOBS, make(spec={}))
    await cluster.create(JOBS, make("child", owner, spec={}))
    await cluster.apply_status(FINE_TUNE_JOBS, make(status={"phase": "Running"}))
    await cluster.delete(FINE_TUNE_JOBS, KEY, uid=uid_of(owner))
    assert seen == [
        "ADDED FineTuneJob a",
        "ADDED Job child",
        "MODIFIED FineTuneJob a",
        "DELETED FineTuneJob a",
        "DELETED Job child",
    ]
