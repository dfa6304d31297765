"""The figures that tools show of one device, for a setting that was chosen."""

from typing import NamedTuple

from finetune_operator.api.spec import Accelerator
from finetune_operator.planner.memory import heap_bytes, moments
from finetune_operator.planner.plan import MemoryEstimate
from finetune_operator.planner.reserved import process_bytes, reserved_bytes
from finetune_operator.planner.setting import Setting
from finetune_operator.planner.states import device_states
from finetune_operator.planner.workload import Workload
from finetune_operator.units import Bytes


class Figures(NamedTuple):
    """Each holds the one before it."""

    allocated: Bytes
    """Tensors, at the peak."""
    reserved: Bytes
    """What the allocator has taken by then."""
    process: Bytes
    """What the driver, or the system for a CPU, says of the process."""


def figures_of(workload: Workload, setting: Setting, memory: MemoryEstimate, free: int) -> Figures:
    """What a run of that setting shows on a device of which so many bytes are free."""
    allocated = memory.device_total - memory.context
    if setting.accelerator is Accelerator.CPU:
        held = min(memory.device_total, allocated + heap_bytes(workload, setting))
        return Figures(Bytes(allocated), Bytes(held), memory.device_total)
    states = device_states(workload, setting.sharding)
    trained = reserved_bytes(workload, setting, states, moments(workload, setting, states))
    reserved = max(allocated, trained)
    process = process_bytes(reserved, allocated, setting, free)
    outside = process_bytes(0, 0, setting)
    return Figures(Bytes(allocated), Bytes(max(allocated, min(reserved, process - outside))), Bytes(process))
