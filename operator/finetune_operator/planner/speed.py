"""How fast a way trains: arithmetic, communication and offloading, each as seconds of one optimizer step."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from finetune_operator.api.spec import Accelerator, Method
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.capacity import NodeClass
from finetune_operator.planner.facts import DatasetFacts
from finetune_operator.planner.memory import Setting
from finetune_operator.planner.plan import Interval, PrecisionUsed
from finetune_operator.planner.states import ELEMENT_BYTES
from finetune_operator.planner.workload import Workload
from finetune_operator.units import GIB

GPU_EFFICIENCY: Final = 0.64
"""Share of the peak that large micro-batches reach, recomputation counted: median error 9% over 255 published runs."""

GPU_EFFICIENCY_PEAK: Final = 312e12
"""Operations a second of the card those runs were on."""

GPU_EFFICIENCY_FALL: Final = 0.3
"""Exponent by which faster cards reach less of their peak: published runs on 989e12 reach 0.40 to 0.46."""

GPU_OVERHEAD_TOKENS: Final = 900
"""Each micro-step costs as much as so many tokens more: small ones don't fill the card (same fit)."""

ZERO3_OVERHEAD_TOKENS: Final = 2500
"""The same under ZeRO-3, whose layers wait for their weights (same fit)."""

CPU_EFFICIENCY: Final = 0.25
"""Share of a processor's peak that training reaches: 0.24 to 0.27 in bfloat16 and 0.30 to 0.38 in 32 bits, measured
with a model of 135 million parameters on AVX-512."""

CPU_OVERHEAD_TOKENS: Final = 24
"""Each micro-step costs as much as so many tokens more (same measurement)."""

FP32_SHARE_GPU: Final = 1 / 16
"""32-bit peak as a share of the 16-bit one: 19.5 of 312 on an A100, 67 of 989 on an H100."""

FP32_SHARE_CPU: Final = 1 / 2
"""Likewise for a processor with bfloat16: half as many lanes of a vector."""

FAST_LINK_MEMORY: Final = 64 * GIB
"""Cards with at least this memory are taken to be joined by a fast link, others by PCIe."""

FAST_LINK: Final = 150e9
"""Bytes a second between devices of a node that have a link of their own: half of NVLink's 300 in one direction."""

PCIE: Final = 12e9
"""Bytes a second over PCIe 4 in practice: between other devices of a node, and between device and RAM."""

NETWORK: Final = 10e9
"""Bytes a second between nodes: 100 Gbit/s Ethernet in practice."""

CPU_ADAM: Final = 1e8
"""Parameters a second and core that DeepSpeed's CPU Adam steps."""

ADAM_TRAFFIC: Final = 34
"""Bytes read and written a trainable parameter by an optimizer step on the device."""

GPU_FLOPS_A_BYTE: Final = 250.0
"""Peak operations a byte of memory bandwidth: 156 (A100) to 400 (L4)."""

CPU_BANDWIDTH: Final = 20e9
"""Bytes a second of a processor's memory: two channels of DDR4, in practice."""

SPREAD: Final = 0.3
"""Half-width of the interval around an estimate: the fit's mean error is 17%, links and processors add to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """One way's speed."""

    step_seconds: float
    steps: int
    tokens: int
    """Real tokens of the whole run."""

    @property
    def seconds(self) -> float:
        """The whole training."""
        return self.step_seconds * self.steps

    @property
    def tokens_per_second(self) -> float:
        """Real tokens, over all devices."""
        return self.tokens / self.seconds


def around(value: float) -> Interval:
    """A speed or a time with its honest bounds."""
    return Interval(low=value / (1 + SPREAD), mid=value, high=value * (1 + SPREAD))


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
    world = setting.sharding.world
    batch = setting.micro_batch * setting.accumulation * world
    steps = num_steps(data.rows, batch, epochs)
    micro = micro_step_seconds(workload, setting, node, padded_length(data, setting.micro_batch))
    step = setting.accumulation * micro + optimizer_seconds(workload, setting, node)
    return Pace(step_seconds=step, steps=steps, tokens=max(1, round(data.tokens * float(epochs))))


def micro_step_seconds(workload: Workload, setting: Setting, node: NodeClass, length: float) -> float:
    """Forward and backward pass of one micro-batch on every device."""
    tokens = setting.micro_batch * length
    overhead = _overhead_tokens(setting)
    compute = flops_per_token(workload, setting, length) * (tokens + overhead) / sustained_flops(setting, node)
    return compute + _micro_step_traffic(workload, setting, node)


def flops_per_token(workload: Workload, setting: Setting, length: float) -> float:
    """Operations a token, recomputation counted."""
    a = workload.architecture
    head = a.embedding_parameters
    layers = a.matmul_parameters - head
    backward = 4 if workload.method is Method.FULL else 2
    again = 2 if setting.checkpointing is Checkpointing.FULL else 0
    # the fused head computes its logits a second time in the backward pass
    matmuls = layers * (2 + backward + again) + head * (2 + backward + 2)
    # causal: half of the square; backward 2.5 times the forward pass
    widths = sum(g.count * g.attention.query_width for g in a.groups)
    attention = 2 * length * widths * (3.5 + (1 if again else 0))
    return matmuls + attention


def sustained_flops(setting: Setting, node: NodeClass) -> float:
    """Operations a second that one device sustains."""
    peak = node.device.peak_flops
    wide = setting.sharding.precision is PrecisionUsed.FP32
    if setting.accelerator is Accelerator.CPU:
        # a processor's peak is already the 32-bit one where it has no bfloat16
        return peak * CPU_EFFICIENCY * (FP32_SHARE_CPU if wide and node.device.bf16 else 1)
    reached: float = GPU_EFFICIENCY * min(1.0, (GPU_EFFICIENCY_PEAK / peak) ** GPU_EFFICIENCY_FALL)
    return peak * reached * (FP32_SHARE_GPU if wide else 1)


def _overhead_tokens(setting: Setting) -> int:
    if setting.accelerator is Accelerator.CPU:
        return CPU_OVERHEAD_TOKENS
    return ZERO3_OVERHEAD_TOKENS if setting.sharding.stage == 3 else GPU_OVERHEAD_TOKENS


def _link(setting: Setting, node: NodeClass) -> float:
    """Bytes a second of the slowest part of the way between devices."""
    if setting.sharding.world > setting.ranks_per_node:
        return NETWORK
    return FAST_LINK if node.device.memory >= FAST_LINK_MEMORY else PCIE


def _micro_step_traffic(workload: Workload, setting: Setting, node: NodeClass) -> float:
    """Seconds for moving weights and gradients in every micro-step."""
    sharding = setting.sharding
    element, others = ELEMENT_BYTES[sharding.precision], (sharding.world - 1) / sharding.world
    seconds = 0.0
    if sharding.stage == 3:
        # weights are gathered for the forward and again for the backward pass
        seconds += 2 * workload.parameters * element * others / _link(setting, node)
    if sharding.stage >= 2:
        seconds += workload.trainable * element * others / _link(setting, node)
    if sharding.offload is not Offload.NONE:
        seconds += workload.trainable * element / sharding.world / PCIE
    if sharding.offload is Offload.PARAMETERS:
        seconds += 2 * workload.parameters * element / sharding.world / PCIE
    return seconds


def optimizer_seconds(workload: Workload, setting: Setting, node: NodeClass) -> float:
    """Seconds of the optimizer step, and of what is communicated once a step."""
    sharding = setting.sharding
    share = workload.trainable / (sharding.world if sharding.stage >= 1 else 1)
    element, others = ELEMENT_BYTES[sharding.precision], (sharding.world - 1) / sharding.world
    seconds = 0.0
    if sharding.stage <= 1:
        # all-reduce, or reduce and later gather: twice the gradients' size
        seconds += 2 * workload.trainable * element * others / _link(setting, node)
    elif sharding.stage == 2:
        seconds += workload.trainable * element * others / _link(setting, node)
    if sharding.offload is not Offload.NONE:
        cores = max(1.0, node.cores / setting.ranks_per_node)
        return seconds + share / (CPU_ADAM * cores) + share * element / PCIE
    on_cpu = setting.accelerator is Accelerator.CPU
    bandwidth = CPU_BANDWIDTH if on_cpu else node.device.peak_flops / GPU_FLOPS_A_BYTE
    return seconds + share * ADAM_TRAFFIC / bandwidth
