"""Peak memory of one device: a sum of terms at the moment when it is highest."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from finetune_operator.api.spec import Accelerator, Method
from finetune_operator.api.status import Checkpointing
from finetune_operator.planner.plan import MemoryEstimate
from finetune_operator.planner.states import ELEMENT_BYTES, Sharding, States, device_states, host_bytes
from finetune_operator.planner.workload import Workload
from finetune_operator.units import GIB, MIB, Bytes

DRIVER_CONTEXT: Final = 560 * MIB
"""What a CUDA context and its kernels take outside of the allocator, cuBLAS's workspace included: H100's 560 MiB, the
most of any common card (A100 480, consumer 300 to 400, T4 141)."""

COLLECTIVES: Final = 600 * MIB
"""NCCL's buffers where there is more than one device: published figures are 0.3 to 1 GB."""

ALLOCATOR_SHARE: Final = 0.02
"""What the caching allocator can't give back before it runs out: fit is decided by allocated + 2% + context in 102 of
104 published cases."""

PROCESS: Final = 900 * MIB
"""Resident memory of the training process itself on a CPU: Python with torch, transformers, TRL, PEFT, DeepSpeed."""

CPU_HEAP_SHARE: Final = 2.2
"""What a CPU's process keeps of freed activations and logits, as a share of them: rows of many lengths leave gaps in
the C library's heap, and compiled kernels for each length. Measured, over 96 and 176 steps: 1.9 and 2.5."""

CPU_HEAP_LIMIT: Final = 2 * GIB
"""No more is expected of that: the largest blocks, over 32 MiB, always go back, and oneDNN keeps 1024 kernels."""

TILE_TOKENS: Final = 4096
"""Rows of the tile in which TRL 1.16 computes the output head."""

TILE_VOCABULARY: Final = 32_768
"""Columns of that tile; the buffer has them all even for a smaller vocabulary, which only a GPU pays for: a CPU's
memory is taken when it is first written to."""

CPU_TILE_BYTES: Final = 32
"""Without Triton the loss of a tile is computed by torch operators, in 32 bits: at most eight copies of it at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a workload is run: everything that memory depends on."""

    accelerator: Accelerator
    sharding: Sharding
    ranks_per_node: int
    micro_batch: int
    length: int
    """Tokens of the longest row: the peak is when it comes."""
    accumulation: int
    checkpointing: Checkpointing

    @property
    def tokens(self) -> int:
        """Padded tokens of a micro-batch."""
        return self.micro_batch * self.length


class Moment(NamedTuple):
    """What is on the device at one moment of a step, beside weights and optimizer state."""

    total: int
    gradients: int
    activations: int
    logits: int
    buckets: int
    gathered: int


class Peak(StrEnum):
    """The moments that can be the highest, in the order in which they come."""

    LOSS = "loss"
    """All layers are through, the loss is computed over the vocabulary."""
    BACKWARD = "backward pass"
    """The last layer's, which comes first, while everything that the others kept is still there."""
    GRADIENTS = "end of the backward pass"
    """No activations any more, all gradients."""
    STEP = "optimizer step"


def estimate(workload: Workload, setting: Setting, states: States | None = None) -> MemoryEstimate:
    """The peak of one device by component; the components add up to it exactly.

    Args:
        workload: what is trained.
        setting: how.
        states: of that workload and sharding, where they are known already.
    """
    known = states if states is not None else device_states(workload, setting.sharding)
    peak = max(moments(workload, setting, known).values())
    rest = known.weights + known.optimizer + peak.total
    return MemoryEstimate(
        weights=Bytes(known.weights),
        gradients=Bytes(peak.gradients),
        optimizer=Bytes(known.optimizer),
        activations=Bytes(peak.activations),
        logits=Bytes(peak.logits),
        buckets=Bytes(peak.buckets),
        gathered=Bytes(peak.gathered),
        context=Bytes(_context(workload, setting, rest)),
        host=Bytes(_host(workload, setting)),
    )


def moments(workload: Workload, setting: Setting, states: States) -> dict[Peak, Moment]:
    """What is there at each moment."""
    # gradients of earlier micro-batches are there while this one's activations are
    carried = states.accumulated if setting.accumulation > 1 else 0
    kept, held = kept_activations(workload, setting), states.buckets + states.gathered
    logits, head = logits_bytes(workload, setting), head_gradient_bytes(workload, setting)
    working = kept + working_activations(workload, setting)
    second = embedding_gradient_bytes(workload, setting)
    buckets, gathered = states.buckets, states.gathered
    return {
        Peak.LOSS: Moment(carried + kept + logits + held, carried, kept, logits, buckets, gathered),
        Peak.BACKWARD: Moment(carried + working + head + held, carried, working, head, buckets, gathered),
        Peak.GRADIENTS: Moment(states.accumulated + second + held, states.accumulated, 0, second, buckets, gathered),
        Peak.STEP: Moment(states.step_gradients + buckets, states.step_gradients, 0, 0, buckets, 0),
    }


def _host(workload: Workload, setting: Setting) -> int:
    """A CPU is its own host: everything is in the device's memory already."""
    if setting.accelerator is Accelerator.CPU:
        return 0
    return host_bytes(workload, setting.sharding, setting.ranks_per_node, accumulates=setting.accumulation > 1)


def layer_bytes(workload: Workload, setting: Setting) -> int:
    """What one layer keeps of a micro-batch for its backward pass."""
    kept, element = workload.activations, ELEMENT_BYTES[setting.sharding.precision]
    # CUDA's dropout keeps a mask of bytes, the CPU's one in the arithmetic of the run
    mask = element if setting.accelerator is Accelerator.CPU else 1
    token = kept.fixed_bytes + element * kept.elements + (element + mask) * kept.dropped
    if setting.micro_batch > 1:
        # rows of different lengths are padded, and attention gets a mask with a value for each pair of tokens
        token += element * (kept.masked + setting.length)
    return token * setting.tokens


def kept_activations(workload: Workload, setting: Setting) -> int:
    """Activations that are there when the backward pass begins: of all layers, or their inputs alone."""
    element, layers = ELEMENT_BYTES[setting.sharding.precision], workload.architecture.layers
    # one mask of a byte for each pair of tokens is shared by all layers
    mask = setting.length * setting.tokens if setting.micro_batch > 1 else 0
    if setting.checkpointing is Checkpointing.NONE:
        return mask + layers * layer_bytes(workload, setting)
    return mask + layers * element * workload.architecture.hidden * setting.tokens


def working_activations(workload: Workload, setting: Setting) -> int:
    """What one layer's backward pass adds: with checkpointing the layer's activations too, computed again."""
    element = ELEMENT_BYTES[setting.sharding.precision]
    transient = element * workload.activations.transient * setting.tokens
    if setting.checkpointing is Checkpointing.NONE:
        return transient
    return layer_bytes(workload, setting) + transient


def logits_bytes(workload: Workload, setting: Setting) -> int:
    """TRL's fused output head: one tile of logits, the head's input and its gradient, the head's own gradient."""
    element, hidden = ELEMENT_BYTES[setting.sharding.precision], workload.architecture.hidden
    # the final norm's 32-bit copy, the rows that the head reads, their gradient in 32 bits
    rows = setting.tokens * hidden * (4 + element + 4)
    return _tile_bytes(workload, setting) + rows + _head_gradient(workload, 4 + element)


def tile_columns(workload: Workload, setting: Setting) -> int:
    """Entries of the vocabulary that a tile of logits takes memory for."""
    on_cpu = setting.accelerator is Accelerator.CPU
    return min(workload.architecture.vocab, TILE_VOCABULARY) if on_cpu else TILE_VOCABULARY


def _tile_bytes(workload: Workload, setting: Setting) -> int:
    element, columns = ELEMENT_BYTES[setting.sharding.precision], tile_columns(workload, setting)
    logits = min(setting.tokens, TILE_TOKENS) * columns
    if setting.accelerator is not Accelerator.CPU:
        return logits * element
    return logits * (element + CPU_TILE_BYTES) + head_copy_bytes(workload, setting)


def head_copy_bytes(workload: Workload, setting: Setting) -> int:
    """A tile's part of the head, which a CPU copies to multiply in 32 bits where it has fewer."""
    if setting.accelerator is not Accelerator.CPU or ELEMENT_BYTES[setting.sharding.precision] == 4:
        return 0
    return 4 * tile_columns(workload, setting) * workload.architecture.hidden


def head_gradient_bytes(workload: Workload, setting: Setting) -> int:
    """The head's own gradient while the layers' backward passes run.

    A tied one waits there for the embedding's; another is added to what earlier micro-batches left, if there were any.
    """
    if setting.accumulation > 1 and not workload.architecture.tied:
        return 0
    return _head_gradient(workload, ELEMENT_BYTES[setting.sharding.precision])


def embedding_gradient_bytes(workload: Workload, setting: Setting) -> int:
    """A tied embedding gets a second gradient of the same size before the two are added."""
    if not workload.architecture.tied:
        return 0
    return _head_gradient(workload, ELEMENT_BYTES[setting.sharding.precision])


def _head_gradient(workload: Workload, width: int) -> int:
    return width * workload.architecture.embedding_parameters if workload.method is Method.FULL else 0


def heap_bytes(workload: Workload, setting: Setting) -> int:
    """What a CPU's process keeps of what it has freed."""
    passing = kept_activations(workload, setting) + _tile_bytes(workload, setting)
    return min(CPU_HEAP_LIMIT, round(CPU_HEAP_SHARE * passing))


def _context(workload: Workload, setting: Setting, rest: int) -> int:
    if setting.accelerator is Accelerator.CPU:
        return PROCESS + heap_bytes(workload, setting)
    collectives = COLLECTIVES if setting.sharding.world > 1 else 0
    return DRIVER_CONTEXT + collectives + round(ALLOCATOR_SHARE * rest)
