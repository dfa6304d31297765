import json
import math

import pytest

from finetune_trainer.events import (
    PREFIX,
    CheckpointEvent,
    EvaluationEvent,
    Event,
    FailureEvent,
    InspectionFacts,
    PhaseEvent,
    ResultEvent,
    ResumeEvent,
    WarningEvent,
    deviation,
    format_event,
    parse_event,
)
from tests.support.trainer_builders import make_facts, make_fault, make_gpu_memory, make_memory, make_shape, make_step

EVENTS: list[Event] = [
    InspectionFacts(
        model_config_json='{"model_type": "llama"}',
        weight_bytes=10**12,
        train=make_facts(skipped=1, faults=(make_fault(),), fault_count=1),
        evaluation=make_facts(),
        evaluated=make_shape(),
    ),
    PhaseEvent(phase="baseline", message="evaluating", done=3, total=60),
    make_step(7, gradient_norm=None),
    make_memory(),
    make_gpu_memory(),
    CheckpointEvent(step=7, path="out/checkpoints/checkpoint-7"),
    ResumeEvent(step=7, path="out/checkpoints/checkpoint-7"),
    WarningEvent(message="line\nline\u2028line \x1b[31m 優先"),
    EvaluationEvent(subject="tuned", rows=60, metrics={"loss": 0.1 + 0.2}),
    ResultEvent(
        decision="Keep",
        because="x",
        next_step="y",
        rows=60,
        baseline={"loss": 2.0},
        tuned={"loss": 1.0},
        memory_predicted=1,
        memory_measured=2,
        output="out",
        output_bytes=3,
        digest="sha256:00",
        report="out/finetune_report.md",
    ),
    FailureEvent(code=20, message="x"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: e.event)
def test_an_event_comes_back_from_its_line(event: Event) -> None:
    line = format_event(event)
    assert "\n" not in line
    assert parse_event(line + "\n") == event


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan], ids=str)
def test_a_figure_that_is_no_number_comes_back(value: float) -> None:
    found = parse_event(format_event(EvaluationEvent(subject="tuned", rows=1, metrics={"loss": value})))
    assert isinstance(found, EvaluationEvent)
    assert str(found.metrics["loss"]) == str(value)


def test_an_event_is_found_behind_what_a_library_left_on_the_line() -> None:
    event = make_step()
    assert parse_event(f"loading: 50%{format_event(event)}") == event


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("", id="empty"),
        pytest.param("step 1 of 90", id="a-library's-line"),
        pytest.param(PREFIX, id="nothing-behind-the-prefix"),
        pytest.param(format_event(make_step())[:-5], id="cut-short"),
        pytest.param(f"{PREFIX}[1, 2]", id="no-object"),
        pytest.param(PREFIX + json.dumps({"event": "unheard-of"}), id="unknown-event"),
        pytest.param(PREFIX + json.dumps({"event": "warning", "message": "x", "more": 1}), id="unknown-key"),
    ],
)
def test_another_line_is_no_event(line: str) -> None:
    assert parse_event(line) is None


def test_components_that_were_not_told_apart_are_held_against_the_sum_of_their_predictions() -> None:
    predicted = {"weights": 10, "gradients": 2, "activations": 5, "logits": 3, "gathered": 0}
    memory = make_memory(predicted=predicted, components={"weights": 11, "activations+logits+context": 9, "buckets": 1})
    assert memory.compared() == (
        ("weights", 10, 11),
        ("activations+logits+context", 8, 9),
        ("buckets", 0, 1),
        ("gradients", 2, None),
    )


@pytest.mark.parametrize(
    ("measured", "predicted", "expected"),
    [(107, 100, "+7%"), (93, 100, "-7%"), (100, 100, "+0%"), (300, 100, "+200%"), (5, 0, None)],
)
def test_a_deviation_is_a_share_of_the_prediction(measured: int, predicted: int, expected: str | None) -> None:
    assert deviation(measured, predicted) == expected
