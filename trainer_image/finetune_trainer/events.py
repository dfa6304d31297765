"""What the trainer says while it runs: one JSON object a line, with a prefix of its own, on rank 0's stdout. No torch.

The reader takes what follows the prefix and leaves the rest (libraries' own output) alone.
"""

from typing import Annotated, Final, Literal, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from finetune_trainer.job_config import Count, StrictModel

PREFIX: Final = "@finetune "
"""Starts each event's line, or follows what a library left standing there without a line's end."""

MEMORY_FILE: Final = "memory.json"
"""In the state folder: the last word on memory, which a session that has nothing left to train goes by."""

TOGETHER: Final = "+"
"""Between the names of components that can't be told apart: activations+logits."""

REPORT_FILE: Final = "finetune_report.md"
"""In the output folder of a complete run: the report, for people."""

ROWS_FILE: Final = "evaluation_rows.jsonl"
"""Beside the report: every held-out row with both models' raw outputs."""

CURVES: Final = "curves"
"""Folder beside the report, with its pictures."""


class RowFault(StrictModel):
    """One malformed row, where it is and what is wrong with it."""

    file: str
    line: int
    """From 1; 0 where the whole file is meant."""
    message: str


class TokenLengths(StrictModel):
    """Row lengths in tokens, prompt and answer together; of two answers the longer one counts, and both in totals."""

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


class EvaluationShape(StrictModel):
    """The largest of the batches in which held-out rows go through a model, in tokens, padding included."""

    tokens: int
    pairs: int
    """Tokens times the longest row of their batch: pairs of them that attention looks at."""
    positions: int
    """Positions that the output head runs for at once: those from the first of an answer on."""
    targets: int
    """Of them those whose token is an answer's."""
    prompt_tokens: int
    """Of prompts that the model answers by itself; 0, as are all below, where none does."""
    prompt_pairs: int
    answering: int
    """Rows of the batch that is largest with the answers that the model may write."""
    reach: int
    """Tokens of each of these in the end."""


class InspectionFacts(StrictModel):
    """What the planner needs to know of model and data."""

    event: Literal["inspection"] = "inspection"
    model_config_json: str
    """The model's config.json as it stands."""
    weight_bytes: int
    """Bytes of the safetensors files."""
    train: DataFacts
    evaluation: DataFacts
    evaluated: EvaluationShape
    """How the held-out rows are gone through."""
    commit: str | None = None
    """Of a model from the hub, that this was read at: a branch moves. None where it isn't known."""


FlagKind = Literal["duplicate", "leak", "too-long", "same-input", "near-duplicate", "near-leak", "secret", "personal"]
"""What is said of a row that can be read: the first two make it a bad one, too-long where tokens are counted, and
same-input where the job asks for unique ones."""


class RowFlag(StrictModel):
    """Something to look at in one row."""

    kind: FlagKind
    file: str
    line: int
    message: str


class Share(StrictModel):
    """How many rows have a value."""

    value: str
    rows: Count


class Spread(StrictModel):
    """How a length is spread over rows."""

    p50: Count
    p95: Count
    max: Count
    below: tuple[Count, ...]
    """Ends of the histogram's classes, each excluded."""
    rows: tuple[Count, ...]
    """Rows of each class."""


class Balance(StrictModel):
    """Values of one field of the answers, or of whole answers that are short."""

    field: str
    values: tuple[Share, ...]
    """The most frequent first."""


class Variety(StrictModel):
    """How many different texts stand where one is expected."""

    rows: Count
    """Rows that have one."""
    distinct: Count
    most: tuple[Share, ...]
    """The most frequent, each cut short."""


class CheckedFile(StrictModel):
    """One file that was checked."""

    file: str
    role: Literal["train", "evaluation"]
    format: str
    rows: Count
    """Of the format, well-formed and within the contract."""
    bad: Count


class DataReport(StrictModel):
    """What is to be said of files of rows."""

    event: Literal["data"] = "data"
    files: tuple[CheckedFile, ...]
    faults: tuple[RowFault, ...]
    """Malformed rows; the first of each file where there are many."""
    fault_count: Count
    left_out: Count
    """Rows that a run would leave out: malformed, there twice, held out, or longer than the tokens that are counted."""
    flags: tuple[RowFlag, ...]
    """The first of each kind where there are many."""
    flag_counts: dict[FlagKind, Count]
    answers: Spread | None
    """Lengths in characters; None where rows have no answers."""
    lengths: Spread | None
    """Of whole rows, in `measure`; None where no row is usable."""
    measure: Literal["tokens", "characters / 4"]
    max_length: int | None
    balances: tuple[Balance, ...]
    instructions: Variety
    """Of Alpaca's rows."""
    systems: Variety
    """System prompts."""


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
    reward_accuracy: float | None = None
    """Share of rows that the rewards judge rightly, since the step told before; None for SFT."""
    reward_margin: float | None = None
    """Mean reward of chosen or wanted answers less that of the others; None for SFT, and where one kind is lacking."""


class HeldOutEvent(StrictModel):
    """The objective's loss on held-out rows after a step; SFT's is measured as before and after the training."""

    event: Literal["held-out"] = "held-out"
    step: int
    steps: int
    epoch: float
    loss: float
    """Mean over the answers' tokens; of objectives on judged answers over the rows."""
    rows: int
    tokens: int
    """Of all answers."""
    seconds: float
    """That it took."""


MemoryPhase = Literal["loading", "baseline", "preparing", "forward", "backward", "step", "saving", "tuned"]
"""What a peak of memory is the peak of."""

PHASES: Final[dict[MemoryPhase, str]] = {
    "loading": "loading the base model",
    "baseline": "evaluating the base model",
    "preparing": "preparing the engine",
    "forward": "forward pass and loss",
    "backward": "backward pass",
    "step": "optimizer step",
    "saving": "saving",
    "tuned": "evaluating the result",
}
"""In words, in the order in which they come; a checkpoint is read while preparing, and its writing is saving."""


class Compared(NamedTuple):
    """One component, or several that can't be told apart, in bytes."""

    component: str
    predicted: int
    measured: int | None
    """None where it can't be there at the measured peak."""


class MemoryEvent(StrictModel):
    """Peak memory of one device, in bytes: measured against predicted, by phase and by component."""

    event: Literal["memory"] = "memory"
    step: int
    """Optimizer steps behind it."""
    predicted: dict[str, Count]
    """By component, as the plan has it; they add up to the prediction."""
    measured: Count
    """The highest of forward, backward and step, which is what a plan predicts."""
    measured_by: str
    """How."""
    peak: MemoryPhase
    """When it was measured."""
    phases: dict[MemoryPhase, Count]
    """Peak of each."""
    predicted_phases: dict[MemoryPhase, Count] = Field(default_factory=dict)
    """Of those that a plan predicts; none where an older version has planned."""
    components: dict[str, Count]
    """What `measured` is made of; names that can't be told apart stand together, as in activations+logits."""
    tensors: dict[str, Count]
    """What live tensors alone hold, by component; gradients as they are after the backward pass."""
    idle: Count
    """When the first step began: process, weights, and whatever of the optimizer is there by then."""
    device: dict[str, Count]
    """Of a GPU: allocated, reserved and process; empty for a CPU."""

    @property
    def total_predicted(self) -> int:
        """The whole prediction."""
        return sum(self.predicted.values())

    def compared(self) -> tuple[Compared, ...]:
        """Predicted against measured: first what was measured, then what is only predicted."""
        measured = tuple(
            Compared(name, sum(self.predicted.get(part, 0) for part in name.split(TOGETHER)), count)
            for name, count in self.components.items()
        )
        told = {part for name in self.components for part in name.split(TOGETHER)}
        rest = (Compared(name, count, None) for name, count in self.predicted.items() if count and name not in told)
        return (*measured, *rest)


def deviation(measured: int, predicted: int) -> str | None:
    """How far off the prediction was, in percent of it: "+7%"; None where nothing was predicted."""
    return f"{measured / predicted - 1:+.0%}" if predicted else None


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
    | DataReport
    | PhaseEvent
    | StepEvent
    | HeldOutEvent
    | MemoryEvent
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
