"""What is worth an Event: a condition that has turned, an attempt that has ended; nothing twice."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from finetune_operator.api.conditions import ConditionStatus, ConditionType, Reason, find_condition
from finetune_operator.api.status import FineTuneJobStatus

_BAD: Final = frozenset({
    Reason.INVALID_SPEC, Reason.MODEL_UNREADABLE, Reason.DATASET_INVALID, Reason.INSPECTION_FAILED, Reason.INFEASIBLE,
    Reason.INFEASIBLE_SELECTION, Reason.UNKNOWN_OPTION, Reason.RESTARTING,
})  # fmt: skip
"""Reasons of a condition that isn't true that somebody should see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One Event."""

    warning: bool
    reason: str
    message: str


def notes(before: FineTuneJobStatus, after: FineTuneJobStatus) -> Iterator[Note]:
    """Each turn for the worse by itself, and all others of a pass as one note with the last one's reason."""
    found = tuple(transitions(before, after))
    well = [n for n in found if not n.warning]
    if well:
        yield Note(warning=False, reason=well[-1].reason, message="; ".join(n.message for n in well))
    yield from (n for n in found if n.warning)


def transitions(before: FineTuneJobStatus, after: FineTuneJobStatus) -> Iterator[Note]:
    """Conditions whose status or reason has changed, in the order of a job's life."""
    for condition in after.conditions:
        old = find_condition(before.conditions, condition.type)
        if old is not None and (old.status, old.reason) == (condition.status, condition.reason):
            continue
        failed = condition.type is ConditionType.FAILED
        bad = condition.status is not ConditionStatus.TRUE and condition.reason in _BAD
        yield Note(warning=failed or bad, reason=condition.reason, message=condition.message)
