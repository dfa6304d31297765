"""How kopf is set up; that it watches is shown against a real API server."""

import asyncio
from typing import Any

import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from finetune_operator.handlers.watch import WatchEndedError, make_registry, make_settings, watch
from finetune_operator.kube.kinds import CONFIG_MAPS, JOBS, NODES, PODS, Kind
from finetune_operator.kube.metrics import Metrics
from finetune_operator.kube.mirror import Mirror, Scope
from finetune_operator.kube.store import Store
from finetune_operator.kube.workqueue import WorkQueue
from tests.support.fake_cluster import FakeCluster

pytestmark = pytest.mark.anyio

VERBS = ["list", "watch", "patch"]
NAMESPACES = Kind("", "v1", "namespaces", "Namespace", is_namespaced=False)


def make_mirror(store: Store) -> Mirror:
    return Mirror(FakeCluster(), store, WorkQueue(Metrics()), waits=lambda _: False, scope=Scope(kinds=(PODS, NODES)))


def handlers(registry: kopf.OperatorRegistry) -> dict[str, Any]:
    return {str(handler.id): handler for handler in registry._watching.get_all_handlers()}


async def test_every_kind_has_a_handler_that_names_its_group() -> None:
    registry = make_registry(make_mirror(Store()), (PODS, NODES), Configuration())
    found = handlers(registry)
    assert list(found) == ["pods", "nodes"]
    selector = found["pods"].selector
    assert (selector.group, selector.version, selector.any_name) == ("", "v1", "pods")


async def test_events_reach_the_store() -> None:
    store = Store()
    seen = handlers(make_registry(make_mirror(store), (NODES,), Configuration()))["nodes"].fn
    node = {"metadata": {"name": "n1", "uid": "u", "resourceVersion": "1"}}
    await seen(event={"type": None, "object": node}, unused=1)
    assert [(n["kind"], n["metadata"]["name"]) for n in store.all_of(NODES)] == [("Node", "n1")]
    await seen(event={"type": "DELETED", "object": node})
    assert store.all_of(NODES) == []


async def test_who_we_are_is_asked_for_at_each_login() -> None:
    configuration: Any = Configuration(host="https://server")
    (handler,) = make_registry(make_mirror(Store()), (), configuration)._activities.get_all_handlers()
    login: Any = handler.fn
    for word in ("first", "second"):
        configuration.api_key["BearerToken"] = f"bearer {word}"
        info = await login(unused=1)
        assert (info.server, info.as_http_headers()) == ("https://server", {"Authorization": f"Bearer {word}"})
    configuration.api_key.clear()
    assert (await login()).as_http_headers() == {}


async def test_a_user_without_a_name_watches_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container whose user is only a number; kopf would ask for its name to make up an identity."""

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 10001")

    monkeypatch.setattr("getpass.getuser", nameless)
    ready, stop = asyncio.Event(), asyncio.Event()
    stop.set()
    configuration: Any = Configuration(host="http://127.0.0.1:1")
    async with asyncio.timeout(20):
        await watch(make_mirror(Store()), configuration, ready=ready, stop=stop)


async def answer(request: web.Request) -> web.StreamResponse:
    """As a server that lists nothing, and breaks each watch off with an error that isn't 410."""
    if request.path == "/version":
        return web.json_response({"major": "1", "minor": "36"})
    if request.path in {"/api", "/apis"}:
        return web.json_response({"versions": ["v1"], "groups": []})
    if request.path == "/api/v1":
        kinds = [
            {"name": k.plural, "kind": k.kind, "namespaced": k.is_namespaced, "singularName": "", "verbs": VERBS}
            for k in (PODS, NODES, NAMESPACES)
        ]
        return web.json_response({"resources": kinds})
    if "watch" not in request.query:
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})
    told = {"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "the disk is full"}}
    return web.json_response(told)


async def test_a_watch_that_the_server_breaks_off_is_told_in_a_sentence() -> None:
    server = TestServer(_app())
    await server.start_server()
    try:
        configuration: Any = Configuration(host=str(server.make_url("")))
        with pytest.raises(WatchEndedError, match=r"can't be watched any more: .*the disk is full"):
            async with asyncio.timeout(30):
                await watch(make_mirror(Store()), configuration, ready=asyncio.Event(), stop=asyncio.Event())
    finally:
        await server.close()


def _app() -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


def test_kopf_writes_nothing_and_keeps_nothing() -> None:
    settings = make_settings((PODS, JOBS, CONFIG_MAPS))
    assert not settings.posting.enabled
    assert settings.peering.standalone
    assert settings.scanning.disabled
    assert settings.persistence.diffbase_storage.build(body=kopf.Body({})) == {}


@pytest.mark.parametrize(("kind", "is_filtered"), [(PODS, False), (JOBS, True), (CONFIG_MAPS, True)])
def test_only_what_is_ours_is_watched_but_for_what_holds_devices(kind: Kind, *, is_filtered: bool) -> None:
    selectors = make_settings((kind,)).watching.label_selectors
    assert list(selectors.values()) == (["app.kubernetes.io/managed-by=finetune-operator"] if is_filtered else [])
