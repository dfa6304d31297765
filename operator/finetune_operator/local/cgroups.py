"""What control groups leave of this machine: a container sees all RAM and cores, and may use fewer."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from finetune_operator.units import Bytes

UNLIMITED: Final = 1 << 60
"""Version 1 writes "no limit" as a number near 2**63; nothing real is above this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLimit:
    """The tightest limit above this process."""

    limit: Bytes
    free: Bytes
    """What may still be taken; page cache that the kernel would give back counts as free."""


def read_memory_limit(root: Path = Path("/")) -> MemoryLimit | None:
    """The memory limit of this process's groups; None where there is none."""
    found = [m for folder in _folders(root, "memory") if (m := _memory_of(folder)) is not None]
    if not found:
        return None
    return MemoryLimit(limit=min(m.limit for m in found), free=min(m.free for m in found))


def read_cpu_quota(root: Path = Path("/")) -> float | None:
    """Cores' worth of time that this process's groups grant; None where there is no quota."""
    quotas = [q for folder in _folders(root, "cpu") if (q := _quota_of(folder)) is not None]
    return min(quotas, default=None)


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """This process's group and all above it, in version 2's tree and in version 1's tree of the controller."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        tree = root / "sys/fs/cgroup" / (controller if names else "")
        group = tree / path.lstrip("/")
        yield group
        yield from (p for p in group.parents if p.is_relative_to(tree))


def _memory_of(folder: Path) -> MemoryLimit | None:
    for limit_name, usage_name, cache_name in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit = _number(folder / limit_name)
        if limit is not None and limit < UNLIMITED:
            used = (_number(folder / usage_name) or 0) - _stat(folder / "memory.stat", cache_name)
            return MemoryLimit(limit=Bytes(limit), free=Bytes(max(0, limit - max(0, used))))
    return None


def _quota_of(folder: Path) -> float | None:
    quota, _, period = _text(folder / "cpu.max").partition(" ")
    if quota.isdigit():
        return int(quota) / int(period)
    granted, period_us = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return granted / period_us if granted and period_us and granted > 0 else None


def _stat(path: Path, name: str) -> int:
    for line in _text(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
