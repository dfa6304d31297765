"""Measured peak memory of this rank's device, in the planner's terms: what the device has to hold in all."""

import ctypes
import gc
import resource
from pathlib import Path
from typing import Final

import torch

CPU_MEASURE: Final = "peak resident set of the training process"
"""How a CPU's figure is taken."""

CUDA_MEASURE: Final = "peak of the CUDA allocator, plus what the process holds outside of it"
"""How a GPU's figure is taken."""


class MemoryMeter:
    """Peak by phase, and over all."""

    def __init__(self, accelerator: str) -> None:
        self._cuda = accelerator == "GPU"
        self._phases: dict[str, int] = {}

    @property
    def measured_by(self) -> str:
        """How the figures are taken."""
        return CUDA_MEASURE if self._cuda else CPU_MEASURE

    @property
    def phases(self) -> dict[str, int]:
        """Peak bytes by phase."""
        return dict(self._phases)

    def begin(self) -> None:
        """A new phase: its peak counts from here."""
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        else:
            _reset_peak_resident()

    def end(self, phase: str) -> None:
        """Keep the phase's peak."""
        self._phases[phase] = self.peak()

    def peak(self) -> int:
        """Bytes at most since the phase began."""
        if self._cuda:
            return torch.cuda.max_memory_allocated() + _outside_allocator()
        return _peak_resident()


def give_back(accelerator: str) -> None:
    """Return what nobody holds any more to the device or, on a CPU, to the system."""
    gc.collect()
    if accelerator == "GPU":
        torch.cuda.empty_cache()
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        # glibc keeps what was freed in small pieces; other C libraries have no such function
        trim(0)


def _outside_allocator() -> int:
    # driver context and libraries: what is used on the device and not reserved by our allocator; other processes on
    # the same device count in, so it is capped at what a context with NCCL takes
    free, total = torch.cuda.mem_get_info()
    return min(max(0, total - free - torch.cuda.memory_reserved()), 2 * 1024**3)


def _reset_peak_resident() -> None:
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5", encoding="ascii")


def _peak_resident() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
