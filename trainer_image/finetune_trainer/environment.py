"""What a run ran on and with: versions, device, driver, cores, memory.

No secrets, no environment variables, no names of machines or people.
"""

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import psutil

from finetune_trainer.evidence import Environment

PACKAGES: Final = (
    "finetune-operator",
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "accelerate",
    "deepspeed",
    "bitsandbytes",
    "tokenizers",
    "safetensors",
)
"""Distributions whose version can change a result."""

ABSENT: Final = "not installed"
"""Stands where a package's version would."""

_CPU_INFO: Final = Path("/proc/cpuinfo")
CGROUP: Final = Path("/sys/fs/cgroup")
"""Of the container that we are in; outside of one these files are absent."""


def gather_environment(command: str, seed: int, checksums: dict[str, str]) -> Environment:
    """What this process runs on and with; on a GPU only if it has computed there, whatever the machine has."""
    cuda = _cuda_in_use()
    return Environment(
        versions=_versions(cuda),
        device=cuda.cuda.get_device_name() if cuda else cpu_model(_CPU_INFO),
        driver=_driver() if cuda else "",
        cores=cores(CGROUP),
        ram_bytes=ram_bytes(CGROUP),
        command=command,
        seed=seed,
        checksums=checksums,
    )


def cpu_model(info: Path) -> str:
    """The processor's name, in the words of the system."""
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    names = [value.strip() for key, _, value in (line.partition(":") for line in lines) if key.strip() == "model name"]
    # ARM names no model there
    return next(filter(None, names), "") or platform.processor() or platform.machine()


def cores(cgroup: Path) -> int:
    """Cores that this process may use: by its affinity, and by its container's limit, rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if not (quota.isdecimal() and period.isdecimal()):
        return allowed
    return min(allowed, max(1, -(-int(quota) // int(period))))


def ram_bytes(cgroup: Path) -> int:
    """Memory that this process may use: the machine's, or its container's limit."""
    limit = _read(cgroup / "memory.max")
    total = psutil.virtual_memory().total
    return min(total, int(limit)) if limit.isdecimal() else total


def version_of(package: str) -> str:
    """An installed distribution's version."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ABSENT


def _versions(cuda: Any) -> dict[str, str]:
    found = {package: version_of(package) for package in PACKAGES}
    found["python"] = platform.python_version()
    found["system"] = _system()
    if cuda:
        found["cuda"] = str(cuda.version.cuda)
    return found


def _system() -> str:
    kernel = f"{platform.system()} {platform.release()} {platform.machine()}"
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {kernel}"
    except OSError:
        return kernel


def _cuda_in_use() -> Any:
    """The torch module where this process has computed on a GPU, else None."""
    torch: Any = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_initialized() else None


def _driver() -> str:
    try:
        import pynvml
    except ImportError:
        return "unknown (nvidia-ml-py is not installed)"
    try:
        pynvml.nvmlInit()
        return f"NVIDIA {pynvml.nvmlSystemGetDriverVersion()}"
    except pynvml.NVMLError as e:
        # a finished training isn't lost for the name of its driver
        return f"unknown ({e})"


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii").strip() if path.is_file() else ""
