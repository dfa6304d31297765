"""Micro-batch, accumulation and checkpointing of a way: the fastest setting that fits, found and not guessed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from operator import itemgetter
from typing import Final, NamedTuple

from finetune_operator.api.spec import Accelerator, PrecisionChoice
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.capacity import Device, NodeClass
from finetune_operator.planner.deferred import Remembered
from finetune_operator.planner.facts import DatasetFacts, Evaluated
from finetune_operator.planner.memory import (
    TURING_CONTEXT,
    context_bytes,
    device_bytes,
    device_needs,
    estimate,
    host_of,
)
from finetune_operator.planner.plan import MemoryEstimate, PrecisionUsed
from finetune_operator.planner.setting import DRIVER_CONTEXT, Cut, Setting
from finetune_operator.planner.speed import Course, Pace
from finetune_operator.planner.states import Sharding, device_states
from finetune_operator.planner.workload import Workload
from finetune_operator.units import Bytes

MARGIN: Final = 0.05
"""Share of a device's free memory that no plan counts on unless the job says otherwise: the estimate's own error, and
what others may take."""

MAX_TOKENS: Final = 16_384
"""Padded tokens of a micro-batch at most: a card is full well before, more only costs memory."""

SAME_TIME: Final = 1.05
"""Settings whose estimated times are closer than this are equally fast; the one with the least memory is taken."""

TIGHT: Final = 0.8
"""Share of the free memory above which a plan is tight."""

ROOM_TIME: Final = 2.0
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
    margin: float = MARGIN
    """Share of the free memory that isn't counted on."""

    @property
    def world(self) -> int:
        """Number of devices."""
        return self.nodes * self.devices_per_node

    @property
    def sharding(self) -> Sharding:
        """How state is spread over them."""
        return Sharding(self.stage, self.offload, self.world, self.precision)

    @property
    def usable(self) -> int:
        """Bytes of a device that plans may use."""
        return usable_bytes(self.node_class.device, self.margin)


def usable_bytes(device: Device, margin: float) -> int:
    """Bytes of a device that plans may use where such a share of its free memory isn't counted on."""
    return int(device.free * (1 - margin))


class Sized(NamedTuple):
    """One setting with what it needs; a plain tuple, since planning makes hundreds."""

    workload: Workload
    setting: Setting
    total: int
    """Bytes that a device must hold."""
    host: int
    """RAM a node outside of devices."""
    pace: Pace

    @property
    def memory(self) -> MemoryEstimate:
        """The total by component: worked out when it is asked for."""
        return estimate(self.workload, self.setting)


def needed(allocated: int, setting: Setting) -> int:
    """What a device has to have for a run to go through: the allocator gives back its cache before it fails.

    Args:
        allocated: what it hands out at most.
        setting: the run.
    """
    return allocated + context_bytes(setting, allocated)


def fits(memory: MemoryEstimate, place: Place) -> bool:
    """Whether the peak fits what may be used."""
    return memory.device_total <= place.usable


def is_tight(total: int, device: Device) -> bool:
    """Whether less than a fifth of the free memory is to spare where a device must hold so much."""
    return total > TIGHT * device.free


def resolve_precision(choice: PrecisionChoice, device: Device) -> PrecisionUsed | None:
    """The arithmetic that is used; None where the device can't compute in the one that is asked for."""
    on_cpu = device.accelerator is Accelerator.CPU
    match choice:
        case PrecisionChoice.AUTO:
            if device.bf16:
                return PrecisionUsed.BF16
            return PrecisionUsed.FP32 if on_cpu else PrecisionUsed.FP16
        case PrecisionChoice.BF16:
            return PrecisionUsed.BF16 if device.bf16 else None
        case PrecisionChoice.FP16:
            return None if on_cpu else PrecisionUsed.FP16
        case PrecisionChoice.FP32:
            return PrecisionUsed.FP32


def solve(workload: Workload, place: Place, data: DatasetFacts, batch: int, epochs: str) -> Sized:
    """The fastest setting that fits; where none does, the one that needs the least.

    Of equally fast ones it is the smallest, and a little time is given for room. The batch has to be a multiple of
    the place's devices.
    """
    kind, spread = kind_of(place), Spread(place.stage, place.offload, place.nodes, place.devices_per_node)
    return solutions_of(workload, kind, data, batch, epochs).at(spread, place.node_class)


class Kind(NamedTuple):
    """What a solution depends on of a class of nodes, and how it is used.

    Classes that differ in free RAM, disk or price alone, as busy ones do, are of one kind.
    """

    device: Device
    cores: int
    precision: PrecisionUsed
    margin: float


class Spread(NamedTuple):
    """How a workload is spread over a class of nodes."""

    stage: int
    offload: Offload
    nodes: int
    devices_per_node: int


_Spread = tuple[int, Offload, int, int]
"""The same, also without names, since it is looked up by thousands of times."""


def kind_of(place: Place) -> Kind:
    """The kind of a place."""
    return Kind(place.node_class.device, place.node_class.cores, place.precision, place.margin)


class _Run(NamedTuple):
    """A cut of the rows on so many ranks a node, with what it takes."""

    setting: Setting
    total: int
    """Bytes that a device must hold."""
    host: int
    """RAM a node outside of devices."""


class _Layout(NamedTuple):
    """One workload whose state is shared in one way over so many devices, however they are spread over nodes."""

    cuts: tuple[Cut, ...]
    state: int
    """Bytes of weights and optimizer state on a device, whatever the cut."""
    needs: Remembered[Cut, int]
    """What a device must hold."""
    runs: Remembered[tuple[Cut, int], _Run]
    """By cut and ranks a node."""


_Rows = tuple[int, Evaluated | None]
"""Tokens of the longest row, and how held-out rows are gone through."""

_Share = tuple[int, Offload, int]
"""ZeRO stage, offload and number of devices."""


@lru_cache(maxsize=512)
def _layouts(workload: Workload, kind: Kind, rows: _Rows, batch: int) -> Remembered[_Share, _Layout]:
    """Those that were made; all kinds of nodes that a device's memory and speed tell apart add to them."""
    return Remembered(partial(_lay_out, workload, kind, rows, batch))


def _lay_out(workload: Workload, kind: Kind, rows: _Rows, batch: int, share: _Share) -> _Layout:
    sharding, (length, evaluated) = Sharding(*share, kind.precision), rows
    cuts, states = _cuts(batch // sharding.world, length), device_states(workload, sharding)
    # one node stands for any number of them
    one = _setting(kind.device, sharding, sharding.world, length, cuts[0], evaluated)
    needs = Remembered(device_needs(workload, one, states))

    def run(way: tuple[Cut, int]) -> _Run:
        cut, ranks = way
        setting = _setting(kind.device, sharding, ranks, length, cut, evaluated)
        return _Run(setting, needs[cut], host_of(workload, setting))

    return _Layout(cuts, states.weights + states.optimizer, needs, Remembered(run))


def _measureless(kind: Kind) -> Kind:
    """The same for all devices that the layout of a workload is the same on."""
    device = kind.device
    same = replace(device, product="", memory=Bytes(0), free=Bytes(0), peak_flops=0.0)
    return Kind(same, 0, kind.precision, 0.0)


class Solutions:
    """What was found for one workload on one kind of nodes, so that each spread is solved once."""

    def __init__(self, workload: Workload, kind: Kind, data: DatasetFacts, batch: int, epochs: str) -> None:
        """Begin with nothing solved."""
        self._workload = workload
        self._usable, self._roomy = usable_bytes(kind.device, kind.margin), TIGHT * kind.device.free
        self._layouts = _layouts(workload, _measureless(kind), (data.longest, data.evaluated), batch)
        self._course = Course(workload, kind.device, kind.precision, data, batch, epochs)
        self._found: dict[_Spread, Sized] = {}

    def at(self, spread: _Spread, node_class: NodeClass) -> Sized:
        """The setting for that spread over a class of this kind."""
        found = self._found.get(spread)
        if found is None:
            found = self._found[spread] = self._solve(spread, node_class)
        return found

    def _solve(self, spread: _Spread, node_class: NodeClass) -> Sized:
        stage, offload, nodes, ranks = spread
        cuts, state, needs, runs = self._layouts[stage, offload, nodes * ranks]
        if state > self._usable:
            # where its state alone is too much for a device, it is so whatever the cut
            cuts = cuts[:1]
        course = self._course
        stretch = course.stretch(runs[cuts[0], ranks].setting, node_class)
        tried = list(zip(course.step_seconds(cuts, stretch), cuts, strict=True))
        seconds, cut = _search(tried, self._usable, self._roomy, needs) if len(tried) > 1 else tried[0]
        setting, total, host = runs[cut, ranks]
        return Sized(self._workload, setting, total, host, course.pace(seconds, stretch))


solutions_of = lru_cache(maxsize=1024)(Solutions)
"""Those of a workload on a kind of nodes; the same ones for as long as they are remembered."""


def place_of(spread: Spread, node_class: NodeClass, kind: Kind) -> Place:
    """That spread over a class of the kind."""
    return Place(
        node_class=node_class,
        stage=spread.stage,
        offload=spread.offload,
        nodes=spread.nodes,
        devices_per_node=spread.devices_per_node,
        precision=kind.precision,
        margin=kind.margin,
    )


_Tried = tuple[float, Cut]
"""Seconds of a step, and how the rows are cut for it."""


def _search(tried: Sequence[_Tried], usable: int, roomy: float, needs: Mapping[Cut, int]) -> _Tried:
    """The one to take, by its time and what it needs of a device; the first is the one that usually needs least.

    What needs no more than `usable` fits, and what needs no more than `roomy` isn't tight.
    """
    best, held, fastest = None, 0, 0.0
    small, least = tried[0], None
    for one in sorted(tried, key=itemgetter(0)):
        seconds, cut = one
        if best is not None and seconds > fastest * (ROOM_TIME if held > roomy else SAME_TIME):
            break
        total = needs[cut]
        if total > usable:
            if least is None or total < least or (total == least and one is tried[0]):
                small, least = one, total
        elif best is None:
            best, held, fastest = one, total, seconds
        elif seconds <= SAME_TIME * fastest:
            best, held = (one, total) if total < held else (best, held)
        elif total <= roomy:
            best, held = one, total
    return best or small


def least_memory(
    workload: Workload, place: Place, length: int, batch: int, evaluated: Evaluated | None = None
) -> MemoryEstimate:
    """What a place needs with rows of that length, one row at a time and checkpointing."""
    return estimate(workload, least_setting(place, length, batch, evaluated))


def least_setting(place: Place, length: int, batch: int, evaluated: Evaluated | None = None) -> Setting:
    """That setting, whatever the workload."""
    cut = _cuts(batch // place.world, length)[0]
    return _setting(place.node_class.device, place.sharding, place.devices_per_node, length, cut, evaluated)


def total_of(workload: Workload, setting: Setting) -> int:
    """What a device must hold, all together."""
    return device_bytes(workload, setting, device_states(workload, setting.sharding), setting.cut)


def settings_of(place: Place, length: int, batch: int, evaluated: Evaluated | None = None) -> tuple[Setting, ...]:
    """Every setting of a place; first the one that usually needs the least memory."""
    device, ranks, cuts = place.node_class.device, place.devices_per_node, _cuts(batch // place.world, length)
    return tuple(_setting(device, place.sharding, ranks, length, cut, evaluated) for cut in cuts)


def _setting(
    device: Device, sharding: Sharding, ranks: int, length: int, cut: Cut, evaluated: Evaluated | None
) -> Setting:
    micro_batch, accumulation, checkpointing = cut
    kind, context = device.accelerator, _context(device)
    return Setting(kind, sharding, ranks, micro_batch, length, accumulation, checkpointing, context, evaluated)


def _context(device: Device) -> int:
    return DRIVER_CONTEXT if device.bf16 else TURING_CONTEXT


@lru_cache(maxsize=1024)
def _cuts(rows: int, length: int) -> tuple[Cut, ...]:
    """Every way to cut a device's rows; first the smallest micro-batch, computed twice."""
    return tuple(
        Cut(micro, rows // micro, checkpointing)
        for micro in _divisors(rows, max(1, MAX_TOKENS // length))
        for checkpointing in (Checkpointing.FULL, Checkpointing.NONE)
    )


def _divisors(rows: int, limit: int) -> tuple[int, ...]:
    return tuple(n for n in range(1, min(rows, limit) + 1) if rows % n == 0)
