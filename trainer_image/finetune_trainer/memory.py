"""Measured peak memory of this rank's device, in the planner's terms: what the device has to hold in all."""

import ctypes
import gc
import os
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

import psutil
import torch

from finetune_trainer.events import MemoryPhase

STEP_PHASES: Final[tuple[MemoryPhase, ...]] = ("forward", "backward", "step")
"""Of an optimizer step: the highest of these is what a plan predicts."""

CPU_MEASURE: Final = "peak resident set of the training process"
"""How a CPU's figure is taken."""

SAMPLED_MEASURE: Final = "resident set of the training process, as it is at the end of each phase"
"""The same where the system lets no process begin its peak anew: what rises and falls within a phase is missed."""

CUDA_MEASURE: Final = "peak of the CUDA allocator, plus what the process holds outside of it"
"""How a GPU's figure is taken."""

CONTEXT_LIMIT: Final = 2 * 1024**3
"""A CUDA context with NCCL takes no more: what a device holds beyond belongs to other processes."""


class Gauge(Protocol):
    """Reads one kind of device."""

    measured_by: str

    def reset(self) -> None:
        """The peak counts from here."""

    def peak(self) -> int:
        """Bytes at most since then, of what the gauge counts at every moment."""

    def now(self) -> int:
        """The same at this moment."""

    def outside(self) -> int:
        """Bytes beside those, which hardly change: a GPU's driver context and libraries."""

    def device(self) -> dict[str, int]:
        """A GPU's own figures: allocated, reserved and process at their highest."""


class MemoryMeter:
    """Peak by phase."""

    def __init__(self, accelerator: str) -> None:
        self._gauge: Gauge = CudaGauge() if accelerator == "GPU" else _cpu_gauge()
        self._phases: dict[MemoryPhase, int] = {}

    @property
    def measured_by(self) -> str:
        """How the figures are taken."""
        return self._gauge.measured_by

    def begin(self) -> None:
        """A new phase: its peak counts from here."""
        self._gauge.reset()

    def end(self, phase: MemoryPhase) -> None:
        """Keep the phase's peak: the highest, where it comes many times."""
        peak = self._gauge.peak()
        if phase not in STEP_PHASES:
            # the context grows until training is under way: what it takes now counts for a phase before or after
            peak += self._gauge.outside()
        self._phases[phase] = max(peak, self._phases.get(phase, 0))

    def highest(self) -> int:
        """Bytes at most in the steps so far."""
        phases = self.phases()
        return max((phases[p] for p in STEP_PHASES if p in phases), default=0)

    def phases(self) -> dict[MemoryPhase, int]:
        """Peak bytes by phase."""
        outside = self._gauge.outside()
        return {p: b + (outside if p in STEP_PHASES else 0) for p, b in self._phases.items()}

    def now(self) -> int:
        """Bytes at this moment."""
        return self._gauge.now() + self._gauge.outside()

    def outside(self) -> int:
        """Bytes of the device that no tensor can have; 0 on a CPU, where they aren't told apart."""
        return self._gauge.outside()

    def device(self) -> dict[str, int]:
        """A GPU's own three figures; none for a CPU."""
        return self._gauge.device()


class ResidentGauge:
    """A CPU's process, by the kernel's own high-water mark."""

    measured_by = CPU_MEASURE

    def reset(self) -> None:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def peak(self) -> int:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("/proc/self/status has no VmHWM")

    def now(self) -> int:
        return int(psutil.Process().memory_info().rss)

    def outside(self) -> int:
        return 0

    def device(self) -> dict[str, int]:
        return {}


class SampledGauge(ResidentGauge):
    """A CPU's process where its high-water mark can't be reset."""

    measured_by = SAMPLED_MEASURE

    def reset(self) -> None:
        """Nothing to reset: a sample has no past."""

    def peak(self) -> int:
        return self.now()


class CudaGauge:
    """A GPU, by its allocator's counters, which cost no synchronisation."""

    measured_by = CUDA_MEASURE

    def __init__(self) -> None:
        self._reserved = 0
        self._allocated = 0

    def reset(self) -> None:
        # an allocator that nothing has asked for anything yet has no counters to reset
        cuda: Any = torch.cuda
        cuda.init()
        # the reserved peak is reset with the other
        self._reserved = max(self._reserved, torch.cuda.max_memory_reserved())
        torch.cuda.reset_peak_memory_stats()

    def peak(self) -> int:
        peak = torch.cuda.max_memory_allocated()
        self._allocated = max(self._allocated, peak)
        return peak

    def now(self) -> int:
        return torch.cuda.memory_allocated()

    def outside(self) -> int:
        """Driver context and libraries: what is used on the device and not reserved by our allocator."""
        own = _process_bytes()
        if own is not None:
            return max(0, own - torch.cuda.memory_reserved())
        free, total = torch.cuda.mem_get_info()
        return min(max(0, total - free - torch.cuda.memory_reserved()), CONTEXT_LIMIT)

    def device(self) -> dict[str, int]:
        reserved = max(self._reserved, torch.cuda.max_memory_reserved())
        return {"allocated": self._allocated, "reserved": reserved, "process": reserved + self.outside()}


@cache
def _driver(device: int) -> tuple[Any, Any] | None:
    """The driver's library and its name for a device; None where that isn't installed or doesn't know it."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid)
    except pynvml.NVMLError:
        return None


def _process_bytes() -> int | None:
    """What the driver counts for this process; None where it doesn't say, as in a container with ids of its own."""
    found = _driver(torch.cuda.current_device())
    if found is None:
        return None
    nvml, handle = found
    try:
        processes = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except nvml.NVMLError:
        return None
    return next((p.usedGpuMemory for p in processes if p.pid == os.getpid()), None)


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


def _cpu_gauge() -> Gauge:
    try:
        ResidentGauge().reset()
    except OSError:
        return SampledGauge()
    return ResidentGauge()
