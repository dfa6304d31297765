"""A file of nodes as planning capacity: hardware that isn't this machine."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from finetune_operator.api.base import ApiModel, Contradiction, DecimalString, Within, refusal, refuse
from finetune_operator.api.spec import Accelerator, Name
from finetune_operator.local.document import Document
from finetune_operator.local.faults import validate
from finetune_operator.local.strict_yaml import read_document
from finetune_operator.planner.capacity import Capacity, Device, NodeClass
from finetune_operator.planner.devices import find_product
from finetune_operator.planner.processors import ASSUMED_FLAGS, THREADS_A_CORE, peak_flops
from finetune_operator.units import GIB, Bytes, parse_memory

HEAD: Final = "begin with nodes: and a list of nodes, each with cores, ram and disk"
"""How a file of nodes begins."""


def _memory(text: str) -> str:
    try:
        count = parse_memory(text)
    except ValueError as e:
        raise refusal(str(e)) from e
    if count <= 0:
        raise refusal(f"{text} is no memory; write for example 24GiB")
    return text


def _has_unit(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise refusal(f"{value} has no unit; write {value}GiB")
    return value


MemoryString = Annotated[str, BeforeValidator(_has_unit), AfterValidator(_memory), Field(examples=["24GiB"])]
"""Memory with a binary unit."""


class Gpus(ApiModel):
    """The GPUs of a node, all alike."""

    product: Name
    """As the driver names it: the planner knows many products' speed, and guesses others' from their memory."""
    memory: MemoryString
    """One device's, as the driver gives it."""
    count: Annotated[int, Field(ge=1, le=64)] = 1
    free: MemoryString | None = None
    """Of one device; absent: all of its memory."""

    @model_validator(mode="after")
    def _free_is_a_part(self) -> Self:
        if self.free is not None and parse_memory(self.free) > parse_memory(self.memory):
            refuse([Contradiction(("free",), f"{self.free} is more than memory, {self.memory}; write a part of it")])
        return self


class Node(ApiModel):
    """One or more nodes that are alike."""

    name: Name | None = None
    """For reading; absent: made from the hardware."""
    count: Annotated[int, Field(ge=1, le=100_000)] = 1
    """How many such nodes."""
    gpus: Gpus | None = None
    """Absent: a node whose processor is its only device."""
    cores: Annotated[int, Field(ge=1, le=8192)]
    """Logical processors."""
    ram: MemoryString
    disk: MemoryString
    """Free, where caches and results go."""
    nvme: bool = False
    """Has a local NVMe disk."""
    price_per_device_hour: (
        Annotated[DecimalString, Within('is more than a million; write for example "0.75"', at_most=1e6)] | None
    ) = None
    """In any currency."""


class NodesFile(ApiModel):
    """The whole file."""

    nodes: Annotated[tuple[Node, ...], Field(min_length=1)]


def read_nodes(path: Path) -> Capacity:
    """The capacity that a YAML or JSON file of nodes describes; equal nodes are one class.

    Raises:
        InvalidManifestError: the file can't be read or breaks the schema; all its faults, a line each.
    """
    return describe_nodes(read_document(path, HEAD), path.name)


def describe_nodes(document: Document, origin: str) -> Capacity:
    """The capacity that a document of nodes describes.

    Raises:
        InvalidManifestError: it breaks the schema; all its faults, a line each.
    """
    written = validate(document, NodesFile)
    counts: Counter[Node] = Counter()
    names: dict[Node, str] = {}
    for node in written.nodes:
        kind = node.model_copy(update={"count": 1, "name": None})
        counts[kind] += node.count
        names.setdefault(kind, node.name or _name(node))
    return Capacity(classes=tuple(_node_class(n, names[n], counts[n]) for n in counts), origin=origin)


def _name(node: Node) -> str:
    if node.gpus is None:
        return f"cpu-{node.cores}"
    return f"{node.gpus.count}x{parse_memory(node.gpus.memory) / GIB:.0f}g"


def _node_class(node: Node, name: str, count: int) -> NodeClass:
    price = node.price_per_device_hour
    return NodeClass(
        name=name,
        device=_gpu(node.gpus) if node.gpus is not None else _cpu(node),
        devices_per_node=node.gpus.count if node.gpus is not None else 1,
        nodes=count,
        cores=node.cores,
        ram=parse_memory(node.ram),
        free_ram=parse_memory(node.ram),
        disk=parse_memory(node.disk),
        nvme=node.nvme,
        price_per_device_hour=float(price) if price is not None else None,
    )


def _gpu(gpus: Gpus) -> Device:
    memory = parse_memory(gpus.memory)
    known = find_product(gpus.product, memory)
    return Device(
        accelerator=Accelerator.GPU,
        product=gpus.product,
        memory=memory,
        free=parse_memory(gpus.free) if gpus.free is not None else memory,
        bf16=known.bf16,
        peak_flops=known.peak_flops,
    )


def _cpu(node: Node) -> Device:
    memory = Bytes(parse_memory(node.ram))
    return Device(
        accelerator=Accelerator.CPU,
        product="CPU",
        memory=memory,
        free=memory,
        bf16=False,
        peak_flops=peak_flops(ASSUMED_FLAGS, node.cores / THREADS_A_CORE),
    )
