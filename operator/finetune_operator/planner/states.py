"""Bytes of weights, gradients and optimizer state on one device, and on its node, under each ZeRO stage.

The tables are DeepSpeed 0.19.8's with AdamW, as measured by running it; P trainable parameters, N all, W devices.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from finetune_operator.api.status import Offload
from finetune_operator.planner.plan import PrecisionUsed
from finetune_operator.planner.workload import Workload
from finetune_operator.planner.zero import MAX_LIVE, SUB_GROUP, overlaps, prefetch_bucket, reduce_bucket
from finetune_operator.units import GIB

ELEMENT_BYTES: Final = {PrecisionUsed.BF16: 2, PrecisionUsed.FP16: 2, PrecisionUsed.FP32: 4}
"""Bytes of a weight, a gradient, an activation."""

ADAM_BYTES: Final = 8
"""AdamW's two moments a trainable parameter, in 32 bits."""

MASTER_BYTES: Final = 4
"""32-bit copy of a trainable parameter that the optimizer steps on where the engine computes in 16 bits."""

RANK_HOST: Final = 3 * GIB
"""RAM of one training process on a GPU node: Python, torch, CUDA's host side, data; not measured by us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharding:
    """How state is spread over devices and node."""

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
    gathered: int
    """Weights gathered for computing, during forward and backward."""


def device_states(workload: Workload, sharding: Sharding) -> States:
    """What one device holds."""
    element = ELEMENT_BYTES[sharding.precision]
    shards = sharding.world if sharding.stage >= 1 else 1
    trainable = workload.trainable
    on_host = sharding.offload is not Offload.NONE
    accumulated, step = _gradients(workload, sharding, element)
    return States(
        weights=_weights(workload, sharding, element),
        optimizer=0 if on_host else _shard(trainable * optimizer_bytes(sharding), shards),
        accumulated=accumulated,
        step_gradients=step,
        buckets=_buckets(workload, sharding, element),
        gathered=_gathered(workload, sharding, element),
    )


def optimizer_bytes(sharding: Sharding) -> int:
    """Bytes of optimizer state a trainable parameter: with a master copy, unless the weights themselves are stepped on.

    ZeRO-1 to 3 step on a copy even where the weights have 32 bits already.
    """
    stepped_in_place = sharding.precision is PrecisionUsed.FP32 and sharding.stage == 0
    return ADAM_BYTES if stepped_in_place else ADAM_BYTES + MASTER_BYTES


def _weights(workload: Workload, sharding: Sharding, element: int) -> int:
    if sharding.offload is Offload.PARAMETERS:
        return 0
    return _shard(workload.parameters * element, sharding.world if sharding.stage == 3 else 1)


def _gradients(workload: Workload, sharding: Sharding, element: int) -> tuple[int, int]:
    """Accumulated, and during the step."""
    p, world = workload.trainable, sharding.world
    if sharding.offload is not Offload.NONE:
        # gradients leave for the host as they come; the step brings its result back tensor by tensor
        largest = workload.architecture.largest_tensor if workload.frozen == 0 else p
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
    bucket = reduce_bucket(sharding.stage, workload.trainable, workload.architecture.hidden)
    # communication that overlaps with the backward pass fills a second bucket meanwhile
    return bucket * element * (2 if overlaps(sharding.stage, sharding.world) else 1)


def _gathered(workload: Workload, sharding: Sharding, element: int) -> int:
    if sharding.stage < 3 or (sharding.world == 1 and sharding.offload is not Offload.PARAMETERS):
        return 0
    a = workload.architecture
    live = MAX_LIVE + prefetch_bucket(a.hidden) + a.embedding_parameters
    return min(workload.parameters, live) * element


def host_bytes(workload: Workload, sharding: Sharding, ranks: int, *, accumulates: bool) -> int:
    """RAM that so many ranks of one node need outside of their devices."""
    total = ranks * RANK_HOST
    if sharding.offload is Offload.NONE:
        return total
    p = _shard(workload.trainable, sharding.world)
    piece = SUB_GROUP if sharding.stage == 3 else p
    # master copy and gradients are pinned, the moments and the 16-bit working copy are not
    each = 2 * _pinned(p, piece) + (ADAM_BYTES + 2) * p + (2 * p if accumulates else 0)
    if sharding.offload is Offload.PARAMETERS:
        each += _pinned_weights(workload, sharding)
    return total + ranks * each


def _pinned_weights(workload: Workload, sharding: Sharding) -> int:
    """Trainable weights in one pinned buffer, frozen ones each in its own: each rounded up to a power of two."""
    element, a = ELEMENT_BYTES[sharding.precision], workload.architecture
    buffer = _power_of_two(_shard(workload.trainable, sharding.world) * element)
    if not workload.frozen:
        return buffer
    layer = sum(_power_of_two(_shard(m.inputs * m.outputs, sharding.world) * element) for m in a.linears)
    table = _power_of_two(_shard(a.embedding_parameters, sharding.world) * element)
    return buffer + a.layers * layer + table * (1 if a.tied else 2)


def _pinned(elements: int, piece: int) -> int:
    """Bytes of 32-bit tensors of at most `piece` elements: torch rounds each pinned one up to a power of two."""
    whole, rest = divmod(elements, piece)
    return whole * _power_of_two(4 * piece) + _power_of_two(4 * rest)


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length() if count > 0 else 0


def _shard(count: int, parts: int) -> int:
    """One part's share, rounded up as DeepSpeed pads it."""
    return -(-count // parts)
