"""Every error that a user can cause.

FineTuneError
├── InvalidManifestError      the job or the nodes file is wrong: where, what, what to write instead
├── ModelUnreadableError      the model folder, file or repository can't be used
│   └── UnsupportedArchitectureError
├── DatasetInvalidError       the data can't be used
├── OutputConflictError       the output folder belongs to another job, or is in use
├── StorageFullError          not enough space on the disk
├── InfeasibleError           nothing, or not what was chosen, fits
│   └── UnknownOptionError    the chosen option isn't one that was considered
└── SelectionNeededError      there is a choice, and nobody to ask
"""

from typing import ClassVar


class FineTuneError(Exception):
    """One sentence for the user; `reason` becomes a condition's reason."""

    reason: ClassVar[str] = "Error"


class InvalidManifestError(FineTuneError):
    """The job or the nodes file can't be used as written."""

    reason = "InvalidSpec"


class ModelUnreadableError(FineTuneError):
    """The model can't be read where the job says it is."""

    reason = "ModelUnreadable"


class UnsupportedArchitectureError(ModelUnreadableError):
    """The model's family isn't known to the planner, or its config lacks a field."""


class DatasetInvalidError(FineTuneError):
    """The data can't be used as it is."""

    reason = "DatasetInvalid"


class OutputConflictError(FineTuneError):
    """The output folder belongs to another job or is being written to."""

    reason = "OutputConflict"


class InfeasibleError(FineTuneError):
    """What was asked for doesn't fit the hardware at hand."""

    reason = "Infeasible"


class UnknownOptionError(InfeasibleError):
    """The chosen option isn't one of those that were considered."""

    reason = "UnknownOption"


class SelectionNeededError(FineTuneError):
    """More than one way is viable, none was chosen, and nobody can be asked."""

    reason = "AwaitingSelection"


class StorageFullError(FineTuneError):
    """There isn't enough space on the disk."""

    reason = "StorageFull"
