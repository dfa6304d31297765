"""The planner's answer as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from itertools import chain
from typing import Final

from finetune_operator.api.spec import Method
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.capacity import NodeClass
from finetune_operator.units import Bytes

RECOMMENDED: Final = "recommended"
"""Word that stands for the id of whatever is listed first."""


class PrecisionUsed(StrEnum):
    """Arithmetic of an option, Auto resolved."""

    BF16 = "BF16"
    FP16 = "FP16"
    FP32 = "FP32"


class RejectionReason(StrEnum):
    """Why a way isn't viable."""

    OUT_OF_MEMORY = "OutOfMemory"
    OUT_OF_HOST_MEMORY = "OutOfHostMemory"
    OUT_OF_DISK = "OutOfDisk"
    NOT_ENOUGH_DEVICES = "NotEnoughDevices"
    UNSUPPORTED_PRECISION = "UnsupportedPrecision"
    BATCH_NOT_DIVISIBLE = "BatchNotDivisible"
    TOO_SLOW = "TooSlow"
    TOO_EXPENSIVE = "TooExpensive"
    PRICE_UNKNOWN = "PriceUnknown"
    UNSUPPORTED_ACCELERATOR = "UnsupportedAccelerator"
    UNSUPPORTED_OFFLOAD = "UnsupportedOffload"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """Peak bytes on one device by component, at the moment of the peak; `host` is RAM a node outside of devices."""

    weights: Bytes
    gradients: Bytes
    optimizer: Bytes
    activations: Bytes
    logits: Bytes
    """Loss computation over the vocabulary."""
    buckets: Bytes
    """ZeRO's communication buffers."""
    gathered: Bytes
    """Parameters gathered for computing under ZeRO-3."""
    context: Bytes
    """Driver context, libraries and the allocator's reserve; for a CPU the process itself and its heap."""
    host: Bytes

    @property
    def device_total(self) -> Bytes:
        """What one device must hold."""
        parts = self.weights + self.gradients + self.optimizer + self.activations + self.logits
        return Bytes(parts + self.buckets + self.gathered + self.context)

    def components(self) -> dict[str, int]:
        """Device bytes by component name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "host"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value with its honest bounds."""

    low: float
    mid: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One viable way, solved to the last setting."""

    id: str
    """Deterministic and speaking: lora-1x24g, full-z3-4x80g, full-z2-offload-1x80g, lora-cpu."""
    method: Method
    zero_stage: int
    offload: Offload
    node_class: NodeClass
    nodes: int
    devices_per_node: int
    precision: PrecisionUsed
    micro_batch: int
    accumulation: int
    checkpointing: Checkpointing
    memory: MemoryEstimate
    """At the highest moment of all."""
    training: MemoryEstimate
    """At the highest moment of training: what a run's own measurement is held against."""
    phases: Mapping[str, Bytes] = field(hash=False)
    """What a device has to have in each phase that a run measures."""
    allocated: Bytes
    """Tensors on one device at the peak, as torch counts them: what the estimate says without its context."""
    reserved: Bytes
    """What the allocator has taken by then: tensors and its cache."""
    process: Bytes
    """What tools such as nvidia-smi show: driver and NCCL, too; for a CPU the process's resident memory."""
    available: Bytes
    """Free memory of a device."""
    margin: float
    """Share of it that isn't counted on."""
    disk: Bytes
    """What the run writes at most: kept checkpoints and one in the making, staged result and result."""
    total_parameters: int
    trainable_parameters: int
    learning_rate: str
    tokens_per_second: Interval
    """Real tokens over all devices, padding not counted."""
    seconds: Interval
    """Training alone, without loading and evaluation."""
    cost: Interval | None
    quality: str
    best_for: str
    serving: str
    """Where the result can serve, and the device memory that this takes."""
    tight: bool
    """Under a fifth of the free memory is to spare."""
    because: str
    """One sentence: why it stands where it stands in the list."""

    @property
    def world(self) -> int:
        """Number of devices."""
        return self.nodes * self.devices_per_node

    @property
    def kept_back(self) -> Bytes:
        """Bytes of the free memory that aren't counted on."""
        return Bytes(self.available - int(self.available * (1 - self.margin)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """Hardware in generic terms."""

    option: str
    """The way of training that it would carry."""
    zero_stage: int
    offload: Offload
    devices: int
    """In all, over the nodes."""
    nodes: int
    memory: Bytes
    """A device's."""
    cores: int
    """A node's, as are RAM and disk."""
    ram: Bytes
    disk: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What it would take for something to be viable."""

    minimum: Hardware
    """The least device memory in all, offloading allowed."""
    recommended: Hardware
    """With a fifth of the memory to spare; without offloading, where that is possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """One way that isn't viable: need, have, and the smallest change that would do."""

    option: str
    reason: RejectionReason
    message: str
    """One sentence with need and have."""
    remedy: str
    """What to change, such as "would fit: maxLength 1024 (20.1 GiB)"; empty where nothing was found."""
    need: Bytes | None = None
    have: Bytes | None = None
    advice: Advice | None = None
    """Hardware that this method would take, where hardware is what lacks."""
    likewise: tuple[str, ...] = ()
    """Ids of other options of which the same would be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSet:
    """Every way, judged; best first."""

    viable: tuple[Plan, ...]
    """The first is the recommended one."""
    rejected: tuple[Rejection, ...]
    """The instructive ones."""
    advice: Advice | None
    """Set where nothing is viable: of the methods that were asked about the one that takes the least."""
    hardware: Mapping[Method, Advice] = field(default_factory=dict, hash=False)
    """Likewise, for each method."""
    unlisted: Sequence[Plan] = ()
    """Viable too, but no better than a listed one in anything that matters; may be chosen all the same."""
    other_rejected: Sequence[Rejection] = ()
    """All other rejections, so that whichever option is named gets an answer."""

    turned_down: Sequence[Plan] = ()
    """What rejected ways would take that were sized before something was found against them; none of them may run."""

    def sized(self, option: str) -> Plan | None:
        """The way of that id with its sizes though it isn't viable; None where it is, or where nothing was sized."""
        return next((p for p in self.turned_down if p.id == option), None)

    def find(self, option: str) -> Plan | None:
        """The viable plan with that id; `recommended` is the first."""
        if option == RECOMMENDED:
            return self.viable[0] if self.viable else None
        listed = next((p for p in self.viable if p.id == option), None)
        if listed is not None or not self.viable or any(r.option == option for r in self.rejected):
            # the long list is made for those alone who may be in it
            return listed
        found = next((p for p in self.unlisted if p.id == option), None)
        return found or _by_short_id(option, (*self.viable, *self.unlisted))

    def rejection(self, option: str) -> Rejection | None:
        """Why that option isn't viable; None where it is, or where there is no such option."""
        if option == RECOMMENDED:
            return None
        return next((r for r in chain(self.rejected, self.other_rejected) if r.option == option), None)


def _by_short_id(option: str, plans: Sequence[Plan]) -> Plan | None:
    """The best plan whose id is that one and the name of its nodes; None where they aren't all of one device.

    Ids name nodes where equal devices are on nodes that aren't alike, which what others take of a node's RAM can bring
    about at any time: a choice that was written down before still means the same way on the same device.
    """
    alike = [p for p in plans if p.id.startswith(f"{option}-")]
    ways = {(p.method, p.zero_stage, p.offload, p.nodes, p.devices_per_node) for p in alike}
    devices = {(p.node_class.device.product, p.node_class.device.memory) for p in alike}
    return alike[0] if len(ways) == len(devices) == 1 else None
