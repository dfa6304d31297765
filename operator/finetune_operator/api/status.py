"""What we say of a job under `status`: whole, computed in one place, written once a pass."""

from enum import StrEnum

from pydantic import AwareDatetime, Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.conditions import Conditions
from finetune_operator.api.spec import Accelerator, Method


class Offload(StrEnum):
    """Where optimizer state, and with Parameters also weights, live outside the device."""

    NONE = "None"
    OPTIMIZER = "Optimizer"
    PARAMETERS = "Parameters"


class Checkpointing(StrEnum):
    """Whether activations are kept or computed again in the backward pass."""

    NONE = "None"
    FULL = "Full"


class Decision(StrEnum):
    """The verdict on a finished run."""

    KEEP = "Keep"
    ITERATE = "Iterate"
    DISCARD = "Discard"


class ModelStatus(ApiModel):
    """The base model as it was read."""

    architecture: str
    parameters: int
    revision: str | None = None
    """Commit of a model from the hub: what is inspected and what every attempt trains."""


class TokenStatus(ApiModel):
    """Row lengths in tokens."""

    p50: int
    p95: int
    max: int


class Fault(ApiModel):
    """One malformed row."""

    file: str
    line: int
    message: str


class DatasetStatus(ApiModel):
    """The data as it was read."""

    format: str
    rows: int
    skipped: int
    tokens: TokenStatus
    faults: tuple[Fault, ...] = ()


class DeviceStatus(ApiModel):
    """The device an option is for."""

    accelerator: Accelerator
    product: str
    memory: str


class MemoryStatus(ApiModel):
    """Memory a device, as text with a unit; what the whole is made of."""

    required: str
    available: str
    allocated: str | None = None
    """Tensors alone, as torch counts them."""
    reserved: str | None = None
    """What the allocator takes with its cache, while there is memory enough."""
    process: str | None = None
    """What tools such as nvidia-smi show."""
    components: dict[str, str] = Field(default_factory=dict)


class OptionStatus(ApiModel):
    """One viable way to train."""

    id: str
    recommended: bool = False
    because: str
    method: Method
    zero_stage: int
    offload: Offload
    nodes: int
    devices_per_node: int
    device: DeviceStatus
    precision: str
    micro_batch_size: int
    gradient_accumulation: int
    gradient_checkpointing: Checkpointing
    memory: MemoryStatus
    trainable_parameters: int
    trainable_share: str
    tokens_per_second: int
    duration: str
    cost: str | None = None
    quality: str
    best_for: str
    serving: str | None = None
    """Where the result can serve, and the device memory that this takes."""
    tight: bool = False


class RejectedStatus(ApiModel):
    """One way that isn't viable, and why."""

    option: str
    reason: str
    message: str
    likewise: tuple[str, ...] = ()
    """Options of which the same would be said."""


class HardwareNeed(ApiModel):
    """Hardware in generic terms."""

    devices: int
    """In all, over the nodes."""
    nodes: int
    memory: str
    cores: int
    ram: str
    disk: str
    option: str
    """The way of training that this would carry."""


class HardwareAdvice(ApiModel):
    """What it would take."""

    minimum: HardwareNeed
    recommended: HardwareNeed


class PlanStatus(ApiModel):
    """The choice that was made."""

    option: str
    hash: str
    config_map: str | None = None
    """In a cluster: the immutable ConfigMap with all that the run is started with."""


class AttemptStatus(ApiModel):
    """One start of the trainer that is over."""

    number: int
    """From 1."""
    job: str
    """Name of its batch/v1 Job."""
    started_at: AwareDatetime
    finished_at: AwareDatetime
    outcome: str
    """The reason of the first cause, one CamelCase word; Completed where all went well."""
    exit_code: int | None = None
    """Of the trainer; None where it couldn't say."""
    counted: bool = True
    """Whether it counts against restarts.limit: what was asked for, such as a suspension, doesn't."""
    message: str


class ProgressStatus(ApiModel):
    """Where training is."""

    step: int
    steps: int
    epoch: str
    loss: str
    evaluation_loss: str | None = None
    """On held-out rows, when it was last measured; absent where training doesn't look at them."""
    learning_rate: str
    tokens_per_second: int
    remaining: str
    updated_at: AwareDatetime


class CheckpointStatus(ApiModel):
    """The newest complete checkpoint."""

    step: int
    path: str
    saved_at: AwareDatetime


class ComparedStatus(ApiModel):
    """Predicted against measured memory of one component, or of several that can't be told apart."""

    predicted: str
    measured: str | None = None
    """None where it isn't there at the measured peak."""


class MemoryCheck(ApiModel):
    """Predicted against measured peak of one device in training."""

    predicted: str
    measured: str
    error: str | None = None
    """How far off the prediction was, in percent of it: "+7%"."""
    peak: str | None = None
    """The phase that was highest."""
    phases: dict[str, str] = Field(default_factory=dict)
    """Peak of each phase of the run."""
    components: dict[str, ComparedStatus] = Field(default_factory=dict)
    """By component at the peak; names that stand together weren't told apart: activations+logits."""


class EvaluationStatus(ApiModel):
    """Base model against result, and the verdict."""

    rows: int
    baseline: dict[str, str]
    tuned: dict[str, str]
    decision: Decision
    because: str
    next_step: str


class OutputStatus(ApiModel):
    """What was left behind."""

    path: str
    bytes: int
    digest: str


class FineTuneJobStatus(ApiModel):
    """Everything we say of a job."""

    observed_generation: int = -1
    phase: str = "Pending"
    """Printed from the conditions; nothing reads it."""
    conditions: Conditions = ()
    model: ModelStatus | None = None
    dataset: DatasetStatus | None = None
    options: tuple[OptionStatus, ...] = ()
    rejected: tuple[RejectedStatus, ...] = ()
    hardware: HardwareAdvice | None = None
    """What it would take, where nothing is viable or what was chosen isn't."""
    plan: PlanStatus | None = None
    attempts: tuple[AttemptStatus, ...] = ()
    """The newest, oldest first."""
    restarts: int = 0
    """Attempts that count against restarts.limit."""
    progress: ProgressStatus | None = None
    checkpoint: CheckpointStatus | None = None
    memory: MemoryCheck | None = None
    evaluation: EvaluationStatus | None = None
    output: OutputStatus | None = None
