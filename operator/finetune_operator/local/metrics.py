"""metrics.prom in the output folder: predicted and measured memory for Prometheus' textfile collector."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from finetune_operator.local.files import write_atomically
from finetune_operator.local.record import Record
from finetune_trainer.events import MEMORY_FILE, MemoryEvent
from finetune_trainer.job_config import STATE_FOLDER, load_job

METRICS_FILE: Final = "metrics.prom"
"""Beside the result; Prometheus' text format."""

Sample = tuple[str, int]
"""Value of the label that tells a metric's samples apart, and bytes."""


def write_metrics(output: Path, record: Record) -> None:
    """Write what a run has measured, complete or not at all; nothing where it hasn't come to measuring.

    Raises:
        OSError: the folder can't be written to.
    """
    memory = _read(output / STATE_FOLDER / MEMORY_FILE)
    if memory is not None:
        labels = {"name": load_job(record.job_file).name, "option": record.option}
        write_atomically(output / METRICS_FILE, render(memory, labels))


def render(memory: MemoryEvent, labels: dict[str, str]) -> str:
    """The file's text."""
    predicted = [(c, b) for c, b in memory.predicted.items() if b]
    metrics: tuple[tuple[str, str, str, list[Sample]], ...] = (
        ("predicted_bytes", "Peak memory of one device as planned, by component.", "component", predicted),
        (
            "measured_bytes",
            "Peak memory of one device in training as measured, by component; + joins what can't be told apart.",
            "component",
            list(memory.components.items()),
        ),
        ("phase_peak_bytes", "Peak memory of one device by phase of the run.", "phase", list(memory.phases.items())),
        (
            "peak_bytes",
            "Peak memory of one device in training, predicted and measured.",
            "origin",
            [("predicted", memory.total_predicted), ("measured", memory.measured)],
        ),
    )
    lines = (line for metric in metrics if metric[3] for line in _metric(*metric, labels))
    return "".join(f"{line}\n" for line in lines)


def _metric(name: str, meaning: str, label: str, samples: list[Sample], labels: dict[str, str]) -> Iterator[str]:
    whole = f"finetune_memory_{name}"
    yield f"# HELP {whole} {meaning}"
    yield f"# TYPE {whole} gauge"
    for value, count in samples:
        told = ",".join(f'{key}="{_escape(text)}"' for key, text in (labels | {label: value}).items())
        yield f"{whole}{{{told}}} {count}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _read(path: Path) -> MemoryEvent | None:
    try:
        return MemoryEvent.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        # not measured yet, or by another version
        return None
