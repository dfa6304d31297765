"""What a finished run is judged and reported by: plain values, no torch."""

from typing import Annotated, Any, Literal

from pydantic import Field

from finetune_trainer.events import DataFacts, MemoryEvent, StepEvent
from finetune_trainer.job_config import JobConfig, StrictModel


class AnswerRow(StrictModel):
    """One held-out row with the raw answer of one model."""

    file: str
    line: int
    prompt: str
    """As the user wrote it, without the chat template."""
    reference: str
    output: str
    """As generated, special tokens removed, nothing else touched."""


class Evaluation(StrictModel):
    """One model on the held-out rows."""

    subject: Literal["baseline", "tuned"]
    metrics: dict[str, float]
    """By metric name; shares are 0 to 1."""
    answers: tuple[AnswerRow, ...]
    seconds: float


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
    deepspeed: dict[str, Any]
    train: DataFacts
    evaluation: DataFacts
    history: tuple[StepEvent, ...]
    """Every logged step, across resumptions, without repeats."""
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
