"""Micro-batch, accumulation and checkpointing of a way: the fastest setting that fits, found and not guessed."""

from dataclasses import dataclass
from typing import Final

from finetune_operator.api.spec import Accelerator, PrecisionChoice
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.capacity import Device, NodeClass
from finetune_operator.planner.facts import DatasetFacts
from finetune_operator.planner.memory import Setting, estimate
from finetune_operator.planner.plan import MemoryEstimate, PrecisionUsed
from finetune_operator.planner.speed import Pace, measure_pace
from finetune_operator.planner.states import Sharding, device_states
from finetune_operator.planner.workload import Workload

RESERVE: Final = 0.05
"""Share of a device's free memory that no plan counts on: the estimate's own error, and what others may take."""

MAX_TOKENS: Final = 16_384
"""Padded tokens of a micro-batch at most: a card is full well before, more only costs memory."""

SAME_TIME: Final = 1.05
"""Settings whose estimated times are closer than this are equally fast; the one with the least memory is taken."""

TIGHT: Final = 0.8
"""Share of the free memory above which a plan is tight."""

ROOM_TIME: Final = 1.25
"""A setting that isn't tight may take so many times as long as the fastest one, and is taken all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a workload is to run."""

    node_class: NodeClass
    stage: int
    offload: Offload
    nodes: int
    devices_per_node: int
    precision: PrecisionUsed

    @property
    def world(self) -> int:
        """Number of devices."""
        return self.nodes * self.devices_per_node

    @property
    def sharding(self) -> Sharding:
        """How state is spread over them."""
        return Sharding(stage=self.stage, offload=self.offload, world=self.world, precision=self.precision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """One setting with what it needs."""

    setting: Setting
    memory: MemoryEstimate
    pace: Pace


def usable(device: Device) -> int:
    """Bytes of a device that plans may use."""
    return int(device.free * (1 - RESERVE))


def fits(memory: MemoryEstimate, device: Device) -> bool:
    """Whether the peak fits what may be used."""
    return memory.device_total <= usable(device)


def is_tight(memory: MemoryEstimate, device: Device) -> bool:
    """Whether less than a fifth of the free memory is to spare."""
    return memory.device_total > TIGHT * device.free


def resolve_precision(choice: PrecisionChoice, device: Device) -> PrecisionUsed | None:
    """The arithmetic that is used; None where the device can't compute in the one that is asked for."""
    on_cpu = device.accelerator is Accelerator.CPU
    match choice:
        case PrecisionChoice.BF16:
            return PrecisionUsed.BF16 if device.bf16 else None
        case PrecisionChoice.FP16:
            return None if on_cpu else PrecisionUsed.FP16
        case PrecisionChoice.FP32:
            return PrecisionUsed.FP32
        case PrecisionChoice.AUTO:
            if device.bf16:
                return PrecisionUsed.BF16
            return PrecisionUsed.FP32 if on_cpu else PrecisionUsed.FP16


def solve(workload: Workload, place: Place, data: DatasetFacts, batch: int, epochs: str) -> Sized:
    """The fastest setting that fits; where none does, the one that needs the least.

    Of equally fast ones it is the smallest, and a little time is given for room. The batch has to be a multiple of
    the place's devices.
    """
    settings = settings_of(place, data.longest, batch)
    states = device_states(workload, settings[0].sharding)

    def sized(setting: Setting, pace: Pace) -> Sized:
        return Sized(setting=setting, memory=estimate(workload, setting, states), pace=pace)

    paces = [(measure_pace(workload, s, place.node_class, data, epochs), s) for s in settings]
    least = sized(settings[0], paces[0][0])
    device = place.node_class.device
    if states.weights + states.optimizer > usable(device):
        return least
    best, fastest = None, 0.0
    for pace, setting in sorted(paces, key=lambda p: p[0].seconds):
        if best is not None and pace.seconds > fastest * (ROOM_TIME if is_tight(best.memory, device) else SAME_TIME):
            break
        found = sized(setting, pace)
        if not fits(found.memory, device):
            least = min(least, found, key=_total)
        elif best is None:
            best, fastest = found, pace.seconds
        elif pace.seconds <= SAME_TIME * fastest:
            best = min(best, found, key=_total)
        elif not is_tight(found.memory, device):
            best = found
    return best or least


def _total(sized: Sized) -> int:
    return sized.memory.device_total


def least_memory(workload: Workload, place: Place, length: int, batch: int) -> MemoryEstimate:
    """What a place needs with rows of that length, one row at a time and checkpointing."""
    return estimate(workload, settings_of(place, length, batch)[0])


def settings_of(place: Place, length: int, batch: int) -> tuple[Setting, ...]:
    """Every setting of a place; first the one that usually needs the least memory."""
    rows = batch // place.world
    sharding = place.sharding
    return tuple(
        Setting(
            accelerator=place.node_class.device.accelerator,
            sharding=sharding,
            ranks_per_node=place.devices_per_node,
            micro_batch=micro,
            length=length,
            accumulation=rows // micro,
            checkpointing=checkpointing,
        )
        for micro in _divisors(rows, max(1, MAX_TOKENS // length))
        for checkpointing in (Checkpointing.FULL, Checkpointing.NONE)
    )


def _divisors(rows: int, limit: int) -> tuple[int, ...]:
    return tuple(n for n in range(1, min(rows, limit) + 1) if rows % n == 0)
