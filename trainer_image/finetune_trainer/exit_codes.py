"""The trainer's language to whoever started it: one code a cause, each with what happens next. No torch here."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final


class ExitCode(IntEnum):
    """Exit codes of the trainer; 0 is success."""

    OK = 0
    CONFIGURATION = 10
    """job.json or deepspeed.json is invalid or contradicts the machine."""
    DATA = 11
    """The data can't be read, or breaks its contract too often."""
    MODEL = 12
    """The model can't be read, or lacks what the job names."""
    ACCELERATOR_MISSING = 13
    """The plan is for a GPU and there is none."""
    WORLD_SIZE_MISMATCH = 14
    """Fewer or more ranks than planned, two on one device, or ranks that begin with different models."""
    OUTPUT_CONFLICT = 15
    """The output folder belongs to another job, its inputs have changed since, or its checkpoints are of another
    training."""
    OUT_OF_MEMORY = 20
    """The device's memory was not enough."""
    HOST_OUT_OF_MEMORY = 21
    """The machine's memory was not enough."""
    DIVERGED = 22
    """The loss is not a number."""
    STORAGE_FULL = 23
    """No space left where output or checkpoints go."""
    RANK_LOST = 24
    """Another rank is gone; why, that one says itself, or the launcher."""
    HUNG = 25
    """A step didn't end, many times longer than steps take."""
    INTERRUPTED = 40
    """Asked to stop; the same command goes on, from a complete checkpoint where training had begun."""
    INTERNAL = 70
    """A fault of ours; the log has the traceback."""


class NextAction(StrEnum):
    """What is done about a failed attempt."""

    NONE = "None"
    FAIL = "Fail"
    RETRY = "Retry"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code says to the operator."""

    reason: str
    """The condition's reason, one CamelCase word."""
    counts_as_restart: bool
    next_action: NextAction


MEANINGS: Final[dict[ExitCode, Meaning]] = {
    ExitCode.OK: Meaning("Completed", counts_as_restart=False, next_action=NextAction.NONE),
    ExitCode.CONFIGURATION: Meaning("ConfigurationError", counts_as_restart=False, next_action=NextAction.FAIL),
    ExitCode.DATA: Meaning("DataError", counts_as_restart=False, next_action=NextAction.FAIL),
    ExitCode.MODEL: Meaning("ModelError", counts_as_restart=False, next_action=NextAction.FAIL),
    ExitCode.ACCELERATOR_MISSING: Meaning("AcceleratorMissing", counts_as_restart=True, next_action=NextAction.RETRY),
    ExitCode.WORLD_SIZE_MISMATCH: Meaning("WorldSizeMismatch", counts_as_restart=True, next_action=NextAction.RETRY),
    ExitCode.OUTPUT_CONFLICT: Meaning("OutputConflict", counts_as_restart=False, next_action=NextAction.FAIL),
    ExitCode.OUT_OF_MEMORY: Meaning("OutOfMemory", counts_as_restart=False, next_action=NextAction.FAIL),
    ExitCode.HOST_OUT_OF_MEMORY: Meaning("HostOutOfMemory", counts_as_restart=False, next_action=NextAction.FAIL),
    ExitCode.DIVERGED: Meaning("Diverged", counts_as_restart=False, next_action=NextAction.FAIL),
    ExitCode.STORAGE_FULL: Meaning("StorageFull", counts_as_restart=False, next_action=NextAction.FAIL),
    ExitCode.RANK_LOST: Meaning("RankLost", counts_as_restart=True, next_action=NextAction.RETRY),
    ExitCode.HUNG: Meaning("Hung", counts_as_restart=True, next_action=NextAction.RETRY),
    ExitCode.INTERRUPTED: Meaning("Interrupted", counts_as_restart=False, next_action=NextAction.RETRY),
    ExitCode.INTERNAL: Meaning("InternalError", counts_as_restart=True, next_action=NextAction.RETRY),
}
"""Every code's meaning; a contract test holds that none is missing."""


class TrainerError(Exception):
    """A failure with its exit code and one sentence for a person."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
