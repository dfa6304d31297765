"""What tools show of a device beside what is allocated: the allocator's cache, and what lies outside of it."""

from collections.abc import Mapping
from typing import Final

from finetune_operator.api.spec import Method, Objective
from finetune_operator.planner.activations import WIDE
from finetune_operator.planner.memory import COLLECTIVES, Moment, Peak
from finetune_operator.planner.recipe import Engine, Head
from finetune_operator.planner.setting import Setting
from finetune_operator.planner.states import ELEMENT_BYTES, States, weight_bytes
from finetune_operator.planner.workload import Workload
from finetune_operator.planner.zero import MAX_LIVE
from finetune_operator.units import MIB

CACHED: Final = 128 * MIB
"""Blocks that the caching allocator keeps beside the peak, whatever the run."""

CACHED_SHARE: Final = 0.13
"""And of activations, as a share."""

LOGIT_BLOCKS: Final = 0.8
"""With whole logits: blocks of 32-bit logits that stay cached since nothing else is so large; single runs: 0 to 2.5."""

STREAM_SHARE: Final = 0.05
"""FSDP frees on other streams what it allocated on one, which keeps more activations' blocks from being used again."""

STREAM_CACHED: Final = 800 * MIB
"""And what its streams keep whatever the run."""

LIVE_CACHED: Final = 4
"""ZeRO-3 gathers and frees weights all the time: so many times what it keeps alive is cached."""


def reserved_bytes(workload: Workload, setting: Setting, states: States, found: Mapping[Peak, Moment]) -> int:
    """What the allocator has taken from the driver at most, while there is memory enough."""
    # buckets that are let go of before the step stay cached
    released = states.buckets - states.step_buckets
    running = (moment.total for peak, moment in found.items() if peak is not Peak.LOADING)
    peak = max(*running, found[Peak.STEP].total + released)
    passing = max(found[Peak.LOSS].total, found[Peak.BACKWARD].total)
    sharded = workload.recipe.engine is Engine.FSDP
    share = CACHED_SHARE + (STREAM_SHARE if sharded else 0)
    cached = CACHED + round(share * passing) + _unshared(workload, setting, found, sharded=sharded)
    # nothing has been cached yet while weights are loaded
    return states.weights + states.optimizer + max(peak + cached, found[Peak.LOADING].total + CACHED)


def _unshared(workload: Workload, setting: Setting, found: Mapping[Peak, Moment], *, sharded: bool) -> int:
    """Blocks of one moment that another moment can't use."""
    total = STREAM_CACHED if sharded else 0
    step, loss, backward = (found[p].total for p in (Peak.STEP, Peak.LOSS, Peak.BACKWARD))
    if workload.recipe.engine is Engine.DEEPSPEED:
        return total + _regathered(workload, setting)
    whole = workload.recipe.head is Head.WHOLE and workload.objective is not Objective.REWARD
    if workload.method is Method.FULL and sharded:
        return total + min(step, backward)
    if workload.method is Method.FULL and whole:
        return total + min(step, loss)
    if whole:
        return total + round(LOGIT_BLOCKS * WIDE * workload.architecture.vocab * setting.tokens)
    return total


def _regathered(workload: Workload, setting: Setting) -> int:
    if setting.sharding.stage < 3:
        return 0
    element = ELEMENT_BYTES[setting.sharding.precision]
    return min(weight_bytes(workload, element), LIVE_CACHED * MAX_LIVE * element)


def process_bytes(reserved: int, allocated: int, setting: Setting, memory: int | None = None) -> int:
    """What nvidia-smi shows: the driver's context and NCCL's buffers too.

    Args:
        reserved: what the allocator would take.
        allocated: what it has handed out at most.
        setting: the run.
        memory: the device's; before it is full, the allocator gives its cache back.
    """
    outside = setting.context + (COLLECTIVES if setting.sharding.world > 1 else 0)
    if memory is None or reserved + outside <= memory or allocated + outside > memory:
        return reserved + outside
    return min(memory, allocated + outside + CACHED)
