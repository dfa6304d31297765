"""What makes nodes alike for planning, and the class that alike nodes are."""

from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple
from zlib import crc32

from finetune_operator.api.spec import Accelerator
from finetune_operator.planner.capacity import Device, NodeClass
from finetune_operator.planner.cluster.accelerators import Offer
from finetune_operator.planner.cluster.nodes import NodeFacts
from finetune_operator.planner.devices import find_product
from finetune_operator.planner.naming import marketing_size
from finetune_operator.planner.processors import BF16_FLAGS, THREADS_A_CORE, peak_flops
from finetune_operator.units import GIB, Bytes

BITS: Final = 5
"""Leading binary digits that are kept of RAM, disk and cores: nodes are alike where those agree, and their class has
the rounded-down amount, at most a sixteenth less. So a node that joins never takes anything from a class."""


class Rest(NamedTuple):
    """What stays of a node for jobs: pods that hold no devices are taken to stay, others end some day."""

    cpu: int
    """Thousandths of a core."""
    memory: int
    storage: int


class Shape(NamedTuple):
    """Nodes of one shape are one class."""

    kind: Offer | None
    """None: the processor is the device."""
    product: str
    """Of a processor, as are the flags; empty where there are devices."""
    flags: frozenset[str]
    cores: int
    memory: int
    free_memory: int
    storage: int
    nvme: bool
    price: float | None


def shape_of(facts: NodeFacts, kind: Offer | None, rest: Rest) -> Shape:
    """The shape of a node for one kind of its devices."""
    return Shape(
        kind=kind,
        product="" if kind else facts.product,
        flags=frozenset() if kind else facts.flags,
        # beside devices the cores that a few services take are of no account, and would only split the class
        cores=max(1, round_down((facts.cpu if kind else rest.cpu) // 1000)),
        memory=round_down(facts.memory),
        free_memory=round_down(rest.memory),
        storage=round_down(rest.storage),
        nvme=facts.nvme,
        price=facts.price,
    )


def round_down(value: int) -> int:
    """The leading binary digits of a number."""
    spare = max(0, value.bit_length() - BITS)
    return value >> spare << spare


def build_classes(found: Mapping[Shape, Counter[int]]) -> tuple[NodeClass, ...]:
    """Classes with how many devices are free on how many nodes, in an order that doesn't depend on the nodes'."""
    return tuple(_class(shape, found[shape]) for shape in sorted(found, key=_order))


def _order(shape: Shape) -> tuple[bool, float, str]:
    """GPUs before processors, larger ones first; the rest makes the order total."""
    kind = shape.kind
    return kind is None, -(kind.memory * kind.devices if kind else shape.memory), repr(_key(shape))


def _key(shape: Shape) -> tuple[object, ...]:
    return shape.kind, shape.product, sorted(shape.flags), *shape[3:]


def _class(shape: Shape, free: Counter[int]) -> NodeClass:
    kind = shape.kind
    return NodeClass(
        name=_name(shape),
        device=_gpu(kind) if kind else _cpu(shape),
        devices_per_node=kind.devices if kind else 1,
        nodes=sum(free.values()),
        cores=shape.cores,
        ram=Bytes(shape.memory),
        free_ram=Bytes(shape.free_memory),
        disk=Bytes(shape.storage),
        nvme=shape.nvme,
        price_per_device_hour=shape.price,
        resource=kind.resource if kind else "",
        free_devices=tuple(sorted(free.items(), reverse=True)) if kind else (),
        assumed=kind.assumed if kind else "",
    )


def _gpu(kind: Offer) -> Device:
    return Device(
        accelerator=Accelerator.GPU,
        product=kind.product,
        memory=kind.memory,
        free=kind.memory,
        bf16=kind.bf16,
        peak_flops=find_product(kind.product, kind.memory).peak_flops,
    )


def _cpu(shape: Shape) -> Device:
    return Device(
        accelerator=Accelerator.CPU,
        product=shape.product,
        memory=Bytes(shape.memory),
        free=Bytes(shape.free_memory),
        bf16=bool(BF16_FLAGS & shape.flags),
        peak_flops=peak_flops(shape.flags, shape.cores / THREADS_A_CORE),
    )


def _name(shape: Shape) -> str:
    """Such as 8x80g-184c-1920g-3fa2c1: the same whatever other classes there are, and no other class has it."""
    device = f"{shape.kind.devices}x{marketing_size(shape.kind.memory)}g" if shape.kind else "cpu"
    return f"{device}-{shape.cores}c-{shape.memory / GIB:.0f}g-{crc32(repr(_key(shape)).encode()) & 0xFFFFFF:06x}"
