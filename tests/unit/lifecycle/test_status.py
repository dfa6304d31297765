"""The fold from the trainer's events to a job's status."""

from datetime import UTC, datetime, timedelta

import pytest

from finetune_operator.api.conditions import ConditionType, find_condition
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.lifecycle.status import advance, begun, started
from finetune_operator.planner.facts import DatasetFacts, Facts, ModelFacts, evaluated_at_most
from finetune_operator.units import Bytes
from finetune_trainer.events import (
    CheckpointEvent,
    Event,
    FailureEvent,
    MemoryEvent,
    PhaseEvent,
    ResultEvent,
    ResumeEvent,
    StepEvent,
    WarningEvent,
)
from finetune_trainer.exit_codes import MEANINGS, ExitCode
from tests.support.plans import make_plan
from tests.support.trainer_builders import make_held_out

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)

FACTS = Facts(
    model=ModelFacts(config={"architectures": ["LlamaForCausalLM"]}, weight_bytes=Bytes(1)),
    dataset=DatasetFacts(rows=10, tokens=100, p50=10, p95=12, longest=14, evaluated=evaluated_at_most(14, 4)),
)
STEP = StepEvent(
    step=120,
    steps=450,
    epoch=0.8,
    loss=0.41234,
    learning_rate=1.7e-4,
    gradient_norm=None,
    tokens_per_second=2310.4,
    remaining_seconds=190,
    memory_bytes=1,
)
GIB = 1024**3
MEMORY = MemoryEvent(
    step=2,
    predicted={"weights": GIB, "gradients": GIB // 8, "activations": GIB // 2, "context": GIB // 8},
    measured=2 * GIB,
    measured_by="peak of something",
    peak="forward",
    phases={"step": GIB, "forward": 2 * GIB, "loading": GIB // 2},
    components={"weights": GIB, "activations+logits+context": GIB},
    tensors={"weights": GIB},
    idle=GIB,
    device={},
)
RESULT = ResultEvent(
    decision="Keep",
    because="it is better",
    next_step="use it",
    rows=60,
    baseline={"json-valid": 0.0, "perplexity": 14.2},
    tuned={"json-valid": 1.0, "perplexity": 1.9},
    memory_predicted=2 * 1024**3,
    memory_measured=1024**3,
    output="/out",
    output_bytes=5,
    digest="sha256:00",
    report="/out/finetune_report.md",
)


def running(*events: Event) -> FineTuneJobStatus:
    status = started(begun(FACTS, None, make_plan(), "sha256:1", NOW), NOW)
    for event in events:
        status = advance(status, event, LATER)
    return status


def test_a_chosen_plan_is_planned() -> None:
    status = begun(FACTS, None, make_plan(), "sha256:1", NOW)
    assert status.phase == "Planned"
    assert status.plan is not None
    assert status.plan.option == "lora-1x24g"
    assert status.model is not None
    assert status.model.architecture == "LlamaForCausalLM"


def test_phases_follow_the_events() -> None:
    assert running().phase == "Starting"
    assert running(PhaseEvent(phase="data", message="reading")).phase == "Training"
    assert running(STEP).phase == "Training"
    assert running(STEP, RESULT).phase == "Succeeded"


def test_a_step_is_told_as_text() -> None:
    progress = running(STEP).progress
    assert progress is not None
    assert (progress.loss, progress.learning_rate, progress.remaining) == ("0.4123", "0.00017", "3m10s")
    assert progress.tokens_per_second == 2310


def test_the_loss_on_held_out_rows_stays_until_it_is_measured_again() -> None:
    first = make_held_out(100, 0.43)
    # before the first step is told there is no progress to tell it with
    assert running(first).progress is None
    told = running(STEP, make_held_out(120, 0.39812), STEP.model_copy(update={"step": 121})).progress
    assert told is not None
    assert (told.step, told.evaluation_loss) == (121, "0.3981")


def test_a_checkpoint_and_a_resumption_are_kept() -> None:
    status = running(ResumeEvent(step=100, path="c-100"), CheckpointEvent(step=200, path="c-200"))
    assert status.checkpoint is not None
    assert (status.checkpoint.step, status.checkpoint.saved_at) == (200, LATER)


def test_a_warning_changes_nothing() -> None:
    assert running(STEP, WarningEvent(message="mind")) == running(STEP)


def test_the_result_is_kept_whole() -> None:
    status = running(RESULT)
    assert status.evaluation is not None
    assert status.evaluation.tuned == {"json-valid": "1", "perplexity": "1.9"}
    assert status.memory is not None
    assert (status.memory.predicted, status.memory.measured, status.memory.error) == ("2.0GiB", "1.0GiB", "-50%")
    assert status.output is not None
    assert status.output.path == "/out"


def test_measured_memory_is_held_against_the_plan() -> None:
    memory = running(STEP, MEMORY).memory
    assert memory is not None
    assert memory.model_dump(mode="json", by_alias=True, exclude_none=True) == {
        "predicted": "1.8GiB",
        "measured": "2.0GiB",
        "error": "+14%",
        "peak": "forward",
        "phases": {"loading": "512MiB", "forward": "2.0GiB", "step": "1.0GiB"},
        "components": {
            "weights": {"predicted": "1.0GiB", "measured": "1.0GiB"},
            "activations+logits+context": {"predicted": "640MiB", "measured": "1.0GiB"},
            "gradients": {"predicted": "128MiB"},
        },
    }


def test_memory_told_twice_is_told_once() -> None:
    assert running(MEMORY, MEMORY) == running(MEMORY)


def test_memory_told_again_replaces_what_was_told_before() -> None:
    grown = MEMORY.model_copy(update={"measured": 3 * GIB, "step": 90})
    memory = running(MEMORY, grown).memory
    assert memory is not None
    assert (memory.measured, memory.error) == ("3.0GiB", "+71%")


def test_the_result_keeps_what_was_told_of_components() -> None:
    before, after = running(MEMORY).memory, running(MEMORY, RESULT).memory
    assert before is not None
    assert after is not None
    assert (after.predicted, after.measured, after.error) == ("2.0GiB", "1.0GiB", "-50%")
    assert (after.components, after.phases, after.peak) == (before.components, before.phases, before.peak)


def test_a_prediction_of_nothing_has_no_error() -> None:
    memory = running(MEMORY.model_copy(update={"predicted": {}})).memory
    assert memory is not None
    assert memory.error is None


@pytest.mark.parametrize("code", [c for c in ExitCode if c not in {ExitCode.OK, ExitCode.INTERRUPTED}])
def test_a_failure_has_the_reason_of_its_code(code: ExitCode) -> None:
    status = running(STEP, FailureEvent(code=code, message="what happened"))
    failed = find_condition(status.conditions, ConditionType.FAILED)
    assert failed is not None
    assert (failed.reason, failed.message) == (MEANINGS[code].reason, "what happened")
    assert status.phase == "Failed"


def test_a_stop_on_request_is_no_failure() -> None:
    status = running(STEP, FailureEvent(code=ExitCode.INTERRUPTED, message="stopped"))
    assert find_condition(status.conditions, ConditionType.FAILED) is None
    assert status.phase == "Interrupted"


def test_a_new_session_forgets_the_failure_of_the_last() -> None:
    failed = running(FailureEvent(code=ExitCode.STORAGE_FULL, message="full"))
    assert started(failed, LATER).phase == "Starting"


def test_status_survives_its_file() -> None:
    status = running(STEP, MEMORY, RESULT)
    text = status.model_dump_json(by_alias=True)
    assert FineTuneJobStatus.model_validate_json(text) == status
