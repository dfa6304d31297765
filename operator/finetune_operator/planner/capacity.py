"""Hardware as the planner sees it: classes of equal nodes, never single nodes."""

from dataclasses import dataclass

from finetune_operator.api.spec import Accelerator
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

    @property
    def key(self) -> tuple[str, str, int]:
        """What tells classes apart, and sorts them."""
        return self.name, self.device.product, self.device.memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """All there is to plan with."""

    classes: tuple[NodeClass, ...]
    origin: str
    """Where it was read: "this machine" or a file's name; for sentences."""
    max_devices: int | None = None
    """Devices that whoever starts the training can use together; None where there is no such limit."""
