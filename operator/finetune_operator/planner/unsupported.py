"""Accelerators that nothing trains on yet, as rejections."""

from finetune_operator.planner.capacity import Capacity, UnsupportedDevices
from finetune_operator.planner.naming import slug
from finetune_operator.planner.plan import Rejection, RejectionReason
from finetune_operator.planner.sentences import plural


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
