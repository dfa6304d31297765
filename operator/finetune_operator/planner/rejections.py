"""Which rejections are worth reading."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import Final

from finetune_operator.api.spec import Accelerator, Hardware, Method
from finetune_operator.api.status import Offload
from finetune_operator.constants import MAX_REJECTED
from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.checks import Objection, Verdict
from finetune_operator.planner.deferred import Deferred
from finetune_operator.planner.naming import class_order
from finetune_operator.planner.plan import Rejection, RejectionReason

SETTINGS: Final = frozenset(
    {
        RejectionReason.UNSUPPORTED_PRECISION,
        RejectionReason.BATCH_NOT_DIVISIBLE,
        RejectionReason.TOO_SLOW,
        RejectionReason.TOO_EXPENSIVE,
        RejectionReason.PRICE_UNKNOWN,
    }
)
"""Reasons that lie in the job."""


LIMITS: Final = frozenset({RejectionReason.TOO_SLOW, RejectionReason.TOO_EXPENSIVE, RejectionReason.PRICE_UNKNOWN})
"""Of them those that are judged last: whatever is turned down by one fits the hardware."""

SIZE: Final = "size"
"""Group of the ways of one method on one class that are judged by what they need."""


def instructive(verdicts: Sequence[Verdict], chosen: str | None) -> tuple[tuple[Rejection, ...], Sequence[Rejection]]:
    """Those to list, and all others.

    Of each method on each class: the plainest way of all, which a newcomer would think of first, if it is too big; and,
    where nothing of that method fits there without offloading, the one that lacks the least. Of each class one example
    of each other reason. Of those that say the same one stands for all: of LoRA and DoRA in the same shape, of the same
    shape on several classes. What lacks least comes first, but before all else the one that was chosen.
    """
    told = [_alike(members) for _, members in groupby(sorted(_telling(verdicts), key=_saying), key=_saying)]
    named = (
        [] if chosen is None else [r for v in verdicts if v.candidate.id == chosen and (r := v.rejection) is not None]
    )
    spoken = {r.option for r in named}
    # a limit is told before a lack of memory: what it turns down would fit
    rest = sorted(told, key=lambda r: (r.reason not in LIMITS, lack(r), r.option))
    ordered = named + [r for r in rest if r.option not in spoken]
    listed = tuple(ordered[:MAX_REJECTED])
    names = {r.option for r in listed}
    return listed, Deferred(lambda: tuple(_told(verdicts, names)))


def _told(verdicts: Sequence[Verdict], but: Collection[str]) -> Iterator[Rejection]:
    return (r for v in verdicts if v.candidate.id not in but and (r := v.rejection) is not None)


def _telling(verdicts: Sequence[Verdict]) -> Iterator[Verdict]:
    """Candidates come in an order that has the plainest way of each group first."""
    places = _places(verdicts)
    groups: defaultdict[tuple[int, str, str], list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        groups[_group(verdict, places)].append(verdict)
    for key, group in sorted(groups.items(), key=itemgetter(0)):
        rejected = [v for v in group if v.objection is not None]
        if not rejected:
            continue
        plainest = rejected[0]
        if key[-1] != SIZE:
            yield plainest
            continue
        if group[0] is plainest:
            yield plainest
        # offloading is so much slower that what would do without it is worth knowing
        offload = len(rejected) == len(group)
        apart = [v for v in rejected if offload or v.candidate.offload is Offload.NONE]
        fitting = any(v.objection is None and v.candidate.offload is Offload.NONE for v in group)
        nearest = min(apart, key=_lacking, default=plainest)
        if not fitting and nearest is not plainest:
            yield nearest


def _places(verdicts: Sequence[Verdict]) -> Mapping[int, int]:
    """The place of each class in the order of classes, found by its identity; equal ones share one."""
    orders = {id(v.candidate.node_class): v.candidate.node_class for v in verdicts}
    keys = {number: class_order(node_class) for number, node_class in orders.items()}
    places = {key: place for place, key in enumerate(sorted(set(keys.values())))}
    return {number: places[key] for number, key in keys.items()}


def _group(verdict: Verdict, places: Mapping[int, int]) -> tuple[int, str, str]:
    candidate, found = verdict.candidate, verdict.objection
    place = places[id(candidate.node_class)]
    if found is None or found.need is not None:
        return place, candidate.method, SIZE
    return place, "", found.reason


def _lacking(verdict: Verdict) -> float:
    return float("inf") if verdict.objection is None else lack(verdict.objection)


def _saying(verdict: Verdict) -> tuple[str, ...]:
    """What is equal where the same would be said."""
    c, found = verdict.candidate, verdict.objection
    if found is None or found.need is None:
        return ("", found.reason.value, found.tell(c).message) if found is not None else ("",)
    method = Method.LORA if c.method is Method.DORA else c.method
    shape = f"{c.zero_stage} {c.offload.value} {c.nodes} {c.devices_per_node} {c.node_class.device.accelerator.value}"
    return method.value, found.reason.value, shape


def _alike(members: Iterable[Verdict]) -> Rejection:
    """The one that lacks least stands for all; a plain LoRA before a DoRA."""
    group = sorted(members, key=lambda v: (v.candidate.method is Method.DORA, _lacking(v), v.candidate.id))
    told = next(r for v in group if (r := v.rejection) is not None)
    return replace(told, likewise=tuple(v.candidate.id for v in group[1:]))


def lack(found: Rejection | Objection) -> float:
    """How many times too little there is; endless where it isn't a matter of size."""
    if found.need is None or found.have is None:
        return float("inf")
    return found.need / max(1, found.have)


def lacks_hardware(verdicts: Sequence[Verdict]) -> bool:
    """Whether other hardware would help: not where the job's own settings stand in the way of all that would fit."""
    reasons = {v.objection.reason for v in verdicts if v.objection is not None}
    return not reasons or (bool(reasons - SETTINGS) and not reasons & LIMITS)


def without_devices(hardware: Hardware, capacity: Capacity) -> tuple[Rejection, ...]:
    """The one rejection of a job that asks for a kind of device which isn't there at all."""
    asked = hardware.accelerator
    if asked is None or any(c.device.accelerator is asked for c in capacity.classes):
        return ()
    other = Accelerator.CPU if asked is Accelerator.GPU else Accelerator.GPU
    there = ", ".join(c.device.product for c in capacity.classes) or "nothing"
    return (
        Rejection(
            option=asked.value.lower(),
            reason=RejectionReason.NOT_ENOUGH_DEVICES,
            message=f"needs a {asked.value}; {capacity.origin} has none (it has: {there})",
            remedy=f"write spec.hardware.accelerator: {other.value}" if capacity.classes else "",
        ),
    )
