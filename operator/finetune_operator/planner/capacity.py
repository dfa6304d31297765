"""Hardware as the planner sees it: classes of equal nodes, never single nodes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from finetune_operator.api.spec import Accelerator
from finetune_operator.planner.devices import slice_memory
from finetune_operator.units import Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One kind of device."""

    accelerator: Accelerator
    product: str
    """Name as the driver or the node's label gives it."""
    memory: Bytes
    """Total; for a CPU the machine's RAM."""
    free: Bytes
    """Free now; planning is against this."""
    bf16: bool
    """Computes in bfloat16 natively."""
    peak_flops: float
    """Dense 16-bit floating-point operations a second (32-bit ones for a CPU without bfloat16)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeClass:
    """Nodes that are alike for planning."""

    name: str
    device: Device
    devices_per_node: int
    """1 for a CPU node, which is one device."""
    nodes: int
    cores: int
    ram: Bytes
    """A node's total RAM."""
    free_ram: Bytes
    disk: Bytes
    """Free disk a node."""
    nvme: bool
    """Local NVMe is there."""
    price_per_device_hour: float | None = None
    """In the user's currency; None where no price is known."""
    resource: str = ""
    """What a pod asks for to get a device: nvidia.com/gpu, nvidia.com/mig-1g.10gb, or the DRA device class
    gpu.nvidia.com; empty for a CPU, and where there is no Kubernetes."""
    free_devices: tuple[tuple[int, int], ...] = ()
    """How many devices are free now on how many nodes, the freest first; empty: all on all nodes."""
    instance_types: tuple[str, ...] = ()
    """The cloud's names of the machines, where nothing else on the nodes tells the product."""
    part: bool = False
    """Its nodes are in a class of all equal devices, too: it is there for what it has more of than that."""
    assumed: str = ""
    """One sentence on what isn't read from the nodes but taken from tables; empty where nothing is."""

    @property
    def key(self) -> tuple[str, str, int]:
        """What tells classes apart, and sorts them."""
        return self.name, self.device.product, self.device.memory

    @property
    def alone(self) -> bool:
        """Whether a job can use only one of its devices: slices of GPUs.

        A CUDA process sees one MIG slice, and NCCL joins several only as an experiment, without any direct way
        between them (NVIDIA's MIG guide; NVIDIA/nccl#1716).
        """
        return slice_memory(self.device.product) is not None

    def free_nodes(self, devices: int) -> int:
        """Nodes on which at least so many devices are free now."""
        if not self.free_devices:
            return self.nodes
        return sum(count for free, count in self.free_devices if free >= devices)

    def waits_for(self, nodes: int, devices: int) -> str:
        """What an option of so many nodes and devices a node waits for; empty where it could start now."""
        free = self.free_nodes(devices)
        if free >= nodes:
            return ""
        each, verb = ("1 device", "is") if devices == 1 else (f"{devices} devices", "are")
        if nodes == 1:
            return f"waits until {each} of a node {verb} free: all such nodes are busier now"
        return f"waits until {each} {verb} free on {nodes} nodes each: so many are on {_nodes(free)} now"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsupportedDevices:
    """Accelerators that are there and that nothing trains on yet."""

    kind: str
    """Such as AMD GPU."""
    product: str
    """As a label names it, or the kind again."""
    devices_per_node: int
    nodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """All there is to plan with."""

    classes: tuple[NodeClass, ...]
    """What is planned with; of a cluster the nodes that have at least so much, so that classes may overlap."""
    origin: str
    """Where it was read: "this machine" or a file's name; for sentences."""
    max_devices: int | None = None
    """Devices that whoever starts the training can use together; None where there is no such limit."""
    unsupported: tuple[UnsupportedDevices, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict, hash=False)
    """Nodes that aren't planned with, by reason: cordoned, not ready, tainted dedicated=x:NoSchedule."""
    notes: Mapping[str, int] = field(default_factory=dict, hash=False)
    """What was ignored or taken for granted, and on how many nodes; 0 for what concerns the whole."""
    counted: tuple[NodeClass, ...] = ()
    """Each node in one class alone; empty where that is so of `classes`, too."""

    @property
    def apart(self) -> tuple[NodeClass, ...]:
        """Each node once: for sums, since a node may be in several of the classes that are planned with."""
        return self.counted or self.classes

    def remarks(self) -> tuple[str, ...]:
        """A sentence on the nodes that are left out, and the notes."""
        parts = [f"{count} {reason}" for reason, count in sorted(self.left_out.items(), key=lambda x: (-x[1], x[0]))]
        told = [f"nodes left out: {', '.join(parts)}"] if parts else []
        counted = sorted(self.notes.items(), key=lambda x: (-x[1], x[0]))
        return (*told, *(f"{note} ({_nodes(count)})" if count else note for note, count in counted))


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"
