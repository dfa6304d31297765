"""This machine as planning capacity: what is there and what is free of it now."""

import shutil
from itertools import groupby
from pathlib import Path
from typing import Final

from finetune_operator.api.spec import Accelerator
from finetune_operator.local.cpu import read_cores, read_cpu, read_ram
from finetune_operator.local.files import existing_parent
from finetune_operator.local.gpu import Gpu, read_gpus, usable
from finetune_operator.planner.capacity import Capacity, Device, NodeClass
from finetune_operator.planner.devices import find_product
from finetune_operator.units import Bytes

ORIGIN: Final = "this machine"
"""How sentences name this machine."""


def read_capacity(output: Path, asked: Accelerator | None = None) -> Capacity:
    """This machine's GPUs; its CPU where it has none, or where a CPU is asked for.

    Args:
        output: where the result goes; its disk is the one that counts.
        asked: the kind of accelerator that the job names.
    """
    gpus = read_gpus()
    classes = gpu_classes(gpus, output)
    if not classes or asked is Accelerator.CPU:
        classes = (*classes, _node("cpu", read_cpu(), 1, output))
    return Capacity(classes=classes, origin=ORIGIN, max_devices=max(c.devices_per_node for c in classes))


def gpu_classes(gpus: tuple[Gpu, ...], output: Path) -> tuple[NodeClass, ...]:
    """One class for each product and memory size, of the GPUs that are usable, as free as the least free of them."""
    kinds = groupby(sorted(gpus, key=_kind), key=_kind)
    return tuple(_gpu_class(usable(members), output) for _, members in kinds)


def devices_for(product: str, count: int) -> tuple[str, ...]:
    """UUIDs of that product's freest GPUs, for the process that is to train on them."""
    return tuple(g.uuid for g in usable(g for g in read_gpus() if g.product == product))[:count]


def _kind(gpu: Gpu) -> tuple[str, int]:
    return gpu.product, gpu.memory


def _gpu_class(gpus: tuple[Gpu, ...], output: Path) -> NodeClass:
    least = gpus[-1]
    device = Device(
        accelerator=Accelerator.GPU,
        product=least.product,
        memory=least.memory,
        free=least.free,
        bf16=least.bf16,
        peak_flops=find_product(least.product, least.memory).peak_flops,
    )
    return _node(least.product, device, len(gpus), output)


def _node(name: str, device: Device, devices: int, output: Path) -> NodeClass:
    ram = read_ram()
    return NodeClass(
        name=name,
        device=device,
        devices_per_node=devices,
        nodes=1,
        cores=read_cores(),
        ram=ram.total,
        free_ram=ram.free,
        disk=read_free_disk(output),
        nvme=has_nvme(),
    )


def read_free_disk(path: Path) -> Bytes:
    """Free bytes on the disk where the path is, or will be."""
    return Bytes(shutil.disk_usage(existing_parent(path)).free)


def has_nvme(root: Path = Path("/")) -> bool:
    """Whether this machine has a local NVMe disk."""
    return any(root.glob("sys/block/nvme*"))
