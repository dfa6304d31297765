"""Errors as exit codes: the trainer's own where there is one, so that scripts learn one list."""

from typing import Final

from finetune_operator.exceptions import (
    ClusterError,
    DatasetInvalidError,
    FineTuneError,
    InfeasibleError,
    InvalidManifestError,
    ModelUnreadableError,
    OutputConflictError,
    SelectionNeededError,
    StorageFullError,
)
from finetune_trainer.exit_codes import ExitCode

SELECTION_NEEDED: Final = 3
"""Several options are viable, none was chosen, and there is no terminal to ask at."""

INFEASIBLE: Final = 4
"""Nothing, or not what was chosen, fits the hardware."""

CLUSTER: Final = 5
"""kubectl is missing, or the cluster doesn't answer, refuses, or has no such job."""

_CODES: Final[tuple[tuple[type[FineTuneError], int], ...]] = (
    (InvalidManifestError, ExitCode.CONFIGURATION),
    (DatasetInvalidError, ExitCode.DATA),
    (ModelUnreadableError, ExitCode.MODEL),
    (OutputConflictError, ExitCode.OUTPUT_CONFLICT),
    (StorageFullError, ExitCode.STORAGE_FULL),
    (SelectionNeededError, SELECTION_NEEDED),
    (InfeasibleError, INFEASIBLE),
    (ClusterError, CLUSTER),
)

EXIT_CODES_HELP: Final = (
    "Exit codes: 0 done; 2 wrong command line; 3 an option has to be chosen; 4 it doesn't fit the hardware; "
    "10 the job is wrong; 11 the data; 12 the model; 15 the output folder is another job's or in use; 20 out of device "
    "memory; 21 out of memory; 22 diverged; 23 disk full; 24 a training process lost; 25 a step hung; 40 stopped on "
    "request, it can go on; 70 a fault of ours; 130 stopped before anything began. All of them: docs/exit-codes.md."
)
"""At the foot of --help."""


def exit_code_of(error: FineTuneError) -> int:
    """The code that a process ends with after this error."""
    if error.exit_code is not None:
        return error.exit_code
    return next((int(code) for kind, code in _CODES if isinstance(error, kind)), int(ExitCode.INTERNAL))
