"""Every way worth judging: method, ZeRO stage, offload, class of nodes, nodes, devices a node."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final, NamedTuple

from finetune_operator.api.spec import Accelerator, Hardware, Method, OptimizerChoice
from finetune_operator.api.status import Offload
from finetune_operator.planner.capacity import Capacity, NodeClass
from finetune_operator.planner.naming import class_order, class_tags, devices_name, strategy_name

ALONE: Final = ((0, Offload.NONE), (2, Offload.OPTIMIZER), (3, Offload.PARAMETERS))
"""ZeRO stages for all weights on one GPU: there is nobody to share with, so a stage is only for what it can offload."""

TOGETHER: Final = (
    (0, Offload.NONE),
    (1, Offload.NONE),
    (2, Offload.NONE),
    (3, Offload.NONE),
    (2, Offload.OPTIMIZER),
    (3, Offload.PARAMETERS),
)
"""ZeRO stages for all weights on several GPUs."""

ADAPTER_ALONE: Final = ((0, Offload.NONE), (3, Offload.PARAMETERS))
"""Likewise for an adapter: its own state is too small for sharding or offloading it to gain anything, so that only what
moves the frozen weights is left."""

ADAPTER_TOGETHER: Final = ((0, Offload.NONE), (3, Offload.NONE), (3, Offload.PARAMETERS))
"""Likewise on several GPUs."""

QUANTIZED_ALONE: Final = ((0, Offload.NONE),)
"""Likewise beside 4-bit weights: they are rounded on the device, which has to hold them all, so none is offloaded."""

QUANTIZED_TOGETHER: Final = ((0, Offload.NONE), (3, Offload.NONE))
"""Likewise on several GPUs."""

CPU_ONLY: Final = ((0, Offload.NONE),)
"""On a CPU there is nothing to offload to."""

UNDIVIDED: Final = ((0, Offload.NONE),)
"""With moments in 8 bits, whose blocks are those of whole tensors: nobody divides them or steps on them in RAM."""


class Candidate(NamedTuple):
    """One way, not judged yet; a plain tuple, since planning makes thousands."""

    id: str
    method: Method
    zero_stage: int
    offload: Offload
    node_class: NodeClass
    nodes: int
    devices_per_node: int

    @property
    def world(self) -> int:
        """Number of devices."""
        return self.nodes * self.devices_per_node


def enumerate_candidates(
    method: Method | None,
    hardware: Hardware,
    capacity: Capacity,
    optimizer: OptimizerChoice = OptimizerChoice.ADAMW,
) -> tuple[Candidate, ...]:
    """All candidates; what the job fixes is fixed, even where there isn't enough of it.

    Their order doesn't depend on that of the classes.
    """
    methods = tuple(Method) if method is None else (method,)
    # LoRA first: where both are as good in everything, it is the lighter one
    ordered = sorted(methods, key=lambda m: m is Method.FULL)
    shapes = tuple(_shapes(hardware, capacity))
    return tuple(
        [
            Candidate(f"{strategy}-{name}", chosen, stage, offload, node_class, nodes, devices)
            for chosen in ordered
            for name, node_class, nodes, devices in shapes
            for strategy, stage, offload in _named(
                chosen, node_class.device.accelerator, nodes * devices > 1, optimizer is OptimizerChoice.ADAMW_8BIT
            )
        ]
    )


def _shapes(hardware: Hardware, capacity: Capacity) -> Iterator[tuple[str, NodeClass, int, int]]:
    """Classes with the nodes and devices a node to try, as ids call them."""
    tagged = sorted(zip(capacity.classes, class_tags(capacity.classes), strict=True), key=lambda c: class_order(c[0]))
    for node_class, tag in tagged:
        kind = node_class.device.accelerator
        if hardware.accelerator in {None, kind}:
            for counts in device_counts(node_class, hardware):
                yield devices_name(counts, tag, kind), node_class, *counts


def strategies(
    method: Method, kind: Accelerator, world: int, *, undivided: bool = False
) -> Sequence[tuple[int, Offload]]:
    """ZeRO stages and offloads for so many devices of a kind, the plainest first; of undivided state there is one."""
    if undivided:
        return UNDIVIDED
    if kind is Accelerator.CPU:
        return CPU_ONLY
    if method is Method.FULL:
        return ALONE if world == 1 else TOGETHER
    if method is Method.QLORA:
        return QUANTIZED_ALONE if world == 1 else QUANTIZED_TOGETHER
    return ADAPTER_ALONE if world == 1 else ADAPTER_TOGETHER


@cache
def _named(
    method: Method,
    kind: Accelerator,
    together: bool,  # noqa: FBT001  a key
    undivided: bool,  # noqa: FBT001  likewise
) -> tuple[tuple[str, int, Offload], ...]:
    """The same with what ids call them."""
    found = strategies(method, kind, 2 if together else 1, undivided=undivided)
    return tuple((strategy_name(method, stage, offload), stage, offload) for stage, offload in found)


def device_counts(node_class: NodeClass, hardware: Hardware) -> tuple[tuple[int, int], ...]:
    """Nodes and devices a node: powers of two, and several nodes only whole, unless the job says otherwise."""
    if node_class.device.accelerator is Accelerator.CPU:
        return ((hardware.nodes or 1, 1),)
    if node_class.alone and hardware.nodes is None and hardware.devices_per_node is None:
        return ((1, 1),)
    whole = node_class.devices_per_node
    fixed = hardware.devices_per_node
    devices = (fixed,) if fixed is not None else powers_of_two(whole)
    if hardware.nodes is not None:
        several = devices if hardware.nodes == 1 else (fixed or whole,)
        return tuple((hardware.nodes, d) for d in several)
    alone = tuple((1, d) for d in devices)
    if fixed not in {None, whole}:
        return alone
    return alone + tuple((n, whole) for n in powers_of_two(node_class.nodes) if n > 1)


def powers_of_two(limit: int) -> tuple[int, ...]:
    """1, 2, 4 … up to the limit."""
    return tuple(1 << i for i in range(max(1, limit).bit_length()))
