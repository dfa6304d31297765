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
├── SelectionNeededError      there is a choice, and nobody to ask
└── ClusterError              kubectl is missing, or the cluster doesn't answer or refuses
"""


class FineTuneError(Exception):
    """One sentence for the user, and what it doesn't say for those who look closer."""

    exit_code: int | None = None
    """A child process's own code, where it is more exact than that of the class."""
    details: str = ""
    """What a child process said beside its sentence; for people who ask for it."""


class InvalidManifestError(FineTuneError):
    """The job or the nodes file can't be used as written."""


class ModelUnreadableError(FineTuneError):
    """The model can't be read where the job says it is."""


class UnsupportedArchitectureError(ModelUnreadableError):
    """The model's family isn't known to the planner, or its config lacks a field."""


class DatasetInvalidError(FineTuneError):
    """The data can't be used as it is."""


class OutputConflictError(FineTuneError):
    """The output folder belongs to another job or is being written to."""


class InfeasibleError(FineTuneError):
    """What was asked for doesn't fit the hardware at hand."""


class UnknownOptionError(InfeasibleError):
    """The chosen option isn't one of those that were considered."""


class SelectionNeededError(FineTuneError):
    """More than one way is viable, none was chosen, and nobody can be asked."""


class StorageFullError(FineTuneError):
    """There isn't enough space on the disk."""


class ClusterError(FineTuneError):
    """kubectl is missing, or the cluster doesn't answer, refuses, or lacks what was asked for."""
