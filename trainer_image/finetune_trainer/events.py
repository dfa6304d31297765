"""What the trainer says while it runs: one JSON object a line, with a prefix of its own, on rank 0's stdout. No torch.

The reader takes what follows the prefix and leaves the rest (libraries' own output) alone.
"""

from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from finetune_trainer.job_config import StrictModel

PREFIX: Final = "@finetune "
"""Starts each event's line, or follows what a library left standing there without a line's end."""

REPORT_FILE: Final = "finetune_report.md"
"""In the output folder of a complete run: the report, for people."""


class RowFault(StrictModel):
    """One malformed row, where it is and what is wrong with it."""

    file: str
    line: int
    """From 1; 0 where the whole file is meant."""
    message: str


class TokenLengths(StrictModel):
    """Row lengths in tokens, prompt and answer together."""

    p50: int
    p95: int
    max: int
    total: int
    answer_total: int
    """Tokens that the loss is on."""


class DataFacts(StrictModel):
    """What inspection found in one set of rows."""

    format: str
    rows: int
    """Usable rows."""
    skipped: int
    faults: tuple[RowFault, ...]
    """At most 10."""
    fault_count: int
    lengths: TokenLengths


class InspectionFacts(StrictModel):
    """What the planner needs to know of model and data."""

    event: Literal["inspection"] = "inspection"
    model_config_json: str
    """The model's config.json as it stands."""
    weight_bytes: int
    """Bytes of the safetensors files."""
    train: DataFacts
    evaluation: DataFacts


class PhaseEvent(StrictModel):
    """A phase begins."""

    event: Literal["phase"] = "phase"
    phase: Literal["loading", "data", "baseline", "training", "tuned", "saving"]
    message: str
    done: int = 0
    """Units done, where the phase counts: rows evaluated."""
    total: int = 0


class StepEvent(StrictModel):
    """An optimizer step is done."""

    event: Literal["step"] = "step"
    step: int
    steps: int
    epoch: float
    loss: float
    learning_rate: float
    gradient_norm: float | None
    """Before clipping; None where DeepSpeed doesn't tell it (FP32 with ZeRO-0)."""
    tokens_per_second: float
    """Real tokens, padding not counted, over all ranks."""
    remaining_seconds: float
    memory_bytes: int
    """Measured peak of this rank's device so far, in the planner's terms."""


class CheckpointEvent(StrictModel):
    """A complete checkpoint is there."""

    event: Literal["checkpoint"] = "checkpoint"
    step: int
    path: str


class ResumeEvent(StrictModel):
    """Training goes on from a checkpoint."""

    event: Literal["resume"] = "resume"
    step: int
    path: str


class WarningEvent(StrictModel):
    """Something the user should know."""

    event: Literal["warning"] = "warning"
    message: str


class EvaluationEvent(StrictModel):
    """The held-out rows have been evaluated."""

    event: Literal["evaluation"] = "evaluation"
    subject: Literal["baseline", "tuned"]
    rows: int
    metrics: dict[str, float]


class ResultEvent(StrictModel):
    """The run is complete and its output validated."""

    event: Literal["result"] = "result"
    decision: Literal["Keep", "Iterate", "Discard"]
    because: str
    next_step: str
    rows: int
    """Held-out rows behind the metrics."""
    baseline: dict[str, float]
    tuned: dict[str, float]
    memory_predicted: int
    memory_measured: int
    output: str
    """Folder of the result."""
    output_bytes: int
    digest: str
    """sha256:… of the adapter's or model's safetensors."""
    report: str


class FailureEvent(StrictModel):
    """The run ended with this code."""

    event: Literal["failure"] = "failure"
    code: int
    message: str


Event = Annotated[
    InspectionFacts
    | PhaseEvent
    | StepEvent
    | CheckpointEvent
    | ResumeEvent
    | WarningEvent
    | EvaluationEvent
    | ResultEvent
    | FailureEvent,
    Field(discriminator="event"),
]

_ADAPTER: Final[TypeAdapter[Event]] = TypeAdapter(Event)


def format_event(event: Event) -> str:
    """The event as its line, without the line's end."""
    return PREFIX + event.model_dump_json()


def parse_event(line: str) -> Event | None:
    """The event on a line; None where the line isn't one of ours."""
    _, found, event = line.partition(PREFIX)
    if not found:
        return None
    try:
        return _ADAPTER.validate_json(event)
    except ValidationError:
        # cut short by a kill
        return None
