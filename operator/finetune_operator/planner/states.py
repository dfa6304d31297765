"""Bytes of weights, gradients and optimizer state on one device, and on its node, under each ZeRO stage.

The tables are DeepSpeed 0.19.8's with AdamW, as measured by running it; P trainable parameters, N all, W devices.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from finetune_operator.api.spec import Method
from finetune_operator.api.status import Offload
from finetune_operator.planner.activations import WIDE
from finetune_operator.planner.architecture import Layer
from finetune_operator.planner.plan import PrecisionUsed
from finetune_operator.planner.recipe import Engine, Optimizer
from finetune_operator.planner.workload import Workload
from finetune_operator.planner.zero import MAX_LIVE, SUB_GROUP, overlaps, prefetch_bucket, reduce_bucket
from finetune_operator.units import GIB

ELEMENT_BYTES: Final = {PrecisionUsed.BF16: 2, PrecisionUsed.FP16: 2, PrecisionUsed.FP32: 4}
"""Bytes of a weight, a gradient, an activation."""

ADAM_BYTES: Final = 8
"""AdamW's two moments a trainable parameter, in 32 bits."""

MASTER_BYTES: Final = 4
"""32-bit copy of a trainable parameter that the optimizer steps on where the engine computes in 16 bits."""

FILE_BYTES: Final = 2
"""Of a weight in a model's files, nearly always."""

EIGHT_BIT_BLOCKS: Final = 1.02
"""Bytes of an 8-bit moment with its scales; tensors below 4096 elements stay in 32 bits."""

BLOCK: Final = 256
"""Elements of a moment in 8 bits that share a scale."""

RANK_HOST: Final = 3 * GIB
"""RAM of one training process on a GPU node: Python, torch, CUDA's host side, data; not measured by us."""


class Sharding(NamedTuple):
    """How state is spread over devices and node; a plain tuple, since it is looked up by thousands of times."""

    stage: int
    offload: Offload
    world: int
    precision: PrecisionUsed


class States(NamedTuple):
    """Device bytes of everything but activations and loss; a plain tuple, since planning makes thousands."""

    weights: int
    optimizer: int
    accumulated: int
    """Gradients that stay from one micro-batch to the next, and are all there at the end of a backward pass."""
    step_gradients: int
    """Gradients and their 32-bit copies during the optimizer step."""
    buckets: int
    step_buckets: int
    """What is left of them while the optimizer steps: ZeRO-1 and 2 let go of theirs before."""
    gathered: int
    """Weights gathered for computing, while a layer's backward pass runs."""
    rooted: int
    """Of them, what is there while the loss is computed."""
    undivided: int
    """What loading takes beyond weights and optimizer state: a device rounds 4-bit weights itself, and holds them all
    before ZeRO-3 divides them."""
    returned: int
    """1 where gradients of all layers' inputs stay to the end of the backward pass (FSDP with frozen weights)."""


@lru_cache(maxsize=4096)
def device_states(workload: Workload, sharding: Sharding) -> States:
    """What one device holds."""
    element = ELEMENT_BYTES[sharding.precision]
    if workload.recipe.engine is not Engine.DEEPSPEED:
        return _torch_states(workload, sharding, element)
    shards = sharding.world if sharding.stage >= 1 else 1
    on_host = sharding.offload is not Offload.NONE
    accumulated, step = _gradients(workload, sharding, element)
    weights = _weights(workload, sharding, element)
    optimizer = 0 if on_host else _shard(state_bytes(workload, sharding), shards)
    whole = weight_bytes(workload, element) if sharding.stage == 3 and workload.quantised else 0
    return States(
        weights=weights,
        optimizer=optimizer,
        accumulated=accumulated,
        step_gradients=step,
        buckets=_buckets(workload, sharding, element),
        step_buckets=_buckets(workload, sharding, element) if sharding.stage == 3 else 0,
        gathered=_gathered(workload, sharding, element),
        rooted=_gathered(workload, sharding, element),
        undivided=max(0, whole - weights - optimizer),
        returned=0,
    )


def weight_bytes(workload: Workload, element: int, trained: int | None = None) -> int:
    """All weights on one device that shares them with nobody.

    Args:
        workload: what is trained.
        element: bytes of a weight in the run's arithmetic.
        trained: bytes of a trainable one, where it differs.
    """
    plain = WIDE if workload.recipe.wide_frozen else element
    frozen = (workload.frozen - workload.quantised) * plain
    packed = round(workload.quantised * workload.recipe.quantised_bytes)
    return workload.trainable * (trained or element) + frozen + packed


def _torch_states(workload: Workload, sharding: Sharding, element: int) -> States:
    """Plain torch: the optimizer steps on the trainable weights themselves, in their own arithmetic."""
    recipe, p = workload.recipe, workload.trainable
    shards = sharding.world if recipe.engine is Engine.FSDP else 1
    each = recipe.state_bytes or element
    moments = {
        Optimizer.ADAMW_8BIT: round(2 * EIGHT_BIT_BLOCKS * p),
        Optimizer.PAGED_ADAMW_8BIT: 0,
    }.get(recipe.optimizer, 2 * each * p)
    copied = each * p if recipe.optimizer is Optimizer.ADAMW_FOREACH else 0
    root, unit = _units(workload, element) if recipe.engine is Engine.FSDP else (0, 0)
    adapter = workload.method is not Method.FULL
    return States(
        weights=_shard(weight_bytes(workload, element, each), shards),
        optimizer=_shard(moments, shards),
        accumulated=_shard(each * p, shards),
        step_gradients=_shard(each * p + copied, shards),
        buckets=0,
        step_buckets=0,
        # the layer at work and the next one; a whole layer's gradient before it is reduced
        gathered=root + (2 if adapter else 3) * unit,
        rooted=root,
        undivided=0,
        returned=1 if recipe.engine is Engine.FSDP and adapter else 0,
    )


def _units(workload: Workload, element: int) -> tuple[int, int]:
    """Bytes that FSDP gathers at once: what is outside of layers, all the time, and one layer."""
    a = workload.architecture
    tables = a.embedding_parameters * (1 if a.tied else 2) + a.other_parameters
    layer = max(g.linear_weights + g.feed_forward.expert_parameters for g in a.groups)
    packed = workload.recipe.quantised_bytes if workload.quantised else element
    return tables * element, round(layer * packed)


def optimizer_bytes(sharding: Sharding) -> int:
    """Bytes of optimizer state a trainable parameter: with a master copy, unless the weights themselves are stepped on.

    ZeRO-1 to 3 step on a copy even where the weights have 32 bits already.
    """
    stepped_in_place = sharding.precision is PrecisionUsed.FP32 and sharding.stage == 0
    return ADAM_BYTES if stepped_in_place else ADAM_BYTES + MASTER_BYTES


def state_bytes(workload: Workload, sharding: Sharding) -> int:
    """Bytes of all optimizer state, before anybody divides it.

    bitsandbytes' moments in 8 bits have a 32-bit scale for each 256 of them; those of small tensors and of embeddings
    stay in 32 bits (its source, 0.50.2, and transformers', 5.23).
    """
    if not workload.eight_bit:
        return workload.trainable * optimizer_bytes(sharding)
    wide = workload.wide_moments
    moments = ADAM_BYTES * wide + -(-2 * (BLOCK + 4) * (workload.trainable - wide) // BLOCK)
    return moments + (optimizer_bytes(sharding) - ADAM_BYTES) * workload.trainable


def _weights(workload: Workload, sharding: Sharding, element: int) -> int:
    if sharding.offload is Offload.PARAMETERS:
        return 0
    return _shard(weight_bytes(workload, element), sharding.world if sharding.stage == 3 else 1)


def _gradients(workload: Workload, sharding: Sharding, element: int) -> tuple[int, int]:
    """Accumulated, and during the step."""
    p, world = workload.trainable, sharding.world
    if sharding.offload is not Offload.NONE:
        # gradients leave for the host as they come; the step brings its result back tensor by tensor
        largest = workload.architecture.largest_tensor if workload.method is Method.FULL else p
        return 0, 6 * largest
    full = p * element
    match sharding.stage:
        case 0:
            copied = 0 if sharding.precision is PrecisionUsed.FP32 else p * MASTER_BYTES
            return full, full + copied
        case 1:
            return full, _shard(8 * p, world)
        case 2:
            return _shard(full, world), _shard(8 * p, world)
        case _:
            share = _shard(full, world)
            return share, share + 6 * min(SUB_GROUP, _shard(p, world))


def _buckets(workload: Workload, sharding: Sharding, element: int) -> int:
    if sharding.stage == 0:
        return 0
    sized = reduce_bucket(sharding.stage, workload.trainable, workload.architecture.hidden)
    bucket = workload.recipe.reduce_bucket or sized
    # communication that overlaps with the backward pass fills a second bucket meanwhile
    return bucket * element * (2 if overlaps(sharding.stage, sharding.world) else 1)


def _gathered(workload: Workload, sharding: Sharding, element: int) -> int:
    if sharding.stage < 3 or (sharding.world == 1 and sharding.offload is not Offload.PARAMETERS):
        return 0
    a = workload.architecture
    # a layer's routed experts are one module, which is gathered whole
    largest = max(g.feed_forward.expert_parameters for g in a.groups)
    live = max(MAX_LIVE, largest) + prefetch_bucket(a.hidden) + a.embedding_parameters
    return min(weight_bytes(workload, element), live * element)


@lru_cache(maxsize=4096)
def host_bytes(workload: Workload, sharding: Sharding, ranks: int, *, accumulates: bool) -> int:
    """RAM that so many ranks of one node need outside of their devices."""
    processes = ranks * RANK_HOST
    read = ranks * read_bytes(workload, sharding.precision)
    if sharding.offload is Offload.NONE:
        return processes + read
    p = _shard(workload.trainable, sharding.world)
    piece = SUB_GROUP if sharding.stage == 3 else p
    # master copy and gradients are pinned, the moments and the 16-bit working copy are not
    each = 2 * _pinned(p, piece) + (ADAM_BYTES + 2) * p + (2 * p if accumulates and sharding.stage < 3 else 0)
    weights = _pinned_weights(workload, sharding) if sharding.offload is Offload.PARAMETERS else 0
    # optimizer state comes when the weights have been read
    return processes + ranks * weights + max(ranks * each, read)


def read_bytes(workload: Workload, precision: PrecisionUsed) -> int:
    """RAM of a process while it reads the weights.

    Files are mapped, and their pages go back to whoever needs RAM; but routed experts, which are one tensor each in the
    files and one a layer in the model, are put together, and a model whose files, taken to be in BF16, are in another
    arithmetic than the run's is converted as a whole before it goes to the device.
    """
    a = workload.architecture
    if workload.quantised:
        return FILE_BYTES * a.largest_tensor
    if precision is PrecisionUsed.BF16:
        experts = sum(g.count * g.feed_forward.expert_parameters for g in a.groups)
        return FILE_BYTES * (experts + a.largest_tensor)
    return ELEMENT_BYTES[precision] * a.total_parameters


def _pinned_weights(workload: Workload, sharding: Sharding) -> int:
    """Trainable weights in one pinned buffer, frozen ones each in its own: each rounded up to a power of two."""
    element, a = ELEMENT_BYTES[sharding.precision], workload.architecture
    buffer = _power_of_two(_shard(workload.trainable, sharding.world) * element)
    if not workload.frozen:
        return buffer
    layers = sum(
        g.count * sum(_power_of_two(_shard(n, sharding.world) * element) for n in _matrices(g)) for g in a.groups
    )
    table = _power_of_two(_shard(a.embedding_parameters, sharding.world) * element)
    return buffer + layers + table * (1 if a.tied else 2)


def _matrices(layer: Layer) -> tuple[int, ...]:
    """Elements of one layer's large tensors; routed experts lie in two of them."""
    experts = layer.feed_forward.expert_parameters
    routed = (experts * 2 // 3, experts // 3) if experts else ()
    return (*(m.inputs * m.outputs for m in layer.linears), *routed)


def _pinned(elements: int, piece: int) -> int:
    """Bytes of 32-bit tensors of at most `piece` elements: torch rounds each pinned one up to a power of two."""
    whole, rest = divmod(elements, piece)
    return whole * _power_of_two(4 * piece) + _power_of_two(4 * rest)


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length() if count > 0 else 0


def _shard(count: int, parts: int) -> int:
    """One part's share, rounded up as DeepSpeed pads it."""
    return -(-count // parts)
