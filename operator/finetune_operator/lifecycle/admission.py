"""Whether all pods of a run fit at once: two half-started gangs would block each other."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from finetune_operator.api.spec import Accelerator
from finetune_operator.planner.capacity import Capacity, NodeClass
from finetune_operator.renderers.placement import Placement
from finetune_operator.units import gib

_DEVICE: Final = {True: "device", False: "devices"}


def waits_for(placement: Placement, capacity: Capacity, promised: Sequence[Placement]) -> str:
    """What a run waits for, as a sentence with need and have; empty where it can start now.

    Args:
        placement: what its pods ask for.
        capacity: of the nodes that it may go to, with what bound pods hold taken off.
        promised: what admitted pods will take that aren't bound yet, one entry a pod.
    """
    suitable = [c for c in capacity.apart if _same(placement, c)]
    if not suitable:
        return f"no node has {_need(placement)} any more; it is waited for"
    free = sum(_free_nodes(c, placement, promised) for c in suitable)
    if free >= placement.nodes:
        return ""
    nodes = "1 node" if placement.nodes == 1 else f"{placement.nodes} nodes"
    disk = f" and {gib(placement.disk)} of free disk" if any(c.disk < placement.disk for c in suitable) else ""
    have = f"{free or 'none'} of {sum(c.nodes for c in suitable)} free now"
    return f"needs {_need(placement)}{disk} on {nodes} at once; {have}"


def _need(placement: Placement) -> str:
    if placement.accelerator is Accelerator.CPU:
        return f"{gib(placement.host_memory)} of free RAM"
    count = placement.devices_per_node
    return f"{count} free {_DEVICE[count == 1]} of {placement.product} ({placement.resource})"


def _same(placement: Placement, found: NodeClass) -> bool:
    device = found.device
    if placement.accelerator is Accelerator.CPU:
        return device.accelerator is Accelerator.CPU and device.product == placement.product
    return (
        found.resource == placement.resource
        and device.product == placement.product
        and device.memory == placement.device_memory
        # pods go to the machines that were planned for, where nothing else tells the product
        and (not placement.instance_types or not set(placement.instance_types).isdisjoint(found.instance_types))
    )


def _free_nodes(found: NodeClass, placement: Placement, promised: Sequence[Placement]) -> int:
    if found.disk < placement.disk:
        return 0
    if placement.accelerator is Accelerator.CPU:
        if found.device.free < placement.host_memory:
            return 0
        # a node of which nothing is known but that it will be used counts as used
        others = sum(1 for p in promised if p.accelerator is Accelerator.CPU)
        return max(0, found.free_nodes(1) - others)
    if found.free_ram < placement.host_memory:
        return 0
    left = _after(found, (p.devices_per_node for p in promised if _same(p, found)))
    return sum(count for devices, count in left.items() if devices >= placement.devices_per_node)


def _after(found: NodeClass, taken: Iterable[int]) -> Counter[int]:
    """Free devices by how many nodes have so many, once each of those pods is on the fullest node that has room.

    The largest comes first: in the order of their jobs a small one could keep a large one off the node that suits it,
    and a pod that is gone would then leave less free than before.
    """
    left = Counter(dict(found.free_devices or ((found.devices_per_node, found.nodes),)))
    for devices in sorted(taken, reverse=True):
        there = [free for free, count in left.items() if count]
        # a pod that doesn't fit any more still has nothing that another one may take
        room = min((free for free in there if free >= devices), default=max(there, default=0))
        left[room] -= 1
        left[max(0, room - devices)] += 1
    return left
