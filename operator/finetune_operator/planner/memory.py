"""Peak memory of one device: a sum of terms at the moment when it is highest."""

from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache, partial
from typing import Final, NamedTuple

from finetune_operator.api.spec import Accelerator, Objective
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.activations import HALF, WIDE, TokenCost
from finetune_operator.planner.deferred import Remembered
from finetune_operator.planner.evaluation import Evaluation, evaluation_of
from finetune_operator.planner.head import embedding_gradient_bytes, head_gradient_bytes, logits_bytes, tile_bytes
from finetune_operator.planner.plan import MemoryEstimate, PrecisionUsed
from finetune_operator.planner.setting import Cut, Setting
from finetune_operator.planner.states import ELEMENT_BYTES, Sharding, States, device_states, host_bytes
from finetune_operator.planner.workload import Workload
from finetune_operator.units import GIB, MIB, Bytes

TURING_CONTEXT: Final = 141 * MIB
"""The same on GPUs without bfloat16, which are of Turing's or an older kind: a T4, measured in 79 runs."""

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


MOMENTS_AT_WORK: Final = 20
"""Bytes an element of the tensor that bitsandbytes steps on, on a CPU, where no kernel of its works in place: both
moments, the gradient and two quotients in 32 bits (its source, 0.50.2); a GPU needs none."""


class Passing(NamedTuple):
    """What a micro-batch takes, however the state is spread over devices."""

    kept: int
    """Activations that are there when the backward pass begins."""
    working: int
    """More activations while a layer's backward pass runs."""
    logits: int
    returned: int
    """Gradients of the layers' inputs, where they stay."""
    cache: int
    """Keys and values, where the model answers by itself."""
    merged: int
    head: int
    """The head's gradient while the layers' backward passes run."""
    second: int
    """A tied embedding's second gradient."""
    heap: int
    """What a CPU's process keeps of what it has freed; 0 on a GPU."""


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

    LOADING = "loading"
    """Every device rounds all weights to 4 bits, and holds them before ZeRO-3 divides them."""
    GENERATION = "generation"
    """The model answers by itself, and keeps keys and values of all tokens."""
    FORWARD = "forward pass"
    """The last layer's, while everything that the others kept is there."""
    LOSS = "loss"
    """All layers are through, the loss is computed over the vocabulary."""
    BACKWARD = "backward pass"
    """The last layer's, which comes first, while everything that the others kept is still there."""
    GRADIENTS = "end of the backward pass"
    """No activations any more, all gradients."""
    STEP = "optimizer step"
    EVALUATION = "evaluation"
    """Held-out rows go through the base model or the result, before or after training."""


IN_TRAINING: Final = tuple(p for p in Peak if p is not Peak.EVALUATION)
"""Those of one optimizer step, and what comes before the first."""

TRAINED: Final = {
    "forward": (Peak.FORWARD, Peak.LOSS),
    "backward": (Peak.BACKWARD, Peak.GRADIENTS),
    "step": (Peak.STEP,),
}
"""Phases of a step that the trainer measures."""


def estimate(workload: Workload, setting: Setting) -> MemoryEstimate:
    """The peak of one device by component, in training or in an evaluation; they add up to it exactly."""
    return highest(training_memory(workload, setting), evaluation_memory(workload, setting))


def highest(trained: MemoryEstimate, evaluated: MemoryEstimate | None) -> MemoryEstimate:
    """Of the two highest moments the higher one."""
    return trained if evaluated is None or evaluated.device_total <= trained.device_total else evaluated


def evaluation_memory(workload: Workload, setting: Setting) -> MemoryEstimate | None:
    """The highest moment of evaluating; None where nothing is evaluated."""
    if setting.evaluated is None:
        return None
    found, none = evaluation_of(workload, setting.sharding, setting.evaluated), Bytes(0)
    return MemoryEstimate(
        weights=Bytes(found.weights),
        gradients=none,
        optimizer=none,
        activations=Bytes(found.passed.activations + found.passed.cache),
        logits=Bytes(found.passed.logits),
        buckets=none,
        gathered=Bytes(found.gathered),
        context=Bytes(_evaluation_context(setting, found)),
        host=Bytes(host_of(workload, setting)),
    )


def training_memory(workload: Workload, setting: Setting) -> MemoryEstimate:
    """The highest moment of training."""
    known = device_states(workload, setting.sharding)
    passing = _passing_of(workload, setting)
    peak = max(_moments(known, passing, setting.accumulation))
    rest = known.weights + known.optimizer + peak.total
    return MemoryEstimate(
        weights=Bytes(known.weights),
        gradients=Bytes(peak.gradients),
        optimizer=Bytes(known.optimizer),
        activations=Bytes(peak.activations),
        logits=Bytes(peak.logits),
        buckets=Bytes(peak.buckets),
        gathered=Bytes(peak.gathered),
        context=Bytes(_context(setting, passing, rest)),
        host=Bytes(host_of(workload, setting)),
    )


def device_bytes(workload: Workload, setting: Setting, states: States, cut: Cut) -> int:
    """What one device must hold where the setting's rows are cut in that way: the total alone, of many to compare."""
    return device_needs(workload, setting, states)(cut)


def device_needs(workload: Workload, setting: Setting, states: States) -> Callable[[Cut], int]:
    """The same for any way to cut the rows: what doesn't depend on it is found once."""
    passings, state = _passings_of(workload, setting), states.weights + states.optimizer
    least = _evaluation_bytes(workload, setting)

    def need(cut: Cut) -> int:
        micro_batch, accumulation, checkpointing = cut
        passing = passings[micro_batch, accumulation > 1, checkpointing]
        rest = state + max(_totals(states, passing, accumulation))
        return max(least, rest + _context(setting, passing, rest))

    return need


def _evaluation_bytes(workload: Workload, setting: Setting) -> int:
    if setting.evaluated is None:
        return 0
    found = evaluation_of(workload, setting.sharding, setting.evaluated)
    return found.total + _evaluation_context(setting, found)


def _evaluation_context(setting: Setting, found: Evaluation) -> int:
    if setting.accelerator is Accelerator.CPU:
        return PROCESS + min(CPU_HEAP_LIMIT, round(CPU_HEAP_SHARE * found.passed.total))
    return context_bytes(setting, found.total)


def phases_of(workload: Workload, setting: Setting) -> dict[str, int]:
    """What a device has to have in each phase of a run, as the trainer calls the phases it measures."""
    states, passing = device_states(workload, setting.sharding), _passing_of(workload, setting)
    found = moments(workload, setting, states)
    state = states.weights + states.optimizer
    highest = {name: state + max(found[p].total for p in peaks) for name, peaks in TRAINED.items()}
    phases = {name: rest + _context(setting, passing, rest) for name, rest in highest.items()}
    evaluated = _evaluation_bytes(workload, setting)
    return {"baseline": evaluated, **phases, "tuned": evaluated} if evaluated else phases


def highest_of(workload: Workload, setting: Setting) -> Peak:
    """When a device holds most."""
    found = moments(workload, setting, device_states(workload, setting.sharding))
    if _evaluation_bytes(workload, setting) > training_memory(workload, setting).device_total:
        return Peak.EVALUATION
    return max(found, key=lambda name: found[name])


def moments(workload: Workload, setting: Setting, states: States) -> dict[Peak, Moment]:
    """What is there at each moment."""
    passing = _passing_of(workload, setting)
    return dict(zip(IN_TRAINING, _moments(states, passing, setting.accumulation), strict=True))


def _moments(states: States, passing: Passing, accumulation: int) -> tuple[Moment, ...]:
    """One for each peak, in that order."""
    _, generation, forward, loss, backward, gradients, step = _totals(states, passing, accumulation)
    carried, all_gradients = states.accumulated if accumulation > 1 else 0, states.accumulated
    buckets, gathered, rooted, kept = states.buckets, states.gathered, states.rooted, passing.kept
    working = kept + passing.working + states.returned * passing.returned
    return (
        Moment(states.undivided, 0, 0, 0, 0, states.undivided),
        Moment(generation, carried, passing.cache, 0, buckets, gathered),
        Moment(forward, carried, kept + passing.merged, 0, buckets, gathered),
        Moment(loss, carried, kept, passing.logits, buckets, rooted),
        Moment(backward, carried, working, passing.head, buckets, gathered),
        Moment(gradients, all_gradients, 0, passing.second, buckets, gathered),
        Moment(step, states.step_gradients, 0, 0, states.step_buckets, 0),
    )


def _totals(states: States, passing: Passing, accumulation: int) -> tuple[int, ...]:
    """What is there at each moment, all together."""
    _, _, accumulated, step_gradients, buckets, step_buckets, gathered, rooted, undivided, stays = states
    kept, working, logits, returned, cache, merged, head, second, _ = passing
    held = buckets + gathered
    # gradients of earlier micro-batches are there while this one's activations are
    before = held + accumulated if accumulation > 1 else held
    return (
        undivided,
        before + cache,
        before + kept + merged,
        before - gathered + rooted + kept + logits,
        before + kept + working + stays * returned + head,
        held + accumulated + second,
        step_buckets + step_gradients,
    )


class _Rows(NamedTuple):
    """All that a micro-batch's memory depends on beside the workload and how it is cut."""

    accelerator: Accelerator
    precision: PrecisionUsed
    length: int
    packed: bool


_Shape = tuple[int, bool, Checkpointing]
"""What it depends on of how rows are cut: micro-batch, whether it is one of several, checkpointing."""


def _passing_of(workload: Workload, setting: Setting) -> Passing:
    return _passings_of(workload, setting)[setting.micro_batch, setting.accumulation > 1, setting.checkpointing]


def _passings_of(workload: Workload, setting: Setting) -> Remembered[_Shape, Passing]:
    return _passings(workload, _Rows(setting.accelerator, setting.sharding.precision, setting.length, setting.packed))


@lru_cache(maxsize=512)
def _passings(workload: Workload, rows: _Rows) -> Remembered[_Shape, Passing]:
    return Remembered(partial(_passing, workload, rows))


def _passing(workload: Workload, rows: _Rows, shape: _Shape) -> Passing:
    micro_batch, accumulates, checkpointing = shape
    # one device stands for any number of them
    setting = Setting(
        accelerator=rows.accelerator,
        sharding=Sharding(stage=0, offload=Offload.NONE, world=1, precision=rows.precision),
        ranks_per_node=1,
        micro_batch=micro_batch,
        length=rows.length,
        accumulation=2 if accumulates else 1,
        checkpointing=checkpointing,
        packed=rows.packed,
    )
    return Passing(
        kept=kept_activations(workload, setting),
        working=working_activations(workload, setting),
        logits=logits_bytes(workload, setting),
        returned=_returned(workload, setting),
        cache=cache_bytes(workload, setting),
        merged=merged_bytes(workload),
        head=head_gradient_bytes(workload, setting),
        second=embedding_gradient_bytes(workload, setting),
        heap=heap_bytes(workload, setting) + moments_at_work(workload) if rows.accelerator is Accelerator.CPU else 0,
    )


def _returned(workload: Workload, setting: Setting) -> int:
    """Gradients of the layers' inputs, but for the last one's and that of the layer at work."""
    layers = max(0, workload.architecture.layers - 2)
    return layers * _residual_bytes(workload, setting) * setting.tokens * workload.sequences


def host_of(workload: Workload, setting: Setting) -> int:
    """RAM a node outside of devices; a CPU is its own host: everything is in the device's memory already."""
    if setting.accelerator is Accelerator.CPU:
        return 0
    return host_bytes(workload, setting.sharding, setting.ranks_per_node, accumulates=setting.accumulation > 1)


def is_masked(workload: Workload, setting: Setting) -> bool:
    """Whether attention gets a mask: rows of different lengths are padded, or lie end to end."""
    return workload.recipe.packed or setting.padded(workload.sequences)


def layer_bytes(workload: Workload, cost: TokenCost, setting: Setting) -> int:
    """What one layer keeps of a micro-batch for its backward pass."""
    sequences = workload.sequences
    element = ELEMENT_BYTES[setting.sharding.precision]
    # CUDA's dropout keeps a mask of bytes, the CPU's one in the arithmetic of the run
    mask = element if setting.accelerator is Accelerator.CPU else 1
    token = cost.fixed_bytes + element * cost.elements + (element + mask) * cost.dropped + cost.scores * setting.length
    if is_masked(workload, setting) and cost.fused_attention:
        # the mask has a value for each pair of tokens
        token += element * (cost.masked + setting.length)
    return token * setting.tokens * sequences


def kept_activations(workload: Workload, setting: Setting) -> int:
    """Activations that are there when the backward pass begins: of all layers, or their inputs alone."""
    sequences = workload.sequences
    tokens = setting.tokens * sequences
    # one mask of a byte for each pair of tokens is shared by all layers
    mask = setting.length * tokens if is_masked(workload, setting) else 0
    if setting.checkpointing is Checkpointing.NONE:
        return mask + sum(c.layers * layer_bytes(workload, c, setting) for c in workload.costs)
    return mask + workload.architecture.layers * _residual_bytes(workload, setting) * tokens


def _residual_bytes(workload: Workload, setting: Setting) -> int:
    """A token's tensor that goes from layer to layer."""
    element = WIDE if workload.recipe.wide_residual else ELEMENT_BYTES[setting.sharding.precision]
    return element * workload.architecture.hidden


def working_activations(workload: Workload, setting: Setting) -> int:
    """What one layer's backward pass adds: with checkpointing the layer's activations too, computed again."""
    return max(_working(workload, c, setting) for c in workload.costs)


def _working(workload: Workload, cost: TokenCost, setting: Setting) -> int:
    element, tokens = ELEMENT_BYTES[setting.sharding.precision], setting.tokens * workload.sequences
    token = cost.working_bytes + element * cost.working
    if cost.working_scores:
        # attention's turn comes when the feed-forward part has let go of what it kept
        token = max(token, cost.working_scores * setting.length - element * cost.passed)
    transient = max(token * tokens, merged_bytes(workload))
    if workload.unpacked:
        transient = max(transient, element * cost.multiplied * tokens + HALF * workload.unpacked)
    if setting.checkpointing is Checkpointing.NONE:
        return transient
    return layer_bytes(workload, cost, setting) + transient


def cache_bytes(workload: Workload, setting: Setting) -> int:
    """Keys and values of all tokens, where the objective has the model answer by itself."""
    if workload.objective is not Objective.GRPO:
        return 0
    groups = workload.architecture.groups
    each = sum(g.count * (g.attention.key_width + g.attention.value_width) for g in groups)
    return ELEMENT_BYTES[setting.sharding.precision] * each * setting.tokens


def merged_bytes(workload: Workload) -> int:
    """What DoRA takes for a moment in each module's forward pass."""
    return HALF * workload.merged


def heap_bytes(workload: Workload, setting: Setting) -> int:
    """What a CPU's process keeps of what it has freed."""
    passing = kept_activations(workload, setting) + tile_bytes(workload, setting)
    return min(CPU_HEAP_LIMIT, round(CPU_HEAP_SHARE * passing))


def moments_at_work(workload: Workload) -> int:
    """What bitsandbytes takes on a CPU to step on one tensor."""
    return MOMENTS_AT_WORK * workload.largest_trained if workload.eight_bit else 0


def _context(setting: Setting, passing: Passing, rest: int) -> int:
    if setting.accelerator is Accelerator.CPU:
        return PROCESS + passing.heap
    return context_bytes(setting, rest)


def context_bytes(setting: Setting, allocated: int) -> int:
    """What a GPU needs outside of what the allocator hands out: driver, NCCL, and what can't be given back."""
    collectives = COLLECTIVES if setting.sharding.world > 1 else 0
    return setting.context + collectives + round(ALLOCATOR_SHARE * allocated)
