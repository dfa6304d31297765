"""How fast a way trains: arithmetic, memory traffic, communication and offloading as seconds of one optimizer step."""

import math
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache, partial
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from finetune_operator.api.spec import Accelerator, Method, Objective
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.capacity import Device, NodeClass
from finetune_operator.planner.deferred import Remembered
from finetune_operator.planner.efficiency import (
    ASSUMED,
    FITTED,
    ONE_DEVICE,
    QUANTIZED,
    SEVERAL,
    TRAINER,
    Efficiency,
    Spread,
    Stack,
)
from finetune_operator.planner.facts import DatasetFacts
from finetune_operator.planner.lines import lay_out
from finetune_operator.planner.links import CPU_BANDWIDTH, HOST_LINK, RAM_BANDWIDTH, between, gpu_rates
from finetune_operator.planner.plan import Interval, PrecisionUsed
from finetune_operator.planner.setting import Cut, Setting
from finetune_operator.planner.states import ELEMENT_BYTES, Sharding
from finetune_operator.planner.work import Work, count_work
from finetune_operator.planner.workload import Workload
from finetune_operator.planner.zero import overlaps

ATTENTION_BACKWARD: Final = 2.5
"""Matrix products of attention's backward pass as a share of the forward pass's: five, two of them a recomputation."""

CPU_EFFICIENCY: Final = 0.25
"""Share of a processor's peak that training reaches: 0.24 to 0.27 in bfloat16 and 0.30 to 0.38 in 32 bits, measured
with a model of 135 million parameters on AVX-512."""

CPU_OVERHEAD_TOKENS: Final = 24
"""Each micro-step costs as much as so many tokens more (same measurement)."""

FP32_SHARE_CPU: Final = 1 / 2
"""32-bit peak as a share of the 16-bit one for a processor with bfloat16: half as many lanes of a vector."""

DORA_BYTES: Final = 18
"""Bytes a weight that PEFT 0.21's DoRA moves for a module's norms: the adapter's product with the identity, its
transposition, scaling, the sum with the weight, and the norm."""

DORA_ADAPTER: Final = 2
"""Times an adapter's traffic: DoRA scales the frozen module's output, too."""

CPU_ADAM: Final = 1e8
"""Parameters a second and logical core that DeepSpeed's CPU Adam steps: 1.65e8 a physical core in the paper on
ZeRO-Offload."""

CPU_ADAM_TRAFFIC: Final = 44
"""Bytes of RAM a parameter of that step: 28 for Adam itself, 16 for scaling gradients, their norm and copies."""

ADAM_TRAFFIC: Final = 34
"""Bytes read and written a trainable parameter by an optimizer step on the device."""


# what is looked up most: a member of an enumeration isn't found as quickly
_CPU: Final = Accelerator.CPU
_DORA: Final = Method.DORA
_FULL: Final = Checkpointing.FULL
_ON_DEVICE: Final = Offload.NONE


class Price(NamedTuple):
    """Seconds of computing a micro-batch: a GPU's matrix products and what it moves through its memory between them."""

    token: float
    """A token, without attention."""
    attended: float
    """A token and a multiply-accumulate of attention."""
    once: float
    """A micro-batch, however many tokens it has."""
    least: float = 0.0
    """In which the processor launches it: no device is faster than that."""

    def seconds(self, tokens: float, attended: float) -> float:
        """So many tokens, with so many multiply-accumulates of attention each."""
        return max(self.least, tokens * (self.token + attended * self.attended) + self.once)


class Pace(NamedTuple):
    """One way's speed; a plain tuple, since planning makes hundreds."""

    step_seconds: float
    steps: int
    tokens: int
    """Real tokens of the whole run."""
    spread: Spread = ASSUMED

    @property
    def seconds(self) -> float:
        """The whole training."""
        return self.step_seconds * self.steps

    @property
    def tokens_per_second(self) -> float:
        """Real tokens, over all devices."""
        return self.tokens / self.seconds

    @property
    def duration(self) -> Interval:
        """Seconds of the whole training: without start-up and evaluation."""
        return Interval(low=self.seconds * self.spread.fast, mid=self.seconds, high=self.seconds * self.spread.slow)

    @property
    def speed(self) -> Interval:
        """Real tokens a second, over all devices."""
        mid = self.tokens_per_second
        return Interval(low=mid / self.spread.slow, mid=mid, high=mid / self.spread.fast)

    def cost(self, hourly: float) -> Interval:
        """What the training costs where all devices together cost so much an hour."""
        took = self.duration
        return Interval(low=took.low * hourly / 3600, mid=took.mid * hourly / 3600, high=took.high * hourly / 3600)


def num_steps(rows: int, batch_size: int, epochs: str) -> int:
    """Optimizer steps of the run: the last, smaller batch of an epoch is a step too, and a started step is finished.

    The epochs are a float here because they are one for the trainer: both have to round alike.
    """
    return max(1, math.ceil(math.ceil(rows / batch_size) * float(epochs)))


def padded_length(data: DatasetFacts, micro_batch: int) -> float:
    """Tokens to which a micro-batch's rows are padded, on average: the longest of so many rows drawn at random."""
    mean = data.tokens / data.rows
    if micro_batch == 1:
        return mean
    share = micro_batch / (micro_batch + 1)
    points = ((0.5, data.p50), (0.95, data.p95), (1.0, data.longest))
    for (left, low), (right, high) in pairwise(points):
        if share <= right:
            return max(mean, low + (high - low) * (share - left) / (right - left))
    return float(data.longest)


def measure_pace(workload: Workload, setting: Setting, node: NodeClass, data: DatasetFacts, epochs: str) -> Pace:
    """The speed of one setting on one class of nodes."""
    return measure_paces(workload, (setting,), node, data, epochs)[0]


def measure_paces(
    workload: Workload, settings: Sequence[Setting], node: NodeClass, data: DatasetFacts, epochs: str
) -> tuple[Pace, ...]:
    """The speeds of settings that differ in micro-batch, accumulation and checkpointing alone."""
    first, sharding = settings[0], settings[0].sharding
    batch = first.micro_batch * first.accumulation * sharding.world
    course = Course(workload, node.device, sharding.precision, data, batch, epochs)
    stretch = course.stretch(first, node)
    return tuple(course.pace(each, stretch) for each in course.step_seconds([s.cut for s in settings], stretch))


class Stretch(NamedTuple):
    """What the settings of one place have in common."""

    world: int
    stage: Literal[0, 3]
    """3 where weights are gathered."""
    moved: float
    """Seconds of communication in each micro-step, and the share of it that can be hidden."""
    hidden: float
    optimizer: float
    spread: Spread


class Passed(NamedTuple):
    """The forward passes of an optimizer step on the busiest device."""

    times: float
    tokens: float
    """Of one, padding included."""
    attended: float
    """What attention multiplies for one of these."""


class Course:
    """What all ways to train a workload on one kind of device have in common, counted once for hundreds of them."""

    def __init__(
        self, workload: Workload, device: Device, precision: PrecisionUsed, data: DatasetFacts, batch: int, epochs: str
    ) -> None:
        """Count what doesn't depend on how the workload is spread."""
        self._device, self._precision = device, precision
        self._forward = workload.forward_passes(float(epochs))
        self._work, self._passes = _count(workload), _passes_of(workload, data, batch)
        self._computed, self._prices = Remembered(self._at_stage), Remembered(self._prices_at)
        self.steps = num_steps(data.rows, batch, epochs)
        self._tokens = max(1, round(workload.sequences * data.tokens * float(epochs)))

    def stretch(self, setting: Setting, node: NodeClass) -> Stretch:
        """That of all settings that differ from this one in micro-batch, accumulation and checkpointing alone."""
        work = self._work
        return Stretch(
            setting.sharding.world,
            3 if setting.sharding.stage == 3 else 0,
            traffic_seconds(work, setting, node),
            FITTED.overlap if _prefetches(setting) else 0.0,
            optimizer_seconds(work, setting, node),
            spread_of(work, setting, node),
        )

    def step_seconds(self, cuts: Sequence[Cut], stretch: Stretch) -> list[float]:
        """Seconds of an optimizer step, for each way to cut its rows."""
        world, stage, moved, hidden, optimizer, _ = stretch
        computed = self._computed[stage, world]
        if not moved:
            return [times * seconds + optimizer for times, seconds in [computed[cut] for cut in cuts]]
        return [
            times * _together(seconds, moved, hidden) + optimizer for times, seconds in [computed[cut] for cut in cuts]
        ]

    def _at_stage(self, kind: tuple[Literal[0, 3], int]) -> Remembered[Cut, tuple[float, float]]:
        stage, world = kind
        return Remembered(partial(self._compute, self._prices[stage], world))

    def _prices_at(self, stage: Literal[0, 3]) -> Remembered[Checkpointing, Price]:
        return Remembered(partial(self._price, stage))

    def _compute(self, prices: Mapping[Checkpointing, Price], world: int, cut: Cut) -> tuple[float, float]:
        """Forward passes of an optimizer step, and seconds of computing one."""
        micro_batch, _, checkpointing = cut
        times, tokens, attended = self._passes[micro_batch, world]
        seconds = prices[checkpointing].seconds(tokens, attended)
        # a forward pass is one of three, or of four with recomputation
        return times, seconds * (1 + self._forward / (4 if checkpointing is _FULL else 3))

    def _price(self, stage: Literal[0, 3], checkpointing: Checkpointing) -> Price:
        device = self._device
        return price_tokens(self._work, _bare(device.accelerator, self._precision, stage, checkpointing), device)

    def pace(self, step_seconds: float, stretch: Stretch) -> Pace:
        """The speed of a setting whose steps take so long."""
        return Pace(step_seconds, self.steps, self._tokens, stretch.spread)


@lru_cache(maxsize=256)
def _count(workload: Workload) -> Work:
    w = workload
    return count_work(w.architecture, w.method, w.trainable, w.parameters, quantized=w.quantised)


@lru_cache(maxsize=256)
def _passes_of(workload: Workload, data: DatasetFacts, batch: int) -> Remembered[tuple[int, int], Passed]:
    """What a step's forward passes are with so many rows at once on a device, and so many devices."""
    find = _laid_out if workload.objective is Objective.SFT else _as_drawn
    return Remembered(partial(find, workload, data, batch))


def _laid_out(workload: Workload, data: DatasetFacts, batch: int, shape: tuple[int, int]) -> Passed:
    """Of rows that the trainer lays out."""
    times, tokens, width = lay_out(data, batch, packed=workload.recipe.packed).passes[shape]
    return Passed(times, tokens, _count(workload).attended(width))


def _as_drawn(workload: Workload, data: DatasetFacts, batch: int, shape: tuple[int, int]) -> Passed:
    """Of rows in any order."""
    micro_batch, world = shape
    rows = micro_batch * workload.sequences
    length = padded_length(data, rows)
    return Passed(batch // (micro_batch * world), rows * length, _count(workload).attended(length))


@cache
def _bare(
    accelerator: Accelerator, precision: PrecisionUsed, stage: Literal[0, 3], checkpointing: Checkpointing
) -> Setting:
    """One that stands for all with the same price."""
    return Setting(
        accelerator=accelerator,
        sharding=Sharding(stage=stage, offload=Offload.NONE, world=1, precision=precision),
        ranks_per_node=1,
        micro_batch=1,
        length=1,
        accumulation=1,
        checkpointing=checkpointing,
    )


def _together(compute: float, moved: float, hidden: float) -> float:
    """Computing and communication, of which the shorter one is partly hidden behind the longer one."""
    return compute + (1 - hidden) * moved if compute >= moved else moved + (1 - hidden) * compute


def spread_of(work: Work, setting: Setting, node: NodeClass) -> Spread:
    """How far measured times are from estimated ones, where this way is like published runs."""
    sharding = setting.sharding
    unlike = (
        setting.accelerator is _CPU
        or sharding.offload is not _ON_DEVICE
        or sharding.world > setting.ranks_per_node
        or work.method is _DORA
        or not gpu_rates(node.device).known
    )
    if unlike:
        return ASSUMED
    if work.quantized:
        return QUANTIZED
    return SEVERAL if sharding.world > 1 or sharding.stage == 3 else ONE_DEVICE


def micro_step_seconds(
    work: Work, setting: Setting, node: NodeClass, length: float, fit: Efficiency = FITTED, stack: Stack = TRAINER
) -> float:
    """Forward and backward pass of one micro-batch on every device."""
    price = price_tokens(work, setting, node.device, fit, stack)
    compute = price.seconds(setting.micro_batch * length, work.attended(length))
    hidden = fit.overlap if _prefetches(setting) else 0.0
    return _together(compute, traffic_seconds(work, setting, node), hidden)


def _prefetches(setting: Setting) -> bool:
    """Whether weights and gradients move while the device computes: ZeRO-3 alone does it safely."""
    sharding = setting.sharding
    return overlaps(sharding.stage, sharding.world) or sharding.offload is Offload.PARAMETERS


def passes(setting: Setting) -> int:
    """Passes through a layer, each of a forward pass's traffic: forward, backward twice, and once more to recompute."""
    return 4 if setting.checkpointing is _FULL else 3


def matmul_flops(work: Work, setting: Setting, stack: Stack = TRAINER) -> float:
    """Operations a token in linear modules and output head, recomputation counted."""
    # backward: the input's gradient, and the weight's where it is trained
    backward = 4 if work.full else 2
    again = passes(setting) - 3
    adapter = 0 if work.full else 6 * work.trainable
    return work.matmul * (2 + backward + 2 * again) + work.head * (2 * stack.head_passes + backward) + adapter


def attention_flops(work: Work, setting: Setting, length: float) -> float:
    """Operations a token of attention, recomputation counted."""
    return 2 * work.attended(length) * _attention_passes(setting)


def _attention_passes(setting: Setting) -> float:
    return passes(setting) - 2 + ATTENTION_BACKWARD


def price_tokens(
    work: Work, setting: Setting, device: Device, fit: Efficiency = FITTED, stack: Stack = TRAINER
) -> Price:
    """What computing costs, whatever the micro-batch."""
    if setting.accelerator is Accelerator.CPU:
        return _price_on_cpu(work, setting, device)
    rates = gpu_rates(device)
    wide = setting.sharding.precision is PrecisionUsed.FP32
    peak = rates.matmul * (rates.wide if wide else 1)
    adapter = work.adapted * fit.adapter_bytes * (DORA_ADAPTER if work.normed_by else 1)
    layers = work.elementwise * fit.elementwise * stack.elementwise + adapter
    moved = layers * passes(setting) + work.vocab * fit.logit_bytes * stack.logits
    return Price(
        token=matmul_flops(work, setting, stack) / fit.matmul / peak + moved * (2 if wide else 1) / rates.memory,
        attended=2 * _attention_passes(setting) / fit.attention / peak,
        once=_weight_bytes(work, setting, fit) / rates.memory,
        least=launch_seconds(work, setting, fit),
    )


def _price_on_cpu(work: Work, setting: Setting, device: Device) -> Price:
    # a processor's peak is already the 32-bit one where it has no bfloat16
    wide = setting.sharding.precision is PrecisionUsed.FP32 and device.bf16
    sustained = device.peak_flops * CPU_EFFICIENCY * (FP32_SHARE_CPU if wide else 1)
    token = matmul_flops(work, setting) / sustained
    attended = 2 * _attention_passes(setting) / sustained
    return Price(token=token, attended=attended, once=CPU_OVERHEAD_TOKENS * token)


def _weight_bytes(work: Work, setting: Setting, fit: Efficiency) -> float:
    """Bytes a micro-step moves for its weights' sake, however many tokens there are."""
    again = passes(setting) - 3
    # 4-bit weights are unpacked for the backward pass too; norms are constants there
    return work.quantized * fit.unpack_bytes * (2 + again) + work.normed_by * DORA_BYTES * (1 + again)


def launch_seconds(work: Work, setting: Setting, fit: Efficiency = FITTED) -> float:
    """The processor's time for launching one micro-batch's kernels; small micro-batches wait for it."""
    gather = fit.launch_gather if setting.sharding.stage == 3 else 1.0
    return work.layers * passes(setting) * fit.launch * gather


def traffic_seconds(work: Work, setting: Setting, node: NodeClass) -> float:
    """Seconds for moving weights and gradients in every micro-step."""
    stage, offload, world, precision = setting.sharding
    if stage < 2 and offload is _ON_DEVICE:
        return 0.0
    element, others = ELEMENT_BYTES[precision], (world - 1) / world
    weights = element * (work.parameters - work.quantized) + work.quantized / 2
    seconds = 0.0
    if stage >= 2:
        link = between(node, world, setting.ranks_per_node)
        # weights are gathered for the forward and again for the backward pass
        gathered = 2 * weights * others / link if stage == 3 else 0.0
        seconds = gathered + work.trainable * element * others / link
    if offload is not _ON_DEVICE:
        seconds += work.trainable * element / world / HOST_LINK
    if offload is Offload.PARAMETERS:
        seconds += 2 * weights / world / HOST_LINK
    return seconds


def optimizer_seconds(work: Work, setting: Setting, node: NodeClass) -> float:
    """Seconds of the optimizer step, and of what is communicated once a step."""
    stage, offload, world, precision = setting.sharding
    share = work.trainable / (world if stage >= 1 else 1)
    element, others = ELEMENT_BYTES[precision], (world - 1) / world
    # all-reduce, or reduce and later gather: twice the gradients' size; ZeRO-2 has reduced already
    times, moved = (2, 2, 1, 0)[stage], 0.0
    if times and others:
        moved = times * work.trainable * element * others / between(node, world, setting.ranks_per_node)
    if offload is not _ON_DEVICE:
        return moved + host_adam_seconds(share, setting, node) + share * element / HOST_LINK
    on_cpu = setting.accelerator is _CPU
    return moved + share * ADAM_TRAFFIC / (CPU_BANDWIDTH if on_cpu else gpu_rates(node.device).memory)


def host_adam_seconds(parameters: float, setting: Setting, node: NodeClass) -> float:
    """Seconds in which a process steps so many parameters in RAM: cores and RAM are shared with the node's others."""
    cores = max(1.0, node.cores / setting.ranks_per_node)
    bandwidth = RAM_BANDWIDTH / setting.ranks_per_node
    return max(parameters / (CPU_ADAM * cores), parameters * CPU_ADAM_TRAFFIC / bandwidth)
