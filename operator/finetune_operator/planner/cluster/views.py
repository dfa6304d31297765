"""All of a node that plans look at, and what many such views add up to."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from finetune_operator.planner.capacity import Capacity, UnsupportedDevices
from finetune_operator.planner.cluster import reasons
from finetune_operator.planner.cluster.labels import instance_type
from finetune_operator.planner.cluster.nodes import NodeFacts
from finetune_operator.planner.cluster.pods import Usage
from finetune_operator.planner.cluster.shapes import Members, Rest, Shape, build_classes, reaching, shape_of
from finetune_operator.planner.cluster.slices import Allocated, DraDevices, count_free
from finetune_operator.planner.cluster.taints import Taint, blocking, describe

BAD_REQUESTS: Final = "requests of pods that are no quantities count as nothing"
"""A note."""

BOTH: Final = "GPUs are offered by the device plugin and by DRA; only the device plugin's are counted"
"""A note."""


class View(NamedTuple):
    """All of a node that plans look at; nodes with the same view are counted and not looked at again."""

    reason: str
    taints: tuple[Taint, ...]
    shapes: tuple[tuple[Shape, int, tuple[Taint, ...]], ...]
    """With the devices that are free now, and the devices' own taints."""
    unsupported: tuple[UnsupportedDevices, ...]
    notes: tuple[str, ...]
    instance_type: str = ""
    """Where it alone tells the devices' product."""


@dataclass(slots=True)
class Held:
    """What pods hold of one node."""

    pods: dict[str, Usage] = field(default_factory=dict)
    devices: Counter[str] = field(default_factory=Counter)
    cpu: int = 0
    memory: int = 0
    storage: int = 0
    unreadable: int = 0

    def count(self, usage: Usage, sign: int) -> None:
        for resource, count in usage.devices:
            self.devices[resource] += sign * count
        if not usage.holds_devices:
            self.cpu += sign * usage.cpu
            self.memory += sign * usage.memory
            self.storage += sign * usage.storage
        self.unreadable += 0 if usage.readable else sign


def view_of(facts: NodeFacts, held: Held, dra: DraDevices, allocated: Collection[Allocated]) -> View:
    """What plans look at of a node, of what pods hold of it, and of its DRA devices and those that claims hold."""
    if facts.reason:
        return View(facts.reason, (), (), (), ())
    rest = Rest(
        cpu=max(0, facts.cpu - held.cpu),
        memory=max(0, facts.memory - held.memory),
        storage=max(0, facts.storage - held.storage),
    )
    offers, notes = facts.offers, [*facts.notes, *facts.offers.notes, *dra.notes]
    shapes = [(shape_of(facts, o, rest), max(0, o.devices - held.devices[o.resource]), ()) for o in offers.usable]
    if shapes and dra.devices:
        notes.append(BOTH)
    elif dra.devices:
        free = count_free(dra, allocated)
        shapes = [(shape_of(facts, kind, rest), count, taints) for kind, count, taints in free]
    refused = (*offers.refused, *dra.refused)
    reason = ""
    if not shapes and not offers.unsupported:
        reason = next(iter(refused), reasons.NO_DEVICE if offers.any or dra.devices else "")
        if not reason:
            shapes = [(shape_of(facts, None, rest), 1, ())]
    elif refused:
        notes += [f"devices left out on nodes {r}" for r in refused]
    if held.unreadable:
        notes.append(BAD_REQUESTS)
    machine = instance_type(facts.labels, (o.resource for o in offers.usable)) if offers.usable else ""
    return View(reason, facts.taints, tuple(shapes), offers.unsupported, tuple(notes), machine)


def sum_up(
    origin: str, views: Mapping[View, int], tolerations: Sequence[Mapping[str, Any]], left_out: Counter[str]
) -> Capacity:
    """The capacity that views, with how many nodes have each, are for such tolerations."""
    shapes: defaultdict[Shape, Members] = defaultdict(Members)
    unsupported: Counter[UnsupportedDevices] = Counter()
    notes: Counter[str] = Counter()
    for view, count in views.items():
        reason = view.reason or _tainted(view, tolerations)
        if reason:
            left_out[reason] += count
            continue
        for shape, free, taints in view.shapes:
            taint = blocking(taints, tolerations, devices=True)
            if taint is None:
                shapes[shape].add(free, count, view.instance_type)
            else:
                notes[f"DRA devices {reasons.TAINTED} {describe(taint)} are left out"] += count
        for found in view.unsupported:
            unsupported[found] += count
        for note in view.notes:
            notes[note] += count
    classes, counted = build_classes(reaching(shapes)), build_classes(shapes)
    return Capacity(
        classes=classes,
        counted=() if counted == classes else counted,
        origin=origin,
        unsupported=_counted(unsupported),
        left_out={k: n for k, n in left_out.items() if n},
        notes=dict(notes),
    )


def _tainted(view: View, tolerations: Sequence[Mapping[str, Any]]) -> str:
    """Why pods can't go there; empty where they can."""
    if not view.taints:
        return ""
    devices = bool(view.unsupported) or any(shape.kind is not None for shape, _, _ in view.shapes)
    taint = blocking(view.taints, tolerations, devices=devices)
    return f"{reasons.TAINTED} {describe(taint)}" if taint is not None else ""


def _counted(found: Mapping[UnsupportedDevices, int]) -> tuple[UnsupportedDevices, ...]:
    ordered = sorted(found, key=lambda u: (u.kind, u.product, u.devices_per_node))
    return tuple(replace(u, nodes=found[u]) for u in ordered)
