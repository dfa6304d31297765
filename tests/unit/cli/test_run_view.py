"""What a run says where there is no terminal."""

from pathlib import Path

import pytest

from finetune_operator.cli.run_view import RunView
from finetune_operator.lifecycle.status import begun, started
from finetune_operator.local.record import Record
from finetune_trainer.events import (
    CheckpointEvent,
    EvaluationEvent,
    Event,
    FailureEvent,
    PhaseEvent,
    ResultEvent,
    ResumeEvent,
    WarningEvent,
)
from tests.support.golden import check_golden
from tests.support.plans import make_plan
from tests.support.trainer_builders import make_held_out
from tests.unit.lifecycle.test_status import FACTS, MEMORY, NOW, RESULT, STEP

METRICS = {"loss": 2.1, "json-valid": 0.5}

EVENTS: tuple[Event, ...] = (
    PhaseEvent(phase="data", message="reading and checking rows"),
    WarningEvent(message="checkpoint-20 was not finished; the one before it is used"),
    PhaseEvent(phase="baseline", message="evaluating held-out rows", done=16, total=60),
    PhaseEvent(phase="baseline", message="evaluating held-out rows", done=32, total=60),
    EvaluationEvent(subject="baseline", rows=60, metrics=METRICS),
    ResumeEvent(step=100, path="c"),
    make_held_out(120, 0.398, steps=450),
    STEP,
    MEMORY,
    STEP.model_copy(update={"step": 121}),
    MEMORY.model_copy(update={"step": 300}),
    CheckpointEvent(step=121, path="c"),
    EvaluationEvent(subject="tuned", rows=60, metrics=METRICS),
    RESULT,
)


def record(result: ResultEvent | None) -> Record:
    return Record(
        spec={},
        option="lora-1x24g",
        hash="sha256:1",
        product=None,
        devices=1,
        bundle=Path("/out/.finetune/bundle"),
        result=result,
    )


def test_a_run_reads_as_a_log_and_ends_with_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    status = started(begun(FACTS, None, make_plan(), "sha256:1", NOW), NOW)
    with RunView(interactive=False) as view:
        view.notify("unpacking base.gguf, once")
        view.begin(record(None), status)
        for event in EVENTS:
            view.event(event)
    check_golden("cli/run.txt", capsys.readouterr().out)


def test_a_failure_goes_to_stderr_as_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with RunView(interactive=False) as view:
        view.event(FailureEvent(code=23, message="no space left"))
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "error: no space left\n")


def test_a_finished_run_shows_its_result_again(capsys: pytest.CaptureFixture[str]) -> None:
    status = started(begun(FACTS, None, make_plan(), "sha256:1", NOW), NOW)
    with RunView(interactive=False) as view:
        view.begin(record(RESULT), status)
    assert "has run already" in capsys.readouterr().out
