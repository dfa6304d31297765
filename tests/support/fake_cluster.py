"""A cluster in memory, for tests of what is asked of it: the API server's rules, as far as the operator meets them.

Held against a real API server by tests/api_server/test_client.py. What isn't here: validation by a schema, defaults,
controllers (nothing makes pods for a Job), watches. Garbage is collected at once.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

from finetune_operator.kube.client import Propagation
from finetune_operator.kube.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    InvalidError,
    KubeError,
)
from finetune_operator.kube.kinds import CONFIG_MAPS, FINE_TUNE_JOBS, JOBS, PODS, Key, Kind, Object, key_of, uid_of
from tests.support.applied import merged
from tests.support.label_selector import selects

BORN: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When the first object was made; every write takes a second."""

WITH_STATUS: Final = frozenset({FINE_TUNE_JOBS, JOBS, PODS})
"""Kinds whose status is written by itself."""

READS: Final = frozenset({"get", "list", "log"})
"""Verbs that change nothing."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request that was made."""

    verb: str
    kind: Kind
    key: Key


@dataclass
class _Fault:
    verb: str
    kind: Kind
    error: KubeError
    times: int


class FakeCluster:
    """An API server's objects, and every request that was made."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.logs: dict[tuple[str, str, str], str] = {}
        """What containers wrote, by (namespace, pod, container)."""
        self.watchers: list[Callable[[Kind, str, Object], None]] = []
        """Told of every change: kind, ADDED or MODIFIED or DELETED, the object."""
        self.not_served: set[Kind] = set()
        """Kinds that this server doesn't know."""
        self._objects: dict[Kind, dict[Key, Object]] = {}
        self._applied: dict[tuple[str, str], Object] = {}
        self._faults: list[_Fault] = []
        self._versions = count(1)
        self._uids = count(1)

    @property
    def writes(self) -> list[Request]:
        """The requests that were meant to change something."""
        return [request for request in self.requests if request.verb not in READS]

    def fail(self, verb: str, kind: Kind, error: KubeError, *, times: int = 1) -> None:
        """Answer the next requests of that sort with an error, and do nothing."""
        self._faults.append(_Fault(verb, kind, error, times))

    def add(self, kind: Kind, obj: Object) -> Object:
        """Put an object there whole, status and all, as other programs would; says back what is stored."""
        key = key_of(obj)
        old = self._objects.get(kind, {}).get(key)
        return self._store(kind, deepcopy(obj), old)

    def all_of(self, kind: Kind) -> list[Object]:
        """Every object of a kind, without a request."""
        return deepcopy(list(self._objects.get(kind, {}).values()))

    def remove(self, kind: Kind, key: Key) -> None:
        """Take an object away, and what it alone owned, as another program would."""
        self._end(kind, self._objects[kind][key])

    async def serves(self, kind: Kind) -> bool:
        self._request("get", kind, ("", ""))
        return kind not in self.not_served

    async def get(self, kind: Kind, key: Key) -> Object | None:
        self._request("get", kind, key)
        return deepcopy(self._objects.get(kind, {}).get(key))

    async def list_all(self, kind: Kind, *, namespace: str = "", selector: str = "") -> list[Object]:
        self._request("list", kind, (namespace, ""))
        return [
            obj
            for obj in self.all_of(kind)
            if namespace in ("", key_of(obj)[0]) and selects(selector, obj["metadata"].get("labels") or {})
        ]

    async def apply(self, kind: Kind, obj: Object) -> Object:
        key = key_of(obj)
        self._request("apply", kind, key)
        wanted = _without_status(kind, obj)
        stored = self._objects.get(kind, {}).get(key)
        _check_uid(wanted, stored)
        return self._apply(kind, "", stored, wanted)

    async def apply_status(self, kind: Kind, obj: Object) -> Object | None:
        key = key_of(obj)
        self._request("apply_status", kind, key)
        stored = self._objects.get(kind, {}).get(key)
        uid = obj["metadata"].get("uid")
        if stored is None or (uid is not None and uid != uid_of(stored)):
            return None
        return self._apply(kind, "status", stored, {"status": obj["status"]})

    async def create(self, kind: Kind, obj: Object) -> Object:
        obj = _without_status(kind, obj)
        metadata = obj["metadata"]
        if "name" not in metadata:
            metadata["name"] = f"{metadata['generateName']}{next(self._uids):05}"
        key = key_of(obj)
        self._request("create", kind, key)
        if key in self._objects.get(kind, {}):
            raise AlreadyExistsError(409, "AlreadyExists", f'{kind.plural} "{key[1]}" already exists')
        return self._store(kind, obj, None)

    async def replace(self, kind: Kind, obj: Object) -> Object | None:
        key = key_of(obj)
        self._request("replace", kind, key)
        stored = self._objects.get(kind, {}).get(key)
        if stored is None:
            return None
        if obj["metadata"].get("resourceVersion") != stored["metadata"]["resourceVersion"]:
            raise ConflictError(
                409, "Conflict", "the object has been modified; please apply your changes to the latest"
            )
        _check_uid(obj, stored)
        return self._store(kind, _with_status(kind, _without_status(kind, obj), stored), stored)

    async def delete(
        self, kind: Kind, key: Key, *, uid: str, propagation: Propagation = Propagation.BACKGROUND
    ) -> bool:
        self._request("delete", kind, key)
        stored = self._objects.get(kind, {}).get(key)
        if stored is None or uid_of(stored) != uid:
            return False
        if propagation is Propagation.FOREGROUND and "foregroundDeletion" not in _finalizers(stored):
            stored["metadata"]["finalizers"] = [*_finalizers(stored), "foregroundDeletion"]
        if _finalizers(stored):
            self._mark_deleted(kind, stored)
        else:
            self._end(kind, stored)
        return True

    async def read_log(self, pod: Key, container: str, *, tail_lines: int, limit_bytes: int) -> str | None:
        self._request("log", PODS, pod)
        log = self.logs.get((*pod, container))
        if log is None or pod not in self._objects.get(PODS, {}):
            return None
        lines = log.splitlines(keepends=True)[-tail_lines:]
        return "".join(lines).encode()[:limit_bytes].decode(errors="ignore")

    def _request(self, verb: str, kind: Kind, key: Key) -> None:
        self.requests.append(Request(verb, kind, key))
        for fault in self._faults:
            if (fault.verb, fault.kind) == (verb, kind) and fault.times:
                fault.times -= 1
                raise fault.error

    def _apply(self, kind: Kind, part: str, stored: Object | None, wanted: Object) -> Object:
        before = self._applied.get((uid_of(stored), part), {}) if stored else {}
        new = merged(deepcopy(stored), before, wanted) if stored else deepcopy(wanted)
        result = self._store(kind, new, stored)
        self._applied[uid_of(result), part] = deepcopy(wanted)
        return result

    def _store(self, kind: Kind, new: Object, old: Object | None) -> Object:
        metadata = new["metadata"]
        new |= {"apiVersion": kind.api_version, "kind": kind.kind}
        if old is None:
            metadata.setdefault("uid", f"uid-{next(self._uids)}")
            metadata.setdefault("creationTimestamp", self._now())
            metadata.setdefault("generation", 1)
        else:
            _check_immutable(kind, new, old)
            for name in ("uid", "creationTimestamp", "generation", "resourceVersion"):
                metadata[name] = old["metadata"][name]
            if new == old:
                return deepcopy(old)
            metadata["generation"] += new.get("spec") != old.get("spec")
        metadata["resourceVersion"] = str(next(self._versions))
        self._objects.setdefault(kind, {})[key_of(new)] = new
        self._tell(kind, "ADDED" if old is None else "MODIFIED", new)
        stored = deepcopy(new)
        self._settle()
        return stored

    def _mark_deleted(self, kind: Kind, obj: Object) -> None:
        if "deletionTimestamp" not in obj["metadata"]:
            new = deepcopy(obj)
            new["metadata"]["deletionTimestamp"] = self._now()
            self._store(kind, new, obj)

    def _end(self, kind: Kind, obj: Object) -> None:
        del self._objects[kind][key_of(obj)]
        self._tell(kind, "DELETED", obj)
        self._settle()

    def _settle(self) -> None:
        """End what waited for its finalizers, and collect what lost its owners."""
        for kind, obj in self._each():
            metadata = obj["metadata"]
            if "deletionTimestamp" in metadata and _finalizers(obj) == ["foregroundDeletion"]:
                owned = list(self._owned_by(uid_of(obj)))
                for owned_kind, child in owned:
                    if not _finalizers(child):
                        return self._end(owned_kind, child)
                    if "deletionTimestamp" not in child["metadata"]:
                        return self._mark_deleted(owned_kind, child)
                metadata["finalizers"] = ["foregroundDeletion"] if owned else []
            if "deletionTimestamp" in metadata and not _finalizers(obj):
                return self._end(kind, obj)
            if self._is_garbage(obj) and "deletionTimestamp" not in metadata:
                return self._mark_deleted(kind, obj) if _finalizers(obj) else self._end(kind, obj)
        return None

    def _owned_by(self, uid: str) -> Iterator[tuple[Kind, Object]]:
        return ((kind, obj) for kind, obj in self._each() if any(owner["uid"] == uid for owner in _owners(obj)))

    def _is_garbage(self, obj: Object) -> bool:
        alive = {uid_of(each) for _, each in self._each()}
        owners = _owners(obj)
        return bool(owners) and not any(owner["uid"] in alive for owner in owners)

    def _each(self) -> Iterator[tuple[Kind, Object]]:
        yield from [(kind, obj) for kind, objects in self._objects.items() for obj in objects.values()]

    def _tell(self, kind: Kind, change: str, obj: Object) -> None:
        for watcher in self.watchers:
            watcher(kind, change, deepcopy(obj))

    def _now(self) -> str:
        seconds = timedelta(seconds=next(self._versions))
        return (BORN + seconds).isoformat().replace("+00:00", "Z")


def _owners(obj: Object) -> list[dict[str, Any]]:
    return list(obj["metadata"].get("ownerReferences") or [])


def _finalizers(obj: Object) -> list[str]:
    return list(obj["metadata"].get("finalizers") or [])


def _without_status(kind: Kind, obj: Object) -> Object:
    return deepcopy({k: v for k, v in obj.items() if k != "status" or kind not in WITH_STATUS})


def _with_status(kind: Kind, obj: Object, stored: Object) -> Object:
    return obj | ({"status": deepcopy(stored["status"])} if kind in WITH_STATUS and "status" in stored else {})


def _check_uid(obj: Object, stored: Object | None) -> None:
    uid = obj["metadata"].get("uid")
    if uid is not None and (stored is None or uid != uid_of(stored)):
        raise ConflictError(409, "Conflict", f"uid mismatch: the provided object specified uid {uid}")


def _check_immutable(kind: Kind, new: Object, old: Object) -> None:
    if kind == CONFIG_MAPS and old.get("immutable") and (new.get("data"), new.get("immutable")) != (old["data"], True):
        raise _invalid("data: Forbidden: field is immutable when `immutable` is set")
    fixed = ("template", "selector", "completions", "completionMode")
    if kind == JOBS and any(new["spec"].get(name) != old["spec"].get(name) for name in fixed):
        raise _invalid("spec.template: Invalid value: field is immutable")


def _invalid(message: str) -> ApiError:
    return InvalidError(422, "Invalid", message)
