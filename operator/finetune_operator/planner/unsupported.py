"""Accelerators that nothing trains on yet, and disks that nothing is offloaded to yet, as rejections."""

from collections.abc import Sequence

from finetune_operator.api.spec import Method
from finetune_operator.api.status import Offload
from finetune_operator.planner.capacity import Capacity, NodeClass, UnsupportedDevices
from finetune_operator.planner.checks import Sizing, Verdict
from finetune_operator.planner.naming import slug
from finetune_operator.planner.plan import Rejection, RejectionReason
from finetune_operator.planner.sentences import plural
from finetune_operator.planner.states import ELEMENT_BYTES, optimizer_bytes
from finetune_operator.units import Bytes, gib


def without_support(capacity: Capacity) -> tuple[Rejection, ...]:
    """One rejection for each product that is there and can't be used."""
    return tuple(_rejection(found, capacity.origin) for found in capacity.unsupported)


def _rejection(found: UnsupportedDevices, origin: str) -> Rejection:
    there = f"{plural(found.nodes, 'node')} with {found.devices_per_node} x {found.product}"
    nodes = f"{found.nodes}x" if found.nodes > 1 else ""
    return Rejection(
        option=f"{nodes}{found.devices_per_node}x{slug(found.product)}",
        reason=RejectionReason.UNSUPPORTED_ACCELERATOR,
        message=f"{origin} has {there}; no image of this version trains on that ({found.kind})",
        remedy="use nodes with NVIDIA GPUs, or a processor",
    )


def without_nvme(capacity: Capacity, verdicts: Sequence[Verdict]) -> tuple[Rejection, ...]:
    """Of each class with NVMe whose RAM is too small for what is offloaded the way that would need its disk, too."""
    if not any(c.nvme for c in capacity.classes):
        return ()
    found: dict[NodeClass, Rejection] = {}
    for verdict in verdicts:
        c, lack = verdict.candidate, verdict.objection
        if c.offload is not Offload.PARAMETERS or c.method is not Method.FULL or not c.node_class.nvme:
            continue
        if lack is not None and lack.reason is RejectionReason.OUT_OF_HOST_MEMORY and verdict.sizing is not None:
            found.setdefault(c.node_class, _on_disk(verdict.sizing))
    return tuple(found.values())


def _on_disk(sizing: Sizing) -> Rejection:
    candidate, sharding = sizing.candidate, sizing.sized.setting.sharding
    each = optimizer_bytes(sharding) + ELEMENT_BYTES[sharding.precision]
    need = Bytes(each * sizing.workload.trainable // candidate.nodes)
    return Rejection(
        option=candidate.id.replace("-offload-", "-nvme-", 1),
        reason=RejectionReason.UNSUPPORTED_OFFLOAD,
        message=f"needs {gib(need)} of NVMe a node for weights and optimizer state; this version offloads nothing to "
        "NVMe: by DeepSpeed a run that was interrupted would go on without the optimizer's moments, and it would start "
        "only where processes may lock gigabytes of RAM",
        remedy="take nodes with more RAM, or devices that share the state with ZeRO-3",
        need=need,
    )
