"""Nodes, pods and our own Jobs as they come, as what jobs can be planned on and what is promised already."""

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_operator.kube.kinds import JOBS, NODES, PODS, RESOURCE_CLAIMS, RESOURCE_SLICES, Key, Kind, Object
from finetune_operator.kube.store import DELETED
from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.cluster.state import ClusterState
from finetune_operator.reconciler.promises import Promises
from finetune_operator.reconciler.writers import Writers
from finetune_operator.renderers.placement import Placement


class SeenHardware:
    """Kept up to date event by event; what an event costs is what its node has, not the cluster."""

    def __init__(self) -> None:
        self._state = ClusterState()
        self._promises = Promises()
        self._writers = Writers()

    def observe(self, kind: Kind, change: str, obj: Object) -> None:
        """Take in what a watch, a list or an answer says; kinds that don't matter are left alone."""
        gone = change == DELETED
        if kind == NODES:
            self._state.remove_node(obj["metadata"]["name"]) if gone else self._state.add_node(obj)
        elif kind == PODS:
            for taker in (self._state, self._promises, self._writers):
                taker.remove_pod(obj) if gone else taker.add_pod(obj)
        elif kind == JOBS:
            for taker in (self._promises, self._writers):
                taker.remove_job(obj) if gone else taker.add_job(obj)
        elif kind == RESOURCE_SLICES:
            self._state.remove_slice(obj["metadata"]["name"]) if gone else self._state.add_slice(obj)
        elif kind == RESOURCE_CLAIMS:
            self._state.remove_claim(obj) if gone else self._state.add_claim(obj)

    def capacity(self, origin: str, selector: Mapping[str, str], tolerations: Sequence[Mapping[str, Any]]) -> Capacity:
        """What a job with that node selector and those tolerations can be planned on."""
        return self._state.capacity(origin, selector, tolerations)

    def promised(self, but: Key) -> Sequence[Placement]:
        """What admitted pods of jobs other than that one will hold that aren't bound yet, one entry a pod."""
        return self._promises.promised(*but)

    def writing(self, key: Key, output: str) -> Sequence[str]:
        """Pods and Jobs that may write to that output of that job."""
        return self._writers.writing(*key, output)
