"""Conditions as standard tools expect them."""

from datetime import UTC, datetime, timedelta

import pytest

from finetune_operator.api.conditions import Condition, ConditionStatus, ConditionType, find_condition, set_condition

THEN = datetime(2026, 1, 2, tzinfo=UTC)
NOW = THEN + timedelta(hours=1)


def condition(kind: ConditionType, status: ConditionStatus, at: datetime, message: str = "so it is") -> Condition:
    return Condition(type=kind, status=status, reason="Because", message=message, last_transition_time=at)


@pytest.mark.parametrize(
    ("status", "time"),
    [
        pytest.param(ConditionStatus.TRUE, THEN, id="same-status-keeps-its-time"),
        pytest.param(ConditionStatus.FALSE, NOW, id="another-status-takes-the-new-time"),
        pytest.param(ConditionStatus.UNKNOWN, NOW, id="not-knowing-is-another-status"),
    ],
)
def test_the_transition_time_moves_only_with_the_status(status: ConditionStatus, time: datetime) -> None:
    before = (condition(ConditionType.RUNNING, ConditionStatus.TRUE, THEN),)
    (after,) = set_condition(before, condition(ConditionType.RUNNING, status, NOW, message="new"))
    assert (after.last_transition_time, after.message) == (time, "new")


def test_a_condition_keeps_its_place_and_leaves_the_others_alone() -> None:
    first = condition(ConditionType.ACCEPTED, ConditionStatus.TRUE, THEN)
    second = condition(ConditionType.PLANNED, ConditionStatus.FALSE, THEN)
    changed = condition(ConditionType.ACCEPTED, ConditionStatus.FALSE, NOW)
    assert set_condition((first, second), changed) == (changed, second)


def test_a_condition_is_added_at_the_end_and_found_again() -> None:
    first = condition(ConditionType.ACCEPTED, ConditionStatus.TRUE, THEN)
    added = condition(ConditionType.FAILED, ConditionStatus.TRUE, NOW)
    conditions = set_condition((first,), added)
    assert conditions == (first, added)
    assert find_condition(conditions, ConditionType.FAILED) is added
    assert find_condition(conditions, ConditionType.RUNNING) is None


def test_the_wire_form_is_metav1_condition() -> None:
    written = condition(ConditionType.FAILED, ConditionStatus.TRUE, THEN).model_dump(mode="json", by_alias=True)
    assert written == {
        "type": "Failed",
        "status": "True",
        "reason": "Because",
        "message": "so it is",
        "observedGeneration": 0,
        "lastTransitionTime": "2026-01-02T00:00:00Z",
    }
