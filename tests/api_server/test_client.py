"""The client, and the cluster in memory beside it, hold against a real API server; one body of tests for both."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from finetune_operator.kube import connection
from finetune_operator.kube.client import Client, Propagation
from finetune_operator.kube.errors import (
    AlreadyExistsError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    TransportError,
)
from finetune_operator.kube.kinds import (
    CONFIG_MAPS,
    JOBS,
    LEASES,
    PODS,
    RESOURCE_SLICES,
    Key,
    Kind,
    Object,
    key_of,
    uid_of,
)
from finetune_operator.kube.rest import RestClient
from tests.support.fake_cluster import FakeCluster
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.kubectl import Kubectl

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def rest(kubectl: Kubectl) -> AsyncIterator[RestClient]:
    client = RestClient((await connection.load(kubectl.kubeconfig, None)).configuration)
    yield client
    await client.close()


@pytest.fixture(params=["real", "fake"])
def client(request: pytest.FixtureRequest, rest: RestClient) -> Client:
    return rest if request.param == "real" else FakeCluster()


def config_map(namespace: str, name: str = "a", **fields: object) -> Object:
    return {"metadata": {"namespace": namespace, "name": name}, **fields}


def job(namespace: str, image: str = "none") -> Object:
    """A Job that waits: nobody makes its pods."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}
    return {"metadata": {"namespace": namespace, "name": "a"}, "spec": {"suspend": True, "template": {"spec": pod}}}


async def gone(client: Client, kind: Kind, key: Key) -> None:
    """Wait until garbage is collected."""
    async with asyncio.timeout(60):
        while await client.get(kind, key) is not None:  # noqa: ASYNC110  asked for, not told
            await asyncio.sleep(0.1)


async def test_what_is_not_there(client: Client, namespace: str) -> None:
    assert await client.get(CONFIG_MAPS, (namespace, "a")) is None
    assert not await client.delete(CONFIG_MAPS, (namespace, "a"), uid="none")
    assert await client.apply_status(JOBS, job(namespace) | {"status": {"ready": 1}}) is None
    assert await client.read_log((namespace, "a"), "main", tail_lines=1, limit_bytes=10) is None


@pytest.mark.parametrize("kind", [CONFIG_MAPS, LEASES])
async def test_what_is_gone_is_not_replaced(client: Client, namespace: str, kind: Kind) -> None:
    made = await client.create(kind, config_map(namespace))
    assert await client.delete(kind, key_of(made), uid=uid_of(made))
    assert await client.replace(kind, made) is None
    assert await client.get(kind, key_of(made)) is None


async def test_create_once(client: Client, namespace: str) -> None:
    made = await client.create(CONFIG_MAPS, config_map(namespace, data={"k": "v"}))
    assert (made["apiVersion"], made["kind"], made["data"]) == ("v1", "ConfigMap", {"k": "v"})
    with pytest.raises(AlreadyExistsError):
        await client.create(CONFIG_MAPS, config_map(namespace))


async def test_applying_the_same_again_changes_nothing(client: Client, namespace: str) -> None:
    first = await client.apply(CONFIG_MAPS, config_map(namespace, data={"a": "1"}))
    assert await client.apply(CONFIG_MAPS, config_map(namespace, data={"a": "1"})) == first


async def test_apply_removes_what_is_wanted_no_more(client: Client, namespace: str) -> None:
    await client.apply(CONFIG_MAPS, config_map(namespace, data={"a": "1", "b": "1"}))
    applied = await client.apply(CONFIG_MAPS, config_map(namespace, data={"a": "2"}))
    assert applied["data"] == {"a": "2"}


async def test_status_is_written_alone_and_whole(client: Client, namespace: str) -> None:
    made = await client.apply(JOBS, job(namespace))
    version = made["metadata"]["resourceVersion"]
    status = job(namespace) | {"status": {"ready": 1, "active": 2}}
    first = await client.apply_status(JOBS, status)
    assert first is not None
    assert (first["status"]["ready"], first["status"]["active"]) == (1, 2)
    assert first["metadata"]["resourceVersion"] != version
    assert await client.apply_status(JOBS, status) == first
    second = await client.apply_status(JOBS, job(namespace) | {"status": {"ready": 0}})
    assert second is not None
    assert "active" not in second["status"]
    assert second["metadata"]["generation"] == made["metadata"]["generation"]


async def test_another_object_of_the_same_name_is_left_alone(client: Client, namespace: str) -> None:
    made = await client.apply(JOBS, job(namespace))
    stale = job(namespace) | {"status": {"ready": 1}}
    stale["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    assert await client.apply_status(JOBS, stale) is None
    assert not await client.delete(JOBS, key_of(made), uid=uid_of(stale))
    with pytest.raises(ConflictError):
        await client.apply(JOBS, stale)
    stale["metadata"]["name"] = "not-there"
    with pytest.raises(ConflictError):
        await client.apply(JOBS, stale)
    now = await client.get(JOBS, key_of(made))
    assert now is not None
    assert uid_of(now) == uid_of(made)
    assert not (now.get("status") or {}).get("ready")


async def test_replace_needs_the_version_that_was_read(client: Client, namespace: str) -> None:
    made = await client.create(CONFIG_MAPS, config_map(namespace, data={"a": "1"}))
    new = await client.replace(CONFIG_MAPS, {**made, "data": {"a": "2"}})
    assert new is not None
    assert new["data"] == {"a": "2"}
    with pytest.raises(ConflictError):
        await client.replace(CONFIG_MAPS, {**made, "data": {"a": "3"}})


@pytest.mark.parametrize("propagation", list(Propagation))
async def test_what_is_owned_goes_with_its_owner(client: Client, namespace: str, propagation: Propagation) -> None:
    owner = await client.create(CONFIG_MAPS, config_map(namespace, "owner"))
    child = config_map(namespace, "child")
    child["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid_of(owner), "blockOwnerDeletion": True}
    ]
    made = await client.apply(CONFIG_MAPS, child)
    assert await client.delete(CONFIG_MAPS, key_of(owner), uid=uid_of(owner), propagation=propagation)
    await gone(client, CONFIG_MAPS, key_of(made))
    await gone(client, CONFIG_MAPS, key_of(owner))


async def test_a_finalizer_holds_an_object(client: Client, namespace: str) -> None:
    held = config_map(namespace)
    held["metadata"]["finalizers"] = ["example.com/held"]
    made = await client.create(CONFIG_MAPS, held)
    assert await client.delete(CONFIG_MAPS, key_of(made), uid=uid_of(made))
    now = await client.get(CONFIG_MAPS, key_of(made))
    assert now is not None
    assert "deletionTimestamp" in now["metadata"]
    now["metadata"]["finalizers"] = []
    await client.replace(CONFIG_MAPS, now)
    assert await client.get(CONFIG_MAPS, key_of(made)) is None


async def test_what_cannot_be_changed_is_refused(client: Client, namespace: str) -> None:
    await client.apply(JOBS, job(namespace))
    with pytest.raises(InvalidError, match="field is immutable"):
        await client.apply(
            JOBS,
            job(namespace, image="another")
            | {"spec": {**job(namespace, image="another")["spec"], "completions": 3, "completionMode": "Indexed"}},
        )
    await client.apply(CONFIG_MAPS, config_map(namespace, immutable=True, data={"a": "1"}))
    with pytest.raises(InvalidError, match="field is immutable"):
        await client.apply(CONFIG_MAPS, config_map(namespace, immutable=True, data={"a": "2"}))


async def test_lists_by_labels(client: Client, namespace: str) -> None:
    for name, labels in (("a", {"app": "x"}), ("b", {"app": "y"}), ("c", {"other": "x"})):
        obj = config_map(namespace, name)
        obj["metadata"]["labels"] = labels
        await client.create(CONFIG_MAPS, obj)

    async def names(selector: str) -> str:
        found = await client.list_all(CONFIG_MAPS, namespace=namespace, selector=selector)
        assert all((obj["apiVersion"], obj["kind"]) == ("v1", "ConfigMap") for obj in found)
        return "".join(sorted(key_of(obj)[1] for obj in found if key_of(obj)[1] in "abc"))

    selectors = ("", "app=x", "app!=x", "app", "!app", "app in (x,y)", "app,app notin (x)")
    assert [await names(s) for s in selectors] == ["abc", "a", "bc", "ab", "c", "ab", "b"]


async def test_a_list_longer_than_a_page_is_whole(
    rest: RestClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_operator.kube.rest.PAGE", 2)
    for number in range(5):
        await rest.create(CONFIG_MAPS, config_map(namespace, f"n{number}"))
    found = await rest.list_all(CONFIG_MAPS, namespace=namespace)
    assert {f"n{number}" for number in range(5)} <= {key_of(obj)[1] for obj in found}


async def test_a_field_of_another_writer_stays(rest: RestClient, kubectl: Kubectl, namespace: str) -> None:
    await rest.apply(CONFIG_MAPS, config_map(namespace, data={"ours": "1", "old": "1"}))
    kubectl.run("patch", "configmap", "a", "-n", namespace, "-p", '{"data": {"theirs": "2"}}')
    applied = await rest.apply(CONFIG_MAPS, config_map(namespace, data={"ours": "3"}))
    assert applied["data"] == {"ours": "3", "theirs": "2"}
    managers = {entry["manager"]: entry["operation"] for entry in applied["metadata"]["managedFields"]}
    assert managers["finetune-operator"] == "Apply"


async def test_our_fields_are_ours_again_whoever_changed_them(
    rest: RestClient, kubectl: Kubectl, namespace: str
) -> None:
    await rest.apply(CONFIG_MAPS, config_map(namespace, data={"ours": "1"}))
    kubectl.run("patch", "configmap", "a", "-n", namespace, "-p", '{"data": {"ours": "2"}}')
    assert (await rest.apply(CONFIG_MAPS, config_map(namespace, data={"ours": "1"})))["data"] == {"ours": "1"}


async def test_a_pod_that_is_nowhere_has_no_log(rest: RestClient, namespace: str) -> None:
    pod = job(namespace)["spec"]["template"]["spec"] | {"schedulingGates": [{"name": "example.com/never"}]}
    await rest.create(PODS, config_map(namespace, spec=pod))
    assert not await rest.read_log((namespace, "a"), "main", tail_lines=1, limit_bytes=10)


async def test_a_namespace_that_is_not_there_or_goes(rest: RestClient, kubectl: Kubectl) -> None:
    namespace = f"going-{uuid.uuid4().hex[:8]}"
    kubectl.make_namespace(namespace)
    with pytest.raises(NotFoundError):
        await rest.create(CONFIG_MAPS, config_map("not-there"))
    held = config_map(namespace)
    held["metadata"]["finalizers"] = ["example.com/held"]
    made = await rest.create(CONFIG_MAPS, held)
    kubectl.run("delete", "namespace", namespace, "--wait=false")
    with pytest.raises(ForbiddenError) as caught:
        await rest.create(CONFIG_MAPS, config_map(namespace, "late"))
    assert caught.value.is_terminating
    async with asyncio.timeout(60):
        while (now := await rest.get(CONFIG_MAPS, key_of(made))) is not None:
            await rest.replace(CONFIG_MAPS, {**now, "metadata": {**now["metadata"], "finalizers": []}})


async def test_a_missing_right_is_told_from_a_missing_object(
    control_plane: ControlPlane, kubectl: Kubectl, namespace: str
) -> None:
    kubectl.run("create", "serviceaccount", "nobody", "-n", namespace)
    nobody = control_plane.kubectl_of_service_account("nobody", namespace=namespace)
    client = RestClient((await connection.load(nobody.kubeconfig, None)).configuration)
    with pytest.raises(ForbiddenError, match="cannot get resource"):
        await client.get(CONFIG_MAPS, (namespace, "a"))
    await client.close()


async def test_kinds_that_are_served(rest: RestClient) -> None:
    unknown = Kind("example.com", "v1", "things", "Thing")
    future = Kind("batch", "v9", "jobs", "Job")
    answers = [await rest.serves(kind) for kind in (JOBS, CONFIG_MAPS, RESOURCE_SLICES, unknown, future)]
    assert answers == [True, True, True, False, False]


async def test_a_server_that_is_away_is_told_from_a_refusal(control_plane: ControlPlane, rest: RestClient) -> None:
    control_plane.stop_api_server()
    try:
        with pytest.raises(TransportError):
            await rest.get(CONFIG_MAPS, ("default", "a"))
    finally:
        control_plane.start_api_server()
    assert await rest.get(CONFIG_MAPS, ("default", "a")) is None
