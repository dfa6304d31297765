"""What is worth an Event."""

from datetime import UTC, datetime

from finetune_operator.api.conditions import ConditionStatus, ConditionType
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.lifecycle.status import with_condition
from finetune_operator.lifecycle.transitions import notes, transitions

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


def test_what_went_well_in_one_pass_is_one_note_and_what_did_not_is_one_each() -> None:
    after = say(EMPTY, "Inspected", "Read", message="both were read")
    after = say(after, "Planned", "Chosen", message="lora-1x24g is chosen")
    after = say(after, "Running", "Restarting", "False", message="attempt 1 ended")
    after = say(after, "Failed", "DataError", message="no rows")
    assert [(n.reason, n.message, n.warning) for n in notes(EMPTY, after)] == [
        ("Chosen", "both were read; lora-1x24g is chosen", False),
        ("Restarting", "attempt 1 ended", True),
        ("DataError", "no rows", True),
    ]
    assert list(notes(after, after)) == []
