"""Accelerators that a node's device plugins offer."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from finetune_operator.planner.capacity import UnsupportedDevices
from finetune_operator.planner.cluster import labels as names
from finetune_operator.planner.cluster import reasons
from finetune_operator.planner.cluster.objects import text
from finetune_operator.planner.cluster.quantities import read_whole
from finetune_operator.planner.devices import find_product, named_product, slice_memory
from finetune_operator.units import MIB, Bytes, gib

MOST_DEVICES: Final = 1024
"""More devices than a node can have: eight GPUs in seven slices are 56."""

MOST_MEBIBYTES: Final = 1 << 24
"""More memory than a device can have: 16 TiB."""

BF16_MAJOR: Final = 8
"""First compute capability whose tensor cores compute in bfloat16 (CUDA programming guide)."""


class Offer(NamedTuple):
    """Devices of one kind on one node."""

    resource: str
    product: str
    memory: Bytes
    bf16: bool
    devices: int
    """Allocatable: broken ones aren't."""
    assumed: str


class Offers(NamedTuple):
    """All that a node's device plugins offer."""

    usable: tuple[Offer, ...]
    unsupported: tuple[UnsupportedDevices, ...]
    refused: tuple[str, ...]
    """Why devices can't be planned with."""
    notes: tuple[str, ...]
    any: bool
    """There is some accelerator, usable or not."""


def read_offers(allocatable: Mapping[Any, Any], labels: Mapping[str, str]) -> Offers:
    """What is offered, by a node's allocatable resources and what its labels say of them."""
    usable: list[Offer] = []
    unsupported: list[UnsupportedDevices] = []
    refused: list[str] = []
    notes: list[str] = []
    listed = sorted(r for r in allocatable if isinstance(r, str) and names.is_accelerator(r))
    for resource in listed:
        count = read_whole(allocatable[resource], MOST_DEVICES)
        if count is None:
            refused.append(reasons.unreadable(f"status.allocatable.{resource}"))
        elif count and resource.startswith(names.NVIDIA):
            found = _nvidia(resource, count, labels)
            (refused if isinstance(found, str) else usable).append(found)  # type: ignore[arg-type]  # each has its own
            notes += _fewer(resource, count, labels)
        elif count:
            unsupported.append(_unsupported(resource, count, labels))
    return Offers(
        usable=tuple(usable),
        unsupported=tuple(unsupported),
        refused=tuple(refused),
        notes=tuple(notes),
        any=bool(listed) or names.names_gpu(labels),
    )


def _nvidia(resource: str, count: int, labels: Mapping[str, str]) -> Offer | str:
    """The devices of a resource, or why they can't be planned with."""
    shared = _sharing(resource, labels)
    if shared:
        return shared
    product, told = _product(resource, labels)
    if "MIG-INVALID" in product:
        return reasons.MIG_INVALID
    memory = read_whole(labels.get(f"{resource}.memory"), MOST_MEBIBYTES)
    known = named_product(product)
    bytes_, assumed = Bytes((memory or 0) * MIB), ""
    if not bytes_:
        tabled = (known.memory if known is not None else None) or slice_memory(product)
        if tabled is None:
            return f"{reasons.NO_MEMORY} ({product or 'product unknown'})"
        bytes_ = tabled
        assumed = f"{gib(bytes_)} a device is from a table of products, for {product} by {told}: no label tells it"
    major = read_whole(labels.get("nvidia.com/gpu.compute.major"), 1000)
    bf16 = major >= BF16_MAJOR if major is not None else find_product(product, bytes_).bf16
    return Offer(resource, product, bytes_, bf16, count, assumed)


def _sharing(resource: str, labels: Mapping[str, str]) -> str:
    """Why a resource's devices are nobody's own; empty where they are.

    Replicas of time-slicing share all of a GPU's memory without limits. Those of MPS have an equal part each, and more
    of them don't give a pod more, so that neither is a device with so much memory.
    """
    base = resource.removesuffix(names.SHARED)
    strategy = labels.get(f"{base}.sharing-strategy", "")
    replicas = read_whole(labels.get(f"{base}.replicas"), MOST_DEVICES)
    gke = labels.get(names.GKE_SHARING, "")
    if "mps" in {strategy, gke} or (base != resource and labels.get("nvidia.com/mps.capable") == "true"):
        return reasons.MPS
    renamed = base != resource or labels.get(f"{base}.product", "").endswith("-SHARED")
    if renamed or gke or strategy == "time-slicing" or (replicas is not None and replicas > 1):
        return reasons.TIME_SLICED
    return ""


def _product(resource: str, labels: Mapping[str, str]) -> tuple[str, str]:
    """A resource's product, and where that is from."""
    own = labels.get(f"{resource}.product", "")
    if own:
        return own, f"the label {resource}.product"
    label = next((name for name in names.PRODUCT_LABELS if labels.get(name)), names.INSTANCE_TYPE)
    whole = labels.get(label, "") if label != names.INSTANCE_TYPE else names.instance_product(labels)
    profile = resource.partition(names.MIG_SLICE)[2] or labels.get(names.GKE_PARTITION, "")
    return f"{whole}-MIG-{profile}" if profile else whole, f"the label {label}"


def _fewer(resource: str, count: int, labels: Mapping[str, str]) -> list[str]:
    named = read_whole(labels.get(f"{resource}.count"), MOST_DEVICES)
    if named is None or named >= count or _sharing(resource, labels):
        return []
    return [f"more of {resource} is offered than labels count; if its GPUs are of several products, plans are wrong"]


def _unsupported(resource: str, count: int, labels: Mapping[str, str]) -> UnsupportedDevices:
    kind, known = next((kind, found) for name, kind, found in names.UNSUPPORTED if name == resource)
    product = next((text(labels[label]) for label in known if labels.get(label)), kind)
    return UnsupportedDevices(kind=kind, product=product.replace("_", " "), devices_per_node=count, nodes=1)
