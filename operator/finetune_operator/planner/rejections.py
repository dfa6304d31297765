"""Which rejections are worth reading."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from finetune_operator.api.spec import Accelerator, Hardware
from finetune_operator.constants import MAX_REJECTED
from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.checks import Verdict
from finetune_operator.planner.plan import Rejection, RejectionReason

SETTINGS: Final = frozenset({RejectionReason.UNSUPPORTED_PRECISION, RejectionReason.BATCH_NOT_DIVISIBLE})
"""Reasons that lie in the job."""


def instructive(verdicts: Sequence[Verdict], chosen: str | None) -> tuple[tuple[Rejection, ...], tuple[Rejection, ...]]:
    """Those to list, and all others.

    Of each method on each class: the plainest way that is too big, which a newcomer would think of first, and the one
    that lacks the least; and of each class one example of each other reason. What lacks least comes first, but before
    all else the one that was chosen.
    """
    rejected = [v for v in verdicts if v.rejection is not None]
    told: list[Rejection] = []
    # candidates come in an order that has the plainest way of each group first
    for _, members in groupby(sorted(rejected, key=_group), key=_group):
        group = [v.rejection for v in members if v.rejection is not None]
        nearest = min(group, key=lack)
        told += [group[0]] if nearest is group[0] else [group[0], nearest]
    named = [v.rejection for v in rejected if v.rejection is not None and v.rejection.option == chosen]
    ordered = named + [r for r in sorted(told, key=lambda r: (lack(r), r.option)) if r not in named]
    listed = tuple(ordered[:MAX_REJECTED])
    names = {r.option for r in listed}
    return listed, tuple(v.rejection for v in rejected if v.rejection is not None and v.rejection.option not in names)


def lack(rejection: Rejection) -> float:
    """How many times too little there is; endless where it isn't a matter of size."""
    if rejection.need is None or rejection.have is None:
        return float("inf")
    return rejection.need / max(1, rejection.have)


def lacks_hardware(verdicts: Sequence[Verdict]) -> bool:
    """Whether other hardware would help: not where only the job's own settings stand in the way."""
    reasons = {v.rejection.reason for v in verdicts if v.rejection is not None}
    return not reasons or bool(reasons - SETTINGS)


def _group(verdict: Verdict) -> tuple[tuple[str, str, int], str, str]:
    node_class = verdict.candidate.node_class.key
    if verdict.rejection is None or verdict.rejection.need is not None:
        return node_class, verdict.candidate.method.value, "size"
    return node_class, "", verdict.rejection.reason.value


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
