"""What makes nodes alike for planning, and the class that alike nodes are."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
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


AMOUNTS: Final = ("cores", "memory", "free_memory", "storage")
"""Of a shape: what a node may have more of and still do."""


_amounts: Final = attrgetter("free_memory", "memory", "storage", "cores")

MOST_STEPS: Final = 8
"""Sorts of nodes with equal devices that are planned with beside what all of them have: of a thousand nodes hardly two
have the same left."""


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
    part: bool = False
    """Of a class that has more nodes."""


@dataclass(slots=True)
class Members:
    """The nodes of a shape."""

    free: Counter[int] = field(default_factory=Counter)
    """On how many nodes so many devices are free."""
    instance_types: set[str] = field(default_factory=set)
    """Where they alone tell the product."""

    def add(self, free: int, count: int, instance_type: str) -> None:
        """Nodes with so many free devices, all of one instance type; empty where that doesn't matter."""
        self.free[free] += count
        self.instance_types |= {instance_type} - {""}


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


def build_classes(found: Mapping[Shape, Members]) -> tuple[NodeClass, ...]:
    """Classes with how many devices are free on how many nodes, in an order that doesn't depend on the nodes'."""
    return tuple(_class(shape, found[shape]) for shape in sorted(found, key=_order))


def reaching(found: Mapping[Shape, Members]) -> dict[Shape, Members]:
    """Each shape with all nodes that have at least as much of everything, and what all equal devices have in common.

    A pod that takes much of one node's RAM would otherwise part it from its equals, and with it all options that span
    several nodes.
    """
    families: defaultdict[Shape, dict[Shape, Members]] = defaultdict(dict)
    for shape, members in found.items():
        families[shape._replace(cores=0, memory=0, free_memory=0, storage=0)][shape] = members
    return {
        (least if least == common else least._replace(part=True)): _together(
            members for shape, members in family.items() if _has(shape, least)
        )
        for family in families.values()
        for common in (_common(family),)
        for least in {*_steps(family), common}
    }


def _together(found: Iterable[Members]) -> Members:
    total = Members()
    for members in found:
        total.free += members.free
        total.instance_types |= members.instance_types
    return total


def _steps(family: Collection[Shape]) -> set[Shape]:
    """Where equal devices are on nodes of many sorts, a few by free RAM, and whichever has the most of anything."""
    ordered = sorted(family, key=_amounts)
    if len(ordered) <= MOST_STEPS:
        return set(ordered)
    last = len(ordered) - 1
    spread = {ordered[last * step // (MOST_STEPS - 1)] for step in range(MOST_STEPS)}
    return spread | {max(ordered, key=attrgetter(amount)) for amount in AMOUNTS}


def _has(shape: Shape, least: Shape) -> bool:
    return all(getattr(shape, amount) >= getattr(least, amount) for amount in AMOUNTS)


def _common(family: Iterable[Shape]) -> Shape:
    shapes = tuple(family)
    return shapes[0]._replace(**{amount: min(getattr(s, amount) for s in shapes) for amount in AMOUNTS})


def _order(shape: Shape) -> tuple[bool, float, str]:
    """GPUs before processors, larger ones first; the rest makes the order total."""
    kind = shape.kind
    return kind is None, -(kind.memory * kind.devices if kind else shape.memory), repr(_key(shape))


def _key(shape: Shape) -> tuple[object, ...]:
    return shape.kind, shape.product, sorted(shape.flags), *shape[3:-1]


def _class(shape: Shape, members: Members) -> NodeClass:
    kind, free = shape.kind, members.free
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
        part=shape.part,
        instance_types=tuple(sorted(members.instance_types)),
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
