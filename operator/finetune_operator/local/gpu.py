"""This machine's GPUs, as the driver reports them."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import pynvml

from finetune_operator.exceptions import InfeasibleError
from finetune_operator.units import Bytes

BF16_CAPABILITY: Final = (8, 0)
"""First compute capability whose tensor cores compute in bfloat16 (CUDA programming guide, arithmetic instructions)."""

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
"""Environment: indices or UUIDs of the GPUs that a process may use; set and empty, none.

Indices are taken in the driver's order. CUDA's own is by speed, which is the same where all GPUs are of one product; a
machine with several needs CUDA_DEVICE_ORDER=PCI_BUS_ID, or UUIDs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU as it is now."""

    uuid: str
    product: str
    memory: Bytes
    free: Bytes
    capability: tuple[int, int]

    @property
    def bf16(self) -> bool:
        """Computes in bfloat16 natively."""
        return self.capability >= BF16_CAPABILITY


def read_gpus(environment: Mapping[str, str] = os.environ) -> tuple[Gpu, ...]:
    """The GPUs that this process may use; none where there is no driver.

    Raises:
        InfeasibleError: the driver knows a GPU that doesn't answer.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        # no driver, or one that refuses to answer: training couldn't reach the GPU either
        return ()
    try:
        gpus = tuple(_read(index) for index in range(pynvml.nvmlDeviceGetCount()))
    finally:
        pynvml.nvmlShutdown()
    return visible(gpus, environment.get(VISIBLE))


def visible(gpus: tuple[Gpu, ...], setting: str | None) -> tuple[Gpu, ...]:
    """Those that CUDA_VISIBLE_DEVICES leaves, in its order; CUDA too stops at the first entry it doesn't know."""
    if setting is None:
        return gpus
    chosen: list[Gpu] = []
    for entry in (e.strip() for e in setting.split(",")):
        gpu = _named(gpus, entry)
        if gpu is None:
            break
        chosen.append(gpu)
    return tuple(chosen)


def usable(gpus: Iterable[Gpu]) -> tuple[Gpu, ...]:
    """Those with at least half of the freest one's free memory: another program's GPU is not ours to plan with."""
    ordered = sorted(gpus, key=lambda g: -g.free)
    return tuple(g for g in ordered if 2 * g.free >= ordered[0].free)


def _named(gpus: tuple[Gpu, ...], entry: str) -> Gpu | None:
    if entry.isdigit():
        return gpus[int(entry)] if int(entry) < len(gpus) else None
    return next((g for g in gpus if entry and g.uuid.startswith(entry)), None)


def _read(index: int) -> Gpu:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        return Gpu(
            uuid=pynvml.nvmlDeviceGetUUID(handle),
            product=pynvml.nvmlDeviceGetName(handle),
            memory=Bytes(memory.total),
            free=Bytes(memory.free),
            capability=tuple(pynvml.nvmlDeviceGetCudaComputeCapability(handle)),
        )
    except pynvml.NVMLError as e:
        # left out, it would be missed only by whoever knows how many there are
        raise InfeasibleError(
            f"GPU {index} of this machine doesn't answer the driver ({e}); see what nvidia-smi says, or restart it",
        ) from e
