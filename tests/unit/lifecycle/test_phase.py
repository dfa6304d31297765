"""The word that is printed for a set of conditions."""

from datetime import UTC, datetime

import pytest

from finetune_operator.api.conditions import Condition, Conditions, ConditionStatus, ConditionType
from finetune_operator.lifecycle.phase import Phase, is_over, phase_of

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def conditions(text: str) -> Conditions:
    """`Accepted Planned!AwaitingSelection Running?Starting`: true, false with its reason, unknown with its reason."""
    return tuple(_condition(word) for word in text.split())


def _condition(word: str) -> Condition:
    for mark, status in (("!", ConditionStatus.FALSE), ("?", ConditionStatus.UNKNOWN)):
        if mark in word:
            kind, _, reason = word.partition(mark)
            return make(kind, status, reason)
    return make(word, ConditionStatus.TRUE, "Done")


def make(kind: str, status: ConditionStatus, reason: str) -> Condition:
    return Condition(
        type=ConditionType(kind), status=status, reason=reason, message="so it is", last_transition_time=NOW
    )


PLANNED = "Accepted Inspected Planned"

TABLE = [
    ("", Phase.PENDING),
    ("Accepted", Phase.PENDING),
    ("Accepted!InvalidSpec", Phase.INVALID),
    ("Accepted Inspected?Inspecting", Phase.INSPECTING),
    ("Accepted Inspected!Inspecting", Phase.INSPECTING),
    ("Accepted Inspected!ModelUnreadable", Phase.INVALID),
    ("Accepted Inspected!DatasetInvalid", Phase.INVALID),
    ("Accepted Inspected!AccessDenied", Phase.INVALID),
    ("Accepted Inspected", Phase.PENDING),
    ("Accepted Inspected Planned!AwaitingSelection", Phase.AWAITING_SELECTION),
    ("Accepted Inspected Planned!Infeasible", Phase.INFEASIBLE),
    ("Accepted Inspected Planned!InfeasibleSelection", Phase.INFEASIBLE),
    ("Accepted Inspected Planned!UnknownOption", Phase.INFEASIBLE),
    (PLANNED, Phase.PLANNED),
    (f"{PLANNED} Admitted!WaitingForCapacity", Phase.WAITING),
    (f"{PLANNED} Admitted!WaitingForOutput", Phase.WAITING),
    (f"{PLANNED} Admitted!WaitingForCapacity Running!Restarting", Phase.RESTARTING),
    (f"{PLANNED} Admitted!Suspended Running!Interrupted", Phase.SUSPENDED),
    (f"{PLANNED} Admitted!Suspended Running", Phase.TRAINING),
    (f"{PLANNED} Running!Starting", Phase.STARTING),
    (f"{PLANNED} Running?Starting", Phase.STARTING),
    (f"{PLANNED} Running", Phase.TRAINING),
    (f"{PLANNED} Running!Restarting", Phase.RESTARTING),
    (f"{PLANNED} Running!Interrupted", Phase.INTERRUPTED),
    (f"{PLANNED} Running!Finished", Phase.PLANNED),
    (f"{PLANNED} Running!Finished Succeeded", Phase.SUCCEEDED),
    (f"{PLANNED} Running!OutOfMemory Failed", Phase.FAILED),
    (f"{PLANNED} Running!Interrupted Failed!Retried", Phase.INTERRUPTED),
]


@pytest.mark.parametrize(("text", "phase"), TABLE, ids=[text or "nothing" for text, _ in TABLE])
def test_the_phase_follows_from_the_conditions(text: str, phase: Phase) -> None:
    assert phase_of(conditions(text)) == phase.value


def test_the_order_of_conditions_means_nothing() -> None:
    for text, phase in TABLE:
        assert phase_of(tuple(reversed(conditions(text)))) == phase.value


def test_every_phase_is_reached() -> None:
    assert {phase for _, phase in TABLE} == set(Phase)


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        pytest.param("Failed Succeeded Running", Phase.FAILED, id="an-end-outweighs-everything"),
        pytest.param("Succeeded Running", Phase.SUCCEEDED, id="success-outweighs-running"),
        pytest.param("Running Accepted!InvalidSpec", Phase.TRAINING, id="running-outweighs-a-broken-spec"),
        pytest.param("Accepted!InvalidSpec Planned", Phase.INVALID, id="a-broken-spec-outweighs-its-old-plan"),
        pytest.param("Inspected?Inspecting Planned", Phase.PLANNED, id="a-plan-outweighs-looking-again"),
    ],
)
def test_what_weighs_more_is_told(text: str, phase: Phase) -> None:
    assert phase_of(conditions(text)) == phase.value


@pytest.mark.parametrize(
    ("text", "over"),
    [("", False), (f"{PLANNED} Running", False), ("Running!Interrupted", False), ("Failed!Retried", False),
     ("Succeeded", True), ("Failed", True)],
)  # fmt: skip
def test_only_an_end_is_over(text: str, *, over: bool) -> None:
    assert is_over(conditions(text)) is over


def test_the_phase_is_plain_text() -> None:
    assert type(phase_of(conditions("Running"))) is str
