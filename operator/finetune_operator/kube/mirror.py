"""Keeps the store like the cluster, and puts on the queue whoever a change concerns."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NoReturn

from finetune_operator.kube.client import FIELD_MANAGER, Client
from finetune_operator.kube.errors import KubeError
from finetune_operator.kube.kinds import (
    CLAIM_TEMPLATES,
    CONFIG_MAPS,
    FINE_TUNE_JOBS,
    JOBS,
    NODES,
    PODS,
    RESOURCE_CLAIMS,
    RESOURCE_SLICES,
    SERVICES,
    Key,
    Kind,
    Object,
    key_of,
)
from finetune_operator.kube.store import DELETED, Store
from finetune_operator.kube.workqueue import WorkQueue

_log: Final = logging.getLogger(__name__)

OURS: Final = f"app.kubernetes.io/managed-by={FIELD_MANAGER}"
"""Label selector of what the operator has made."""

SELECTORS: Final[Mapping[Kind, str]] = {
    FINE_TUNE_JOBS: "",
    NODES: "",
    RESOURCE_SLICES: "",
    # likewise
    RESOURCE_CLAIMS: "",
    # all pods: others' hold devices, too
    PODS: "",
    JOBS: OURS,
    SERVICES: OURS,
    CONFIG_MAPS: OURS,
    CLAIM_TEMPLATES: OURS,
}
"""What is watched, nodes before what runs on them."""

CAPACITY: Final = frozenset({NODES, PODS, RESOURCE_SLICES, RESOURCE_CLAIMS})
"""Kinds whose changes may free what a job waits for. They are watched in all namespaces, since devices that pods of
another one hold aren't free."""

SETTLE: Final = timedelta(seconds=1)
"""How long jobs that wait for devices are left alone after a change: pods come and go in crowds."""

Listener = Callable[[Kind, str, Object], None]
"""Told of each change: kind, change (DELETED or another word), object."""

Matters = Callable[[Kind, Object | None, Object], bool]
"""Whether what an object of a job has become, of what it was, can make any difference; None: it wasn't there."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a cluster is watched."""

    namespaces: tuple[str, ...] = ()
    """Where jobs are looked after; empty: everywhere."""
    kinds: tuple[Kind, ...] = tuple(SELECTORS)

    def places(self, kind: Kind) -> tuple[str, ...]:
        """The namespaces to list a kind in; the empty one is all of them."""
        return self.namespaces if self.namespaces and kind not in CAPACITY else ("",)


class Mirror:
    """The cluster as far as it is watched.

    Args:
        client: lists.
        store: is filled.
        queue: gets the keys of FineTuneJobs.
        waits: whether a FineTuneJob, as the API server has it, waits for devices.
        scope: what is watched.
        matters: of what a job owns, which changes it is looked at for.
    """

    def __init__(
        self,
        client: Client,
        store: Store,
        queue: WorkQueue,
        *,
        waits: Callable[[Object], bool],
        scope: Scope,
        matters: Matters = lambda *_: True,
    ) -> None:
        self.listeners: list[Listener] = []
        self.scope = scope
        self.filled_at: float | None = None
        """When every kind was listed last, by the event loop's clock; None before the first time."""
        self._client = client
        self._store = store
        self._queue = queue
        self._waits = waits
        self._matters = matters
        self._waiting: set[Key] = set()

    def observe(self, kind: Kind, change: str, obj: Object) -> None:
        """Take in one event of a watch."""
        before = self._store.observe(kind, change, obj)
        for listener in self.listeners:
            listener(kind, change, obj)
        if kind == FINE_TUNE_JOBS:
            self._note(key_of(obj))
        key = self.concerned(kind, obj)
        if key is not None and (change == DELETED or self._is_news(kind, before, obj)):
            self._queue.add(key)
        if kind in CAPACITY and (change == DELETED or before is None or held(kind, before) != held(kind, obj)):
            self._wake_waiting()

    async def fill(self) -> None:
        """List everything; jobs are put on the queue whether they have changed or not.

        Raises:
            KubeError: a kind can't be listed.
        """
        began = self._store.mark()
        for kind in self.scope.kinds:
            asked = self._store.mark()
            listed = await self._list(kind)
            gone = self._store.replace_all(kind, listed, since=asked)
            self._tell(kind, listed, gone)
        self._store.forget_gone(before=began)
        self.filled_at = asyncio.get_running_loop().time()
        self._waiting.clear()
        for job in self._store.all_of(FINE_TUNE_JOBS):
            self._note(key_of(job))
            self._queue.add(key_of(job))

    async def keep_filled(self, every: timedelta) -> NoReturn:
        """List everything from time to time: what a watch has missed comes right by itself."""
        while True:
            await asyncio.sleep(every.total_seconds())
            try:
                await self.fill()
            except KubeError as e:
                _log.warning("Not everything could be listed, what is known stays: %s", e)

    def concerned(self, kind: Kind, obj: Object) -> Key | None:
        """The FineTuneJob that an object is, or belongs to."""
        if kind == FINE_TUNE_JOBS:
            return key_of(obj)
        namespace = obj["metadata"].get("namespace", "")
        for owner in obj["metadata"].get("ownerReferences") or []:
            if owner["kind"] == FINE_TUNE_JOBS.kind and owner["apiVersion"] == FINE_TUNE_JOBS.api_version:
                return namespace, owner["name"]
            if kind == PODS and owner["kind"] == JOBS.kind:
                job = self._store.get(JOBS, (namespace, owner["name"]))
                return self.concerned(JOBS, job) if job is not None else None
        return None

    def _is_news(self, kind: Kind, before: Object | None, obj: Object) -> bool:
        if kind == FINE_TUNE_JOBS:
            # also of what we have written of it: a step may wait for the one before to be told
            return True
        # what we have made is known from the answer; a watch says it once more
        return (before is None or not _is_same(before, obj)) and self._matters(kind, before, obj)

    async def _list(self, kind: Kind) -> list[Object]:
        found: list[Object] = []
        for namespace in self.scope.places(kind):
            found += await self._client.list_all(kind, namespace=namespace, selector=SELECTORS[kind])
        return found

    def _tell(self, kind: Kind, listed: Iterable[Object], gone: Iterable[Object]) -> None:
        for listener in self.listeners:
            for obj in gone:
                listener(kind, DELETED, obj)
            for obj in listed:
                # what a watch has told meanwhile is newer than the list
                newest = self._store.get(kind, key_of(obj))
                if newest is not None:
                    listener(kind, "", newest)

    def _note(self, key: Key) -> None:
        """Keep who waits: pods come and go far more often than jobs begin to wait."""
        job = self._store.get(FINE_TUNE_JOBS, key)
        if job is not None and self._waits(job):
            self._waiting.add(key)
        else:
            self._waiting.discard(key)

    def _wake_waiting(self) -> None:
        for key in self._waiting:
            self._queue.add_after(key, SETTLE)


def _is_same(one: Object, other: Object) -> bool:
    return all(one["metadata"][name] == other["metadata"][name] for name in ("uid", "resourceVersion"))


def held(kind: Kind, obj: Object) -> Any:
    """What of a node, pod or slice says how much is free; kubelets report much else, often."""
    spec, status, metadata = obj.get("spec") or {}, obj.get("status") or {}, obj["metadata"]
    if kind == NODES:
        ready = [c["status"] for c in status.get("conditions") or [] if c["type"] == "Ready"]
        return status.get("allocatable"), metadata.get("labels"), spec.get("taints"), spec.get("unschedulable"), ready
    if kind == PODS:
        return spec.get("nodeName"), status.get("phase") in {"Succeeded", "Failed"}
    if kind == RESOURCE_CLAIMS:
        return status.get("allocation")
    return spec
