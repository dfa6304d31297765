"""The client on HTTP: kubernetes' own connection and credentials, generic paths, no typed models."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from finetune_operator import __version__
from finetune_operator.kube.client import FIELD_MANAGER, Propagation
from finetune_operator.kube.errors import ConflictError, InvalidError, NotFoundError, TransportError, refusal
from finetune_operator.kube.kinds import PODS, Key, Kind, Object, key_of, uid_of

PAGE: Final = 500
"""Objects a page of a list: a page is what the server and we hold in memory at once."""

TIMEOUT: Final = timedelta(seconds=30)
"""How long one request may take."""

_JSON: Final = "application/json"
_APPLY: Final = "application/apply-patch+yaml"

Observe = Callable[[str, int], None]
"""Told of each answer: HTTP method and status; 0 where there was none."""

Query = list[tuple[str, str]]


class RestClient:
    """Client of one API server; close it in the end."""

    def __init__(
        self, configuration: Configuration, *, timeout: timedelta = TIMEOUT, observe: Observe = lambda *_: None
    ) -> None:
        self._api: Any = ApiClient(configuration)
        self._api.user_agent = f"{FIELD_MANAGER}/{__version__}"
        self._timeout = timeout.total_seconds()
        self._observe = observe

    async def close(self) -> None:
        await self._api.close()

    async def serves(self, kind: Kind) -> bool:
        try:
            answer = await self._json("GET", _root(kind))
        except NotFoundError:
            return False
        return any(resource["name"] == kind.plural for resource in answer["resources"])

    async def get(self, kind: Kind, key: Key) -> Object | None:
        try:
            return await self._json("GET", _path(kind, key))
        except NotFoundError:
            return None

    async def list_all(self, kind: Kind, *, namespace: str = "", selector: str = "") -> list[Object]:
        path, query = _collection(kind, namespace), [("limit", str(PAGE))]
        if selector:
            query.append(("labelSelector", selector))
        found: list[Object] = []
        place: str | None = ""
        while place is not None:
            answer = await self._json("GET", path, query + ([("continue", place)] if place else []))
            # the server leaves out of each entry what it says of the whole list
            found += [{"apiVersion": kind.api_version, "kind": kind.kind} | item for item in answer["items"] or []]
            place = answer["metadata"].get("continue") or None
        return found

    async def apply(self, kind: Kind, obj: Object) -> Object:
        try:
            return await self._apply(kind, obj, "")
        except InvalidError as e:
            if await self._is_another(kind, obj):
                raise ConflictError(409, "Conflict", "the object of that uid is gone") from e
            raise

    async def apply_status(self, kind: Kind, obj: Object) -> Object | None:
        metadata = {k: v for k, v in obj["metadata"].items() if k in {"name", "namespace", "uid"}}
        try:
            return await self._apply(kind, {"metadata": metadata, "status": obj["status"]}, "/status")
        except NotFoundError:
            return None
        except (ConflictError, InvalidError):
            if await self._is_another(kind, obj):
                return None
            raise

    async def create(self, kind: Kind, obj: Object) -> Object:
        path = _collection(kind, obj["metadata"].get("namespace", ""))
        return await self._json("POST", path, [("fieldManager", FIELD_MANAGER)], _typed(kind, obj))

    async def replace(self, kind: Kind, obj: Object) -> Object | None:
        try:
            return await self._json("PUT", _path(kind, key_of(obj)), [("fieldManager", FIELD_MANAGER)], obj)
        except NotFoundError:
            return None
        except ConflictError:
            # of some kinds, leases among them, a PUT makes what is gone anew unless its uid forbids it
            if await self.get(kind, key_of(obj)) is None:
                return None
            raise

    async def delete(
        self, kind: Kind, key: Key, *, uid: str, propagation: Propagation = Propagation.BACKGROUND
    ) -> bool:
        options = {"preconditions": {"uid": uid}, "propagationPolicy": propagation}
        try:
            await self._json("DELETE", _path(kind, key), body=options)
        except NotFoundError:
            return False
        except ConflictError:
            if await self._is_there(kind, key, uid):
                raise
            return False
        return True

    async def read_log(self, pod: Key, container: str, *, tail_lines: int, limit_bytes: int) -> str | None:
        query = [("container", container), ("tailLines", str(tail_lines)), ("limitBytes", str(limit_bytes))]
        try:
            log = await self._send("GET", f"{_path(PODS, pod)}/log", query)
        except NotFoundError:
            return None
        except InvalidError as e:
            # a container that is waiting has no log; this is how the kubelet says so
            if e.status == 400 and "waiting to start" in e.message:
                return None
            raise
        return log.decode(errors="replace")

    async def _apply(self, kind: Kind, obj: Object, part: str) -> Object:
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        return await self._json("PATCH", _path(kind, key_of(obj)) + part, query, _typed(kind, obj), _APPLY)

    async def _is_another(self, kind: Kind, obj: Object) -> bool:
        """Whether the object that is meant by its uid is gone; the server has several words for that."""
        uid = obj["metadata"].get("uid")
        return uid is not None and not await self._is_there(kind, key_of(obj), uid)

    async def _is_there(self, kind: Kind, key: Key, uid: str) -> bool:
        obj = await self.get(kind, key)
        return obj is not None and uid_of(obj) == uid

    async def _json(
        self, method: str, path: str, query: Query | None = None, body: Object | None = None, sort: str = _JSON
    ) -> Object:
        answer = await self._send(method, path, query, body, sort)
        try:
            return dict(json.loads(answer))
        except ValueError as e:
            raise TransportError(f"{method} {path}: the answer is no JSON: {answer[:200]!r}") from e

    async def _send(
        self, method: str, path: str, query: Query | None = None, body: Object | None = None, sort: str = _JSON
    ) -> bytes:
        """The answer's body.

        Raises:
            ApiError: the server refused.
            TransportError: there was no answer.
        """
        status = 0
        try:
            # the generic client would walk the whole body in search of models: what we write is plain already
            _, url, headers, *_ = await self._api.param_serialize(
                method,
                path,
                query_params=query,
                header_params={"Content-Type": sort, "Accept": f"{_JSON}, */*"},
                auth_settings=["BearerToken"],
            )
            response = await self._api.call_api(method, url, headers, body, _request_timeout=self._timeout)
            answer: bytes = await response.read()
            status = response.status
        except (TimeoutError, aiohttp.ClientError, OSError) as e:
            raise TransportError(f"{method} {path}: {str(e) or type(e).__name__}") from e
        finally:
            self._observe(method, status)
        if status >= 400:
            raise refusal(status, answer, response.headers.get("Retry-After"), response.response.reason or "")
        return answer


def _typed(kind: Kind, obj: Object) -> Object:
    return {"apiVersion": kind.api_version, "kind": kind.kind} | obj


def _collection(kind: Kind, namespace: str) -> str:
    return f"{_root(kind)}/namespaces/{namespace}/{kind.plural}" if namespace else f"{_root(kind)}/{kind.plural}"


def _root(kind: Kind) -> str:
    return f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"


def _path(kind: Kind, key: Key) -> str:
    namespace, name = key
    return f"{_collection(kind, namespace)}/{name}"
