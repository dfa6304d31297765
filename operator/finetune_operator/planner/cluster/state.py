"""A cluster's capacity, kept up to date object by object."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.cluster import reasons
from finetune_operator.planner.cluster.nodes import NodeFacts, matches, read_node
from finetune_operator.planner.cluster.objects import key_of, name_of
from finetune_operator.planner.cluster.pods import read_usage
from finetune_operator.planner.cluster.slices import (
    NOTHING,
    Allocated,
    DraDevices,
    node_of,
    read_allocated,
    read_devices,
)
from finetune_operator.planner.cluster.views import Held, View, sum_up, view_of


@dataclass(slots=True, eq=False)
class _Tally:
    """Nodes with the same view; compared and hashed by identity, which is quick."""

    view: View
    nodes: int = 0


class ClusterState:
    """Nodes, pods, resource slices and claims as they come; an event costs what its node has, not the cluster."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeFacts] = {}
        self._tallies: dict[View, _Tally] = {}
        self._views: dict[str, _Tally] = {}
        self._held: defaultdict[str, Held] = defaultdict(Held)
        self._places: dict[str, str] = {}
        self._slices: defaultdict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
        self._slice_nodes: dict[str, str] = {}
        self._devices: dict[str, DraDevices] = {}
        self._claims: dict[str, tuple[Allocated, ...]] = {}
        self._allocated: Counter[Allocated] = Counter()
        self._pools: defaultdict[str, set[str]] = defaultdict(set)
        self._nameless = 0

    def add_node(self, node: Any) -> None:
        """A node that is new or has changed."""
        facts = read_node(node)
        if not facts.name:
            self._nameless += 1
            return
        self._nodes[facts.name] = facts
        self._look(facts.name)

    def remove_node(self, name: str) -> None:
        """A node that is gone; what its pods hold is forgotten with them."""
        if self._nodes.pop(name, None) is not None:
            self._forget(name)

    def add_pod(self, pod: Any) -> None:
        """A pod that is new or has changed."""
        key, usage = key_of(pod), read_usage(pod)
        before = self._take_back(key)
        if usage is not None:
            self._places[key] = usage.node
            held = self._held[usage.node]
            held.pods[key] = usage
            held.count(usage, 1)
            self._look(usage.node)
        if before and (usage is None or before != usage.node):
            self._look(before)

    def remove_pod(self, pod: Any) -> None:
        """A pod that is gone."""
        before = self._take_back(key_of(pod))
        if before:
            self._look(before)

    def add_slice(self, found: Any) -> None:
        """A resource slice that is new or has changed."""
        name, node = name_of(found), node_of(found)
        self._drop_slice(name)
        if name and node:
            self._slices[node][name] = found
            self._slice_nodes[name] = node
            self._read_devices(node)

    def remove_slice(self, name: str) -> None:
        """A resource slice that is gone."""
        self._drop_slice(name)

    def add_claim(self, claim: Any) -> None:
        """A resource claim that is new or has changed."""
        self._allocate(key_of(claim), read_allocated(claim))

    def remove_claim(self, claim: Any) -> None:
        """A resource claim that is gone."""
        self._allocate(key_of(claim), ())

    def capacity(
        self,
        origin: str,
        selector: Mapping[str, str] | None = None,
        tolerations: Sequence[Mapping[str, Any]] = (),
    ) -> Capacity:
        """What a job with that node selector and those tolerations can be planned on."""
        left_out: Counter[str] = Counter()
        if self._nameless:
            left_out[reasons.unreadable("metadata.name")] = self._nameless
        views = {t.view: t.nodes for t in self._tallies.values()}
        if selector:
            chosen = Counter(t for name, t in self._views.items() if matches(self._nodes[name].labels, selector))
            views = {t.view: count for t, count in chosen.items()}
            left_out[reasons.NOT_SELECTED] = len(self._views) - chosen.total()
        return sum_up(origin, views, tolerations, left_out)

    def _take_back(self, key: str) -> str:
        """Undo what a pod holds; the node it was on."""
        node = self._places.pop(key, "")
        if node:
            held = self._held[node]
            held.count(held.pods.pop(key), -1)
            if not held.pods:
                del self._held[node]
        return node

    def _drop_slice(self, name: str) -> None:
        node = self._slice_nodes.pop(name, "")
        if node:
            del self._slices[node][name]
            self._read_devices(node)

    def _read_devices(self, node: str) -> None:
        before = self._devices.get(node, NOTHING)
        found = read_devices(self._slices[node].values())
        for device in before.devices:
            self._pools[device.at[0]].discard(node)
        for device in found.devices:
            self._pools[device.at[0]].add(node)
        self._devices[node] = found
        self._look(node)

    def _allocate(self, key: str, devices: tuple[Allocated, ...]) -> None:
        before = self._claims.pop(key, ())
        if devices:
            self._claims[key] = devices
        self._allocated.subtract(before)
        self._allocated.update(devices)
        for at in before:
            if self._allocated[at] <= 0:
                del self._allocated[at]
        for node in {node for pool, _ in (*before, *devices) for node in self._pools[pool]}:
            self._look(node)

    def _look(self, name: str) -> None:
        """Make a node's view anew."""
        facts = self._nodes.get(name)
        if facts is None:
            return
        held, devices = self._held.get(name) or Held(), self._devices.get(name, NOTHING)
        view = view_of(facts, held, devices, self._allocated.keys())
        tally = self._tallies.get(view)
        if tally is None:
            tally = self._tallies[view] = _Tally(view)
        if self._views.get(name) is not tally:
            self._forget(name)
            self._views[name] = tally
            tally.nodes += 1

    def _forget(self, name: str) -> None:
        tally = self._views.pop(name, None)
        if tally is not None:
            tally.nodes -= 1
            if not tally.nodes:
                del self._tallies[tally.view]


def read_capacity(  # noqa: PLR0913  four kinds of objects, and what the job says of nodes
    nodes: Iterable[Any],
    pods: Iterable[Any] = (),
    slices: Iterable[Any] = (),
    claims: Iterable[Any] = (),
    *,
    selector: Mapping[str, str] | None = None,
    tolerations: Sequence[Mapping[str, Any]] = (),
    origin: str = "the cluster",
) -> Capacity:
    """The capacity of a cluster from its objects, as the API server gives them.

    Args:
        nodes: v1 Node.
        pods: v1 Pod, of all namespaces.
        slices: resource.k8s.io/v1 ResourceSlice.
        claims: resource.k8s.io/v1 ResourceClaim, of all namespaces.
        selector: labels that the job wants of nodes.
        tolerations: as a pod has them.
        origin: for sentences.
    """
    state = ClusterState()
    for add, objects in (
        (state.add_slice, slices),
        (state.add_claim, claims),
        (state.add_pod, pods),
        (state.add_node, nodes),
    ):
        for found in objects:
            add(found)
    return state.capacity(origin, selector, tolerations)
