"""This machine's processor as a device."""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from finetune_operator.api.spec import Accelerator
from finetune_operator.local.cgroups import read_cpu_quota, read_memory_limit
from finetune_operator.planner.capacity import Device
from finetune_operator.planner.processors import BF16_FLAGS, peak_flops
from finetune_operator.units import Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ram:
    """A machine's memory, limits of control groups applied."""

    total: Bytes
    free: Bytes


def read_ram(root: Path = Path("/")) -> Ram:
    """RAM of this machine, or of the container we are in."""
    memory, limit = psutil.virtual_memory(), read_memory_limit(root)
    if limit is None:
        return Ram(total=Bytes(memory.total), free=Bytes(memory.available))
    return Ram(total=Bytes(min(memory.total, limit.limit)), free=Bytes(min(memory.available, limit.free)))


def read_cores(root: Path = Path("/")) -> int:
    """Logical processors that this process may use, at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = read_cpu_quota(root)
    # rounded down: half a core more must not make a plan promise a speed that isn't there
    return max(1, min(allowed, int(quota))) if quota is not None else allowed


def read_cpu(root: Path = Path("/")) -> Device:
    """The processor as one device whose memory is the machine's RAM."""
    product, flags = _product_and_flags(root / "proc/cpuinfo")
    ram = read_ram(root)
    return Device(
        accelerator=Accelerator.CPU,
        product=product,
        memory=ram.total,
        free=ram.free,
        bf16=bool(BF16_FLAGS & flags),
        peak_flops=peak_flops(flags, read_cores(root) * _share_of_a_core()),
    )


def _share_of_a_core() -> float:
    """Two hardware threads share one core's vector units."""
    logical, physical = psutil.cpu_count(), psutil.cpu_count(logical=False)
    return physical / logical if logical and physical else 1.0


def _product_and_flags(cpuinfo: Path) -> tuple[str, frozenset[str]]:
    product, flags = "CPU", frozenset[str]()
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return product, flags
    for line in lines:
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "model name" and product == "CPU":
            product = value
        elif key in {"flags", "Features"}:
            return product, frozenset(value.split())
    return product, flags
