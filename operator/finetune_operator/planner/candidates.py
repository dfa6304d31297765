"""Every way worth judging: method, ZeRO stage, offload, class of nodes, nodes, devices a node."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from finetune_operator.api.spec import Accelerator, Hardware, Method
from finetune_operator.api.status import Offload
from finetune_operator.planner.capacity import Capacity, NodeClass
from finetune_operator.planner.naming import class_tags, option_id

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

CPU_ONLY: Final = ((0, Offload.NONE),)
"""On a CPU there is nothing to offload to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way, not judged yet."""

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


def enumerate_candidates(method: Method | None, hardware: Hardware, capacity: Capacity) -> tuple[Candidate, ...]:
    """All candidates in a fixed order; what the job fixes is fixed, even where there isn't enough of it."""
    methods = tuple(Method) if method is None else (method,)
    # LoRA first: where both are as good in everything, it is the lighter one
    ordered = sorted(methods, key=lambda m: m is Method.FULL)
    tags = class_tags(capacity.classes)
    return tuple(
        candidate
        for chosen in ordered
        for node_class, tag in zip(capacity.classes, tags, strict=True)
        if hardware.accelerator in {None, node_class.device.accelerator}
        for candidate in _of_class(chosen, node_class, tag, hardware)
    )


def _of_class(method: Method, node_class: NodeClass, tag: str, hardware: Hardware) -> Iterator[Candidate]:
    kind = node_class.device.accelerator
    for nodes, devices in device_counts(node_class, hardware):
        for stage, offload in strategies(method, kind, nodes * devices):
            yield Candidate(
                id=option_id(method, (stage, offload), (nodes, devices), tag, kind),
                method=method,
                zero_stage=stage,
                offload=offload,
                node_class=node_class,
                nodes=nodes,
                devices_per_node=devices,
            )


def strategies(method: Method, kind: Accelerator, world: int) -> Sequence[tuple[int, Offload]]:
    """ZeRO stages and offloads for so many devices of a kind, the plainest first."""
    if kind is Accelerator.CPU:
        return CPU_ONLY
    if method is Method.LORA:
        return ADAPTER_ALONE if world == 1 else ADAPTER_TOGETHER
    return ALONE if world == 1 else TOGETHER


def device_counts(node_class: NodeClass, hardware: Hardware) -> tuple[tuple[int, int], ...]:
    """Nodes and devices a node: powers of two, and several nodes only whole, unless the job says otherwise."""
    if node_class.device.accelerator is Accelerator.CPU:
        return ((hardware.nodes or 1, 1),)
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
