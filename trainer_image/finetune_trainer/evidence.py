"""What a finished run is judged and reported by: plain values, no torch."""

from typing import Annotated, Any, Literal

from pydantic import Field

from finetune_trainer.events import DataFacts, HeldOutEvent, MemoryEvent, StepEvent
from finetune_trainer.job_config import PREFERENCE_METRICS, JobConfig, StrictModel
from finetune_trainer.lineage import Lineage


class AnswerRow(StrictModel):
    """One held-out row with the raw answer of one model."""

    file: str
    line: int
    prompt: str
    """As the user wrote it, without the chat template."""
    reference: str
    output: str
    """As generated, special tokens removed, nothing else touched."""


class JudgedAnswers(StrictModel):
    """One held-out row whose answers are judged, with what one model gives them."""

    file: str
    line: int
    wanted: bool
    """False for a single answer that is to be unlearnt."""
    log_probs: tuple[float, ...] = ()
    """Of each answer, summed over its tokens; of a pair the chosen one's first, and of a single one the
    answer itself and then one that belongs elsewhere. Empty for a reward model, which writes nothing."""
    tokens: tuple[int, ...]
    """Of each answer."""
    scores: tuple[float, ...] = ()
    """A reward model's, of the chosen answer and of the other; empty for what writes answers."""


class Evaluation(StrictModel):
    """One model on the held-out rows."""

    subject: Literal["baseline", "tuned"]
    metrics: dict[str, float]
    """By metric name; shares are 0 to 1."""
    answers: tuple[AnswerRow, ...]
    seconds: float
    judged: tuple[JudgedAnswers, ...] = ()
    """Rows of a preference objective; empty for SFT."""

    def rows_behind(self, metric: str, held_out: int) -> int:
        """Rows that a share is of; held_out where it is neither of answers nor of judgements."""
        return (len(self.judged) if metric in PREFERENCE_METRICS else len(self.answers)) or held_out


class Verdict(StrictModel):
    """Keep, Iterate or Discard, by the rule that was stated before the run."""

    decision: Literal["Keep", "Iterate", "Discard"]
    because: str
    """One sentence with the figures."""
    next_step: str
    """One sentence: what to do now, one change at a time."""


class Environment(StrictModel):
    """What it ran on and with."""

    versions: dict[str, str]
    """Package or program to version."""
    device: str
    driver: str
    """Of the device; empty where there is none (CPU)."""
    cores: int
    """That the process may run on."""
    ram_bytes: int
    """That the process may use."""
    command: str
    seed: int
    checksums: dict[str, str]
    """File to sha256:…, of data, model and configuration."""


class RunRecord(StrictModel):
    """Everything that the report is written from."""

    job: JobConfig
    lineage: Lineage
    """Of the result."""
    deepspeed: dict[str, Any]
    train: DataFacts
    evaluation: DataFacts
    history: tuple[StepEvent, ...]
    """Every logged step, across resumptions, without repeats."""
    held_out: tuple[HeldOutEvent, ...]
    """Every evaluation while it was trained, likewise."""
    resumed_from: tuple[int, ...]
    """Steps that the run was resumed from."""
    baseline: Evaluation
    tuned: Evaluation
    verdict: Verdict
    environment: Environment
    memory: MemoryEvent
    started_at: str
    """RFC 3339."""
    training_seconds: Annotated[float, Field(ge=0)]
    """Of the session that finished; earlier sessions of a resumed run aren't in it."""
    output_files: dict[str, int]
    """Name to bytes."""
    digest: str
