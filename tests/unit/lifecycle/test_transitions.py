"""What is worth an Event."""

from datetime import UTC, datetime

from finetune_operator.api.conditions import ConditionStatus, ConditionType
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.lifecycle.status import with_condition
from finetune_operator.lifecycle.transitions import transitions

NOW = datetime(2026, 1, 2, tzinfo=UTC)
EMPTY = FineTuneJobStatus()


def say(
    status: FineTuneJobStatus, kind: str, reason: str, value: str = "True", message: str = "so"
) -> FineTuneJobStatus:
    return with_condition(status, ConditionType(kind), reason, message, NOW, ConditionStatus(value))


def test_a_condition_that_is_new_is_told() -> None:
    notes = list(transitions(EMPTY, say(EMPTY, "Accepted", "Valid")))
    assert [(n.reason, n.message, n.warning) for n in notes] == [("Valid", "so", False)]


def test_another_message_alone_is_no_transition() -> None:
    before = say(EMPTY, "Running", "Running")
    assert list(transitions(before, say(before, "Running", "Running", message="step 2"))) == []


def test_another_reason_is_one() -> None:
    before = say(EMPTY, "Planned", "AwaitingSelection", "False")
    notes = list(transitions(before, say(before, "Planned", "UnknownOption", "False")))
    assert [(n.reason, n.warning) for n in notes] == [("UnknownOption", True)]


def test_waiting_is_no_warning_and_failing_is_one() -> None:
    after = say(say(EMPTY, "Admitted", "WaitingForCapacity", "False"), "Failed", "DataError")
    assert [n.warning for n in transitions(EMPTY, after)] == [False, True]
