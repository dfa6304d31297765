"""GPUs that are offered by dynamic resource allocation: resource.k8s.io/v1 ResourceSlices and ResourceClaims."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from finetune_operator.planner.cluster import reasons
from finetune_operator.planner.cluster.accelerators import BF16_MAJOR, MOST_MEBIBYTES, Offer
from finetune_operator.planner.cluster.objects import child, entries, text
from finetune_operator.planner.cluster.quantities import read_whole
from finetune_operator.planner.devices import find_product
from finetune_operator.units import MIB, Bytes

DRIVER: Final = "gpu.nvidia.com"
"""Name of the driver, and of its device class for whole GPUs."""

CLASSES: Final = {"gpu": DRIVER, "mig": "mig.nvidia.com"}
"""Device class by the attribute `type`; another type, as for passing a GPU to a virtual machine, trains nothing."""

SLICE_NAME: Final = " MIG "
"""In the product of a slice, between the GPU's and the profile."""

PARTITIONS: Final = "MIG partitions that could be cut out of free GPUs aren't counted, only whole GPUs"
"""A note: such partitions and the GPU are there instead of each other."""

BAD_DEVICES: Final = "DRA devices without product or memory are ignored"
"""A note."""

Allocated = tuple[str, str]
"""Pool and device."""


class DraDevice(NamedTuple):
    """One device that a slice lists."""

    at: Allocated
    kind: Offer
    """With a count of 1."""
    counters: frozenset[str]
    """What it shares with the devices that could be there instead of it."""
    listed: bool
    """Is planned with; a partition that isn't cut yet only blocks its GPU once it is allocated."""
    taints: tuple[tuple[str, str, str], ...]


class DraDevices(NamedTuple):
    """The devices of one node."""

    devices: tuple[DraDevice, ...]
    refused: tuple[str, ...]
    notes: tuple[str, ...]


NOTHING: Final = DraDevices((), (), ())
"""Of a node without slices."""


def read_devices(slices: Iterable[Mapping[str, Any]]) -> DraDevices:
    """The devices in one node's slices: of each pool those of the newest generation, if all its slices are there."""
    pools: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for found in slices:
        spec = child(found, "spec")
        if spec.get("driver") == DRIVER:
            pools[text(child(spec, "pool").get("name"))].append(spec)
    devices: list[DraDevice] = []
    refused: list[str] = []
    notes: list[str] = []
    for pool, specs in sorted(pools.items()):
        newest = _newest(specs)
        if not newest:
            refused.append(reasons.POOL)
        for device in (d for spec in newest for d in entries(spec.get("devices"))):
            _read(pool, device, devices, refused, notes)
    return DraDevices(tuple(devices), tuple(refused), tuple(dict.fromkeys(notes)))


def node_of(found: Any) -> str:
    """The node whose devices a slice lists; empty where it lists devices of the network."""
    return text(child(found, "spec").get("nodeName"))


def read_allocated(claim: Any) -> tuple[Allocated, ...]:
    """The devices that a claim holds; what an administrator looks at is still there for others."""
    results = entries(child(claim, "status", "allocation", "devices").get("results"))
    return tuple(
        (text(r.get("pool")), text(r.get("device")))
        for r in results
        if r.get("driver") == DRIVER and r.get("adminAccess") is not True
    )


def count_free(found: DraDevices, allocated: Collection[Allocated]) -> tuple[tuple[Offer, int, tuple[Any, ...]], ...]:
    """Kinds of devices with their counts, how many of each are free, and the taints that they share."""
    taken = {c for d in found.devices if d.at in allocated for c in d.counters}
    groups: dict[tuple[Offer, tuple[Any, ...]], list[DraDevice]] = defaultdict(list)
    for device in found.devices:
        if device.listed:
            groups[device.kind, device.taints].append(device)
    return tuple(
        (
            kind._replace(devices=len(members)),
            sum(d.at not in allocated and not d.counters & taken for d in members),
            taints,
        )
        for (kind, taints), members in sorted(groups.items())
    )


def _newest(specs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The slices of the newest generation; none where some of them are missing."""
    numbered = [(_number(child(s, "pool").get("generation")), s) for s in specs]
    latest = max(number for number, _ in numbered)
    newest = [s for number, s in numbered if number == latest]
    wanted = _number(child(newest[0], "pool").get("resourceSliceCount"))
    return newest if len(newest) == wanted else []


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _read(pool: str, device: Mapping[str, Any], devices: list[DraDevice], refused: list[str], notes: list[str]) -> None:
    kind = _text(device, "type")
    if kind not in CLASSES:
        return
    offer = _offer(device, kind)
    if offer is None:
        notes.append(BAD_DEVICES)
        return
    if device.get("allowMultipleAllocations") is True:
        refused.append(reasons.DEVICES_SHARED)
        return
    sets = entries(device.get("consumesCounters"))
    cut_later = kind == "mig" and bool(sets)
    if cut_later:
        notes.append(PARTITIONS)
    devices.append(
        DraDevice(
            at=(pool, text(device.get("name"))),
            kind=offer,
            counters=frozenset(f"{pool}/{text(s.get('counterSet'))}" for s in sets),
            listed=not cut_later,
            taints=read_taints(device.get("taints")),
        )
    )


def read_taints(value: Any) -> tuple[tuple[str, str, str], ...]:
    """Key, value and effect of the taints that keep pods away."""
    found = ((text(t.get("key")), text(t.get("value")), text(t.get("effect"))) for t in entries(value))
    return tuple(t for t in found if t[0] and t[2] in {"NoSchedule", "NoExecute"})


def _offer(device: Mapping[str, Any], kind: str) -> Offer | None:
    product = _text(device, "productName")
    size = read_whole(child(device, "capacity", "memory").get("value"), MOST_MEBIBYTES * MIB)
    if size is None:
        size = read_whole(child(device, "capacity", f"{DRIVER}/memory").get("value"), MOST_MEBIBYTES * MIB)
    if not product or not size:
        return None
    if kind == "mig":
        product = f"{product}{SLICE_NAME}{_text(device, 'profile')}"
    memory, capability = Bytes(size), _text(device, "cudaComputeCapability").partition(".")[0]
    bf16 = int(capability) >= BF16_MAJOR if _is_number(capability) else find_product(product, memory).bf16
    return Offer(CLASSES[kind], product, memory, bf16, 1, "")


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) <= 4


def _text(device: Mapping[str, Any], name: str) -> str:
    """An attribute; a name without a domain is the driver's own."""
    value = child(device, "attributes", name) or child(device, "attributes", f"{DRIVER}/{name}")
    return text(value.get("string")) or text(value.get("version"))
