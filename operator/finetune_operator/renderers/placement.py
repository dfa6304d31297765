"""Where a chosen plan's pods go and what they hold; kept beside job.json, so that each attempt asks for the same."""

from typing import Final

from finetune_operator.api.base import ApiModel
from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.spec import Accelerator
from finetune_operator.planner.cluster.nodes import UNTOLD_DISK
from finetune_operator.planner.plan import Plan
from finetune_operator.planner.states import FILE_BYTES
from finetune_operator.renderers.inspection import rows_bytes
from finetune_operator.units import MIB, Bytes

PLACEMENT_FILE = "placement.json"
"""In the ConfigMap of a run."""


class Placement(ApiModel):
    """A plan as the scheduler has to see it."""

    nodes: int
    devices_per_node: int
    accelerator: Accelerator
    resource: str
    """What a pod asks for to get a device; empty for a CPU."""
    product: str
    """The device's, as the node's label has it."""
    device_memory: int
    """Bytes of one device in all."""
    host_memory: int
    """Bytes of RAM that a pod asks for and is held to, /dev/shm in it; for a CPU all that it needs."""
    cores: int
    """Cores that a pod asks for."""
    model_bytes: int
    """Bytes that the base model takes on a disk at most."""
    disk: int = 0
    """Bytes of a node's own disk that a pod asks for; 0 where nodes tell none: it would wait for ever."""
    instance_types: tuple[str, ...] = ()
    """The machines, where nothing else on a node tells the product."""
    commit: str = ""
    """Of a model from the hub, for all attempts the one that was planned for; empty for others."""


HEADROOM: Final = 0.25
"""Share of the estimate that a pod asks for beyond it: an estimate that is passed by a page would end the training."""

SHARED_MEMORY: Final = Bytes(256 * MIB)
"""For one device: NCCL's and gloo's buffers among the ranks of a node; the runtime's own 64 MiB are too few."""

CACHES: Final = 1 << 30
"""Bytes of a node's disk that a pod asks for: compiled kernels, temporary files and logs take less."""

ROWS: Final = 4 << 30
"""Bytes beside it where rows are from the hub, whose size isn't known before; more is held to the volume's limit."""


def sure_to_take(job: FineTuneJob, plan: Plan) -> int:
    """Bytes of a node's disk that a pod's volumes are sure to take: a node short of it evicts what asked for less.

    Volumes have limits of their own, for what files may have at most.
    """
    fetched = FILE_BYTES * plan.total_parameters if job.spec.model.source.hub is not None else 0
    return CACHES + (ROWS if rows_bytes(job) else 0) + fetched


def placement_of(plan: Plan, commit: str | None = None, disk: int = 0) -> Placement:
    """What pods of that plan hold.

    Args:
        plan: the chosen one.
        commit: of a model from the hub.
        disk: bytes of a node's disk that they ask for, as far as it has them.
    """
    found = plan.node_class
    on_cpu = found.device.accelerator is Accelerator.CPU
    return Placement(
        nodes=plan.nodes,
        devices_per_node=plan.devices_per_node,
        accelerator=found.device.accelerator,
        resource=found.resource,
        product=found.device.product,
        device_memory=found.device.memory,
        host_memory=_host_memory(plan, on_cpu=on_cpu),
        # half of its share: a node always has other pods, and nothing keeps ours from using what is idle
        cores=max(1, found.cores * plan.devices_per_node // found.devices_per_node // 2),
        # four bytes a parameter: float32, which is the most that checkpoints have
        model_bytes=4 * plan.total_parameters,
        disk=min(found.disk, disk) if found.disk < UNTOLD_DISK else 0,
        instance_types=found.instance_types,
        commit=commit or "",
    )


def _host_memory(plan: Plan, *, on_cpu: bool) -> int:
    """The estimate with headroom, as far as the node has it: what would be asked for in vain keeps a job waiting."""
    estimate = plan.memory.device_total if on_cpu else plan.memory.host
    shared = SHARED_MEMORY * plan.devices_per_node
    there = plan.available if on_cpu else plan.node_class.free_ram
    return max(estimate + shared, min(int(estimate * (1 + HEADROOM)) + shared, int(there * (1 - plan.margin))))
