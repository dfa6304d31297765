"""What goes over the wire, and what comes of every kind of answer."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from finetune_operator.kube.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    TooManyRequestsError,
    TransportError,
)
from finetune_operator.kube.kinds import FINE_TUNE_JOBS, JOBS, LEASES, NODES, PODS
from finetune_operator.kube.rest import RestClient
from tests.support.api_stub import Stub, client_of, stub_server

pytestmark = pytest.mark.anyio

KEY = ("ns", "a")
JOB = {"metadata": {"namespace": "ns", "name": "a"}, "spec": {"completions": None}}
BASE = "/apis/batch/v1/namespaces/ns/jobs"
MINE = {"metadata": {"uid": "u1", "name": "a", "namespace": "ns"}}
NOT_FOUND = {"reason": "NotFound"}


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with stub_server() as server:
        yield server


@pytest.fixture
async def client(stub: Stub) -> AsyncIterator[RestClient]:
    async with client_of(stub) as rest:
        yield rest


async def test_get_names_the_object_and_says_who_asks(stub: Stub, client: RestClient) -> None:
    stub.will(MINE)
    assert await client.get(JOBS, KEY) == MINE
    (call,) = stub.calls
    assert (call.method, call.path, call.query, call.body) == ("GET", f"{BASE}/a", {}, None)
    assert call.headers["authorization"] == "Bearer secret"
    assert call.headers["user-agent"].startswith("finetune-operator/")


async def test_what_is_not_there_is_none(stub: Stub, client: RestClient) -> None:
    stub.will(NOT_FOUND, 404)
    assert await client.get(NODES, ("", "n1")) is None
    assert stub.calls[0].path == "/api/v1/nodes/n1"


async def test_a_list_is_read_page_by_page_and_each_entry_says_what_it_is(stub: Stub, client: RestClient) -> None:
    stub.will({"metadata": {"continue": "page 2"}, "items": [{"metadata": {"name": "a"}}]})
    stub.will({"metadata": {}, "items": [{"metadata": {"name": "b"}}]})
    pods = await client.list_all(PODS, selector="app=x")
    assert pods == [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}} for name in "ab"]
    assert [call.query for call in stub.calls] == [
        {"limit": "500", "labelSelector": "app=x"},
        {"limit": "500", "labelSelector": "app=x", "continue": "page 2"},
    ]
    assert stub.calls[0].path == "/api/v1/pods"


async def test_a_list_of_one_namespace_may_be_empty(stub: Stub, client: RestClient) -> None:
    stub.will({"metadata": {}, "items": None})
    assert await client.list_all(JOBS, namespace="ns") == []
    assert stub.calls[0].path == BASE


async def test_apply_is_server_side_by_one_manager_and_forced(stub: Stub, client: RestClient) -> None:
    stub.will(MINE)
    assert await client.apply(JOBS, JOB) == MINE
    (call,) = stub.calls
    assert (call.method, call.path) == ("PATCH", f"{BASE}/a")
    assert call.query == {"fieldManager": "finetune-operator", "force": "true"}
    assert call.headers["content-type"] == "application/apply-patch+yaml"
    # null stays: in a request it says that the field is to be empty
    assert call.body == {"apiVersion": "batch/v1", "kind": "Job", **JOB}


async def test_a_status_goes_alone_and_only_to_the_object_that_was_seen(stub: Stub, client: RestClient) -> None:
    seen = {**MINE, "spec": {"a": 1}, "status": {"phase": "Running"}}
    seen["metadata"] = {**MINE["metadata"], "resourceVersion": "5", "labels": {"a": "b"}}
    stub.will(seen)
    assert await client.apply_status(FINE_TUNE_JOBS, seen) == seen
    (call,) = stub.calls
    assert call.path == "/apis/finetune-operator.dev/v1alpha1/namespaces/ns/finetunejobs/a/status"
    assert call.body == {
        "apiVersion": "finetune-operator.dev/v1alpha1",
        "kind": "FineTuneJob",
        **MINE,
        "status": {"phase": "Running"},
    }


async def test_the_status_of_what_is_gone_is_nothing_to_write(stub: Stub, client: RestClient) -> None:
    status = {**MINE, "status": {}}
    stub.will(NOT_FOUND, 404)
    assert await client.apply_status(FINE_TUNE_JOBS, status) is None
    for another in ({"metadata": {"uid": "u2"}}, None):
        stub.will({"reason": "Conflict"}, 409)
        stub.will(another or NOT_FOUND, 200 if another else 404)
        assert await client.apply_status(FINE_TUNE_JOBS, status) is None


async def test_a_uid_that_is_gone_is_a_conflict_also_where_the_server_calls_it_invalid(
    stub: Stub, client: RestClient
) -> None:
    stub.will({"reason": "Invalid"}, 422)
    stub.will({"metadata": {"uid": "u2"}})
    with pytest.raises(ConflictError):
        await client.apply(JOBS, MINE)
    stub.will({"reason": "Invalid"}, 422)
    stub.will(MINE)
    with pytest.raises(InvalidError):
        await client.apply(JOBS, MINE)


async def test_a_conflict_over_the_object_itself_is_raised(stub: Stub, client: RestClient) -> None:
    stub.will({"reason": "Conflict"}, 409)
    stub.will(MINE)
    with pytest.raises(ConflictError):
        await client.apply_status(FINE_TUNE_JOBS, {**MINE, "status": {}})


async def test_create_posts_to_the_collection(stub: Stub, client: RestClient) -> None:
    stub.will(MINE, 201)
    assert await client.create(JOBS, JOB) == MINE
    assert (stub.calls[0].method, stub.calls[0].path) == ("POST", BASE)


async def test_creating_in_a_namespace_that_is_not_there_is_an_error(stub: Stub, client: RestClient) -> None:
    stub.will(NOT_FOUND, 404)
    with pytest.raises(NotFoundError):
        await client.create(JOBS, JOB)


async def test_replace_puts_the_whole_object(stub: Stub, client: RestClient) -> None:
    lease = {"metadata": {"namespace": "ns", "name": "l", "resourceVersion": "3"}, "spec": {}}
    stub.will(lease)
    assert await client.replace(LEASES, lease) == lease
    assert (stub.calls[0].method, stub.calls[0].body) == ("PUT", lease)
    stub.will(NOT_FOUND, 404)
    assert await client.replace(LEASES, lease) is None
    stub.will({"reason": "Conflict"}, 409)
    stub.will(NOT_FOUND, 404)
    assert await client.replace(LEASES, lease) is None
    stub.will({"reason": "Conflict"}, 409)
    stub.will(lease)
    with pytest.raises(ConflictError):
        await client.replace(LEASES, lease)


async def test_delete_means_one_very_object(stub: Stub, client: RestClient) -> None:
    stub.will({"kind": "Status"})
    assert await client.delete(JOBS, KEY, uid="u1")
    assert stub.calls[0].body == {"preconditions": {"uid": "u1"}, "propagationPolicy": "Background"}
    stub.will(NOT_FOUND, 404)
    assert not await client.delete(JOBS, KEY, uid="u1")
    stub.will({"reason": "Conflict"}, 409)
    stub.will({"metadata": {"uid": "u2"}})
    assert not await client.delete(JOBS, KEY, uid="u1")


async def test_the_tail_of_a_log(stub: Stub, client: RestClient) -> None:
    stub.will("one\ntwo\n")
    assert await client.read_log(KEY, "trainer", tail_lines=2, limit_bytes=99) == "one\ntwo\n"
    (call,) = stub.calls
    assert call.path == "/api/v1/namespaces/ns/pods/a/log"
    assert call.query == {"container": "trainer", "tailLines": "2", "limitBytes": "99"}


async def test_a_container_that_has_not_started_has_no_log(stub: Stub, client: RestClient) -> None:
    waiting = 'container "trainer" in pod "a" is waiting to start: ContainerCreating'
    stub.will({"reason": "BadRequest", "message": waiting}, 400)
    assert await client.read_log(KEY, "trainer", tail_lines=2, limit_bytes=99) is None
    stub.will({"reason": "BadRequest", "message": "container x is not valid for pod a"}, 400)
    with pytest.raises(InvalidError):
        await client.read_log(KEY, "x", tail_lines=2, limit_bytes=99)


async def test_refusals_are_the_right_errors(stub: Stub, client: RestClient) -> None:
    stub.will({"reason": "Forbidden", "message": "no"}, 403)
    with pytest.raises(ForbiddenError, match="403 Forbidden: no"):
        await client.get(JOBS, KEY)
    stub.will("busy", 429, Retry_After="2")
    with pytest.raises(TooManyRequestsError) as caught:
        await client.apply(JOBS, JOB)
    assert caught.value.retry_after == timedelta(seconds=2)


async def test_no_answer_is_told_from_a_refusal(stub: Stub, client: RestClient) -> None:
    with pytest.raises(TransportError, match="PATCH"):
        await client.apply(JOBS, JOB)
    stub.will("a login page")
    with pytest.raises(TransportError, match="a login page"):
        await client.get(JOBS, KEY)


async def test_every_answer_is_counted(stub: Stub) -> None:
    seen: list[tuple[str, int]] = []
    async with client_of(stub, observe=lambda method, status: seen.append((method, status))) as client:
        stub.will(MINE)
        await client.get(JOBS, KEY)
        stub.will(NOT_FOUND, 404)
        await client.get(JOBS, KEY)
        with pytest.raises(TransportError):
            await client.get(JOBS, KEY)
    assert seen == [("GET", 200), ("GET", 404), ("GET", 0)]
