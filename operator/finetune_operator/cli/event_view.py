"""What the trainer says, a line each: for logs, where nothing is left out and nothing moves."""

from collections.abc import Iterator

from finetune_operator.cli.result_view import memory_text
from finetune_operator.cli.run_view import evaluation_parts
from finetune_operator.units import gib, human_count, human_duration
from finetune_trainer.events import (
    CheckpointEvent,
    DataReport,
    EvaluationEvent,
    Event,
    FailureEvent,
    HeldOutEvent,
    InspectionFacts,
    MemoryEvent,
    PhaseEvent,
    ResultEvent,
    ResumeEvent,
    StepEvent,
    WarningEvent,
    deviation,
)


def event_lines(event: Event) -> Iterator[tuple[str, str]]:
    """Label and text of each line that an event is worth."""
    match event:
        case PhaseEvent():
            yield event.phase, f"{event.done}/{event.total} rows" if event.total else event.message
        case StepEvent() | HeldOutEvent():
            yield _step(event)
        case EvaluationEvent():
            yield event.subject, ", ".join(evaluation_parts(event))
        case MemoryEvent():
            error = deviation(event.measured, event.total_predicted)
            yield "memory", f"{memory_text(event.total_predicted, event.measured, error)} after step {event.step}"
        case CheckpointEvent():
            yield "checkpoint", f"step {event.step}"
        case ResumeEvent():
            yield "resumed", f"from the checkpoint of step {event.step}"
        case InspectionFacts():
            yield from _facts(event)
        case DataReport():
            yield "data", f"{event.fault_count} malformed rows, {event.left_out} left out"
        case WarningEvent() | FailureEvent() | ResultEvent():
            yield from _words(event)


def _words(event: WarningEvent | FailureEvent | ResultEvent) -> Iterator[tuple[str, str]]:
    match event:
        case WarningEvent():
            yield "warning", event.message
        case FailureEvent():
            yield "error", f"{event.message} (exit code {event.code})"
        case ResultEvent():
            yield "decision", f"{event.decision.upper()}  {event.because}"
            yield "next", event.next_step


def _step(event: StepEvent | HeldOutEvent) -> tuple[str, str]:
    if isinstance(event, HeldOutEvent):
        return "held out", f"step {event.step}/{event.steps} · loss {event.loss:.3f}"
    figures = (
        f"{event.step}/{event.steps}",
        f"epoch {event.epoch:.2f}",
        f"loss {event.loss:.4f}",
        f"{human_count(event.tokens_per_second)} tok/s",
        gib(event.memory_bytes),
        f"{human_duration(event.remaining_seconds)} left",
    )
    return "step", " · ".join(figures)


def _facts(event: InspectionFacts) -> Iterator[tuple[str, str]]:
    for name, data in (("training", event.train), ("held out", event.evaluation)):
        lengths = data.lengths
        yield name, f"{data.rows} rows, {data.format}, {lengths.p50} tokens each (longest {lengths.max})"
        for fault in data.faults:
            yield "skipped", f"{fault.file}:{fault.line}: {fault.message}"
