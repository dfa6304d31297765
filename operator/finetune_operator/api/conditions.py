"""Standard conditions: pure functions on tuples; the phase is printed from them and never read."""

from enum import StrEnum

from pydantic import AwareDatetime

from finetune_operator.api.base import ApiModel


class ConditionType(StrEnum):
    """What can be said of a job."""

    ACCEPTED = "Accepted"
    """The spec is consistent in itself."""
    INSPECTED = "Inspected"
    """Model and dataset have been read."""
    PLANNED = "Planned"
    """An option is chosen and viable."""
    ADMITTED = "Admitted"
    """Devices for all pods of the run are there."""
    RUNNING = "Running"
    """All ranks have joined."""
    SUCCEEDED = "Succeeded"
    """The output is complete and validated."""
    FAILED = "Failed"
    """It will not be tried again."""


class ConditionStatus(StrEnum):
    """As in metav1.Condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """Why a condition is as it is, where that alone tells how far a job is.

    The reasons of Failed are those of the trainer's exit codes.
    """

    INVALID_SPEC = "InvalidSpec"
    """The spec contradicts itself, the model, or what a cluster can give."""
    INSPECTING = "Inspecting"
    """Model and data are being read."""
    MODEL_UNREADABLE = "ModelUnreadable"
    """The model can't be used."""
    DATASET_INVALID = "DatasetInvalid"
    """The data can't be used."""
    INSPECTION_FAILED = "InspectionFailed"
    """Model and data couldn't be looked at: an image, a volume or a Secret is in the way."""
    AWAITING_SELECTION = "AwaitingSelection"
    """Several options are viable and none is chosen."""
    INFEASIBLE = "Infeasible"
    """Nothing that the job allows fits."""
    INFEASIBLE_SELECTION = "InfeasibleSelection"
    """What was chosen doesn't fit."""
    UNKNOWN_OPTION = "UnknownOption"
    """What was chosen isn't an option."""
    WAITING_FOR_CAPACITY = "WaitingForCapacity"
    """Chosen, and not all pods fit at once now."""
    WAITING_FOR_OUTPUT = "WaitingForOutput"
    """Chosen, and pods of an earlier attempt, or of another job, still write to the output."""
    SUSPENDED = "Suspended"
    """The user holds the job; it goes on when spec.suspend is false again."""
    STARTING = "Starting"
    """Processes are there, and not all ranks have joined."""
    RESTARTING = "Restarting"
    """An attempt has ended and the next one is to begin."""
    INTERRUPTED = "Interrupted"
    """Stopped on request with a checkpoint; the same command goes on."""


class Condition(ApiModel):
    """metav1.Condition."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    """One CamelCase word."""
    message: str
    """One sentence."""
    observed_generation: int = 0
    last_transition_time: AwareDatetime


Conditions = tuple[Condition, ...]


def set_condition(conditions: Conditions, new: Condition) -> Conditions:
    """The conditions with one set; the transition time moves only when the status does."""
    for index, old in enumerate(conditions):
        if old.type is not new.type:
            continue
        kept = old.last_transition_time if old.status is new.status else new.last_transition_time
        updated = new.model_copy(update={"last_transition_time": kept})
        return (*conditions[:index], updated, *conditions[index + 1 :])
    return (*conditions, new)


def find_condition(conditions: Conditions, kind: ConditionType) -> Condition | None:
    """The condition of that type, if it was ever set."""
    return next((c for c in conditions if c.type is kind), None)
