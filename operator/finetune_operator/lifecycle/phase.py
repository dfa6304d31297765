"""The one word that is printed for a job; computed from its conditions and never read."""

from enum import StrEnum
from typing import Final, NamedTuple

from finetune_operator.api.conditions import (
    Condition,
    Conditions,
    ConditionStatus,
    ConditionType,
    Reason,
    find_condition,
)


class Phase(StrEnum):
    """How far a job is."""

    PENDING = "Pending"
    """Nobody has looked at it."""
    INVALID = "Invalid"
    """The spec, the model or the data can't be used as they are; a person has to change them."""
    INSPECTING = "Inspecting"
    """Model and data are being read."""
    AWAITING_SELECTION = "AwaitingSelection"
    """Somebody has to choose an option."""
    INFEASIBLE = "Infeasible"
    """Nothing, or not what was chosen, fits."""
    PLANNED = "Planned"
    """An option is chosen, and training hasn't begun."""
    WAITING = "Waiting"
    """For devices that are busy now, or for an output that others still write to."""
    SUSPENDED = "Suspended"
    """The user holds it."""
    STARTING = "Starting"
    """Ranks are joining."""
    RESTARTING = "Restarting"
    """Between two attempts."""
    TRAINING = "Training"
    """The trainer is at work: from the baseline evaluation to the report."""
    INTERRUPTED = "Interrupted"
    """Stopped on request; it can go on."""
    SUCCEEDED = "Succeeded"
    """The output is complete and validated."""
    FAILED = "Failed"
    """It will not be tried again."""


class _Rule(NamedTuple):
    kind: ConditionType
    status: ConditionStatus | None
    """None: any."""
    reasons: frozenset[str]
    """Empty: any."""
    phase: Phase


_TRUE: Final = ConditionStatus.TRUE
_FALSE: Final = ConditionStatus.FALSE
_ANY: Final[frozenset[str]] = frozenset()
_NO_FIT: Final = frozenset({Reason.INFEASIBLE, Reason.INFEASIBLE_SELECTION, Reason.UNKNOWN_OPTION})

_PRECEDENCE: Final = (
    _Rule(ConditionType.FAILED, _TRUE, _ANY, Phase.FAILED),
    _Rule(ConditionType.SUCCEEDED, _TRUE, _ANY, Phase.SUCCEEDED),
    _Rule(ConditionType.RUNNING, _TRUE, _ANY, Phase.TRAINING),
    _Rule(ConditionType.ADMITTED, None, frozenset({Reason.SUSPENDED}), Phase.SUSPENDED),
    _Rule(ConditionType.RUNNING, None, frozenset({Reason.STARTING}), Phase.STARTING),
    _Rule(ConditionType.RUNNING, None, frozenset({Reason.RESTARTING}), Phase.RESTARTING),
    _Rule(ConditionType.RUNNING, None, frozenset({Reason.INTERRUPTED}), Phase.INTERRUPTED),
    _Rule(ConditionType.ACCEPTED, _FALSE, _ANY, Phase.INVALID),
    _Rule(
        ConditionType.ADMITTED, None, frozenset({Reason.WAITING_FOR_CAPACITY, Reason.WAITING_FOR_OUTPUT}), Phase.WAITING
    ),
    _Rule(ConditionType.PLANNED, _TRUE, _ANY, Phase.PLANNED),
    _Rule(ConditionType.PLANNED, None, frozenset({Reason.AWAITING_SELECTION}), Phase.AWAITING_SELECTION),
    _Rule(ConditionType.PLANNED, None, _NO_FIT, Phase.INFEASIBLE),
    _Rule(ConditionType.INSPECTED, None, frozenset({Reason.INSPECTING}), Phase.INSPECTING),
    _Rule(ConditionType.INSPECTED, _FALSE, _ANY, Phase.INVALID),
)
"""The first rule that holds decides: how a job ended, before whether it runs, before what keeps it from running."""


def phase_of(conditions: Conditions) -> str:
    """The phase that those conditions stand for.

    Notes:
        An end outweighs everything: a job that failed while it was running has failed. Running outweighs the spec:
        what is edited into nonsense meanwhile doesn't stop what was planned. The spec outweighs the plan, which was
        made of an earlier one. Where no rule holds, nobody has looked yet: Pending.
    """
    return next((rule.phase.value for rule in _PRECEDENCE if _holds(rule, conditions)), Phase.PENDING.value)


ENDS: Final = (ConditionType.SUCCEEDED, ConditionType.FAILED)
"""Conditions that are true where nothing will happen any more."""


def is_over(conditions: Conditions) -> bool:
    """Whether nothing will happen any more without a person's change."""
    ends = (find_condition(conditions, kind) for kind in ENDS)
    return any(end is not None and end.status is ConditionStatus.TRUE for end in ends)


def _holds(rule: _Rule, conditions: Conditions) -> bool:
    found = find_condition(conditions, rule.kind)
    return found is not None and _matches(rule, found)


def _matches(rule: _Rule, condition: Condition) -> bool:
    return rule.status in {None, condition.status} and (not rule.reasons or condition.reason in rule.reasons)
