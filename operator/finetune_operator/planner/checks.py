"""Reasons against a way, cheapest first; the first that holds is told."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

from finetune_operator.api.spec import Accelerator, Method
from finetune_operator.planner.candidates import Candidate
from finetune_operator.planner.capacity import NodeClass
from finetune_operator.planner.deferred import Remembered
from finetune_operator.planner.limits import hourly_cost, too_expensive, too_expensive_an_hour, too_slow
from finetune_operator.planner.plan import Interval, PrecisionUsed, Rejection, RejectionReason
from finetune_operator.planner.question import Question
from finetune_operator.planner.sentences import pair, plural, share
from finetune_operator.planner.solver import (
    Kind,
    Place,
    Sized,
    Solutions,
    Spread,
    place_of,
    resolve_precision,
    solutions_of,
    usable_bytes,
)
from finetune_operator.planner.states import ELEMENT_BYTES, Sharding, state_bytes
from finetune_operator.planner.workload import Workload
from finetune_operator.units import MIB, Bytes, gib

HOST_RESERVE: Final = 0.05
"""Share of a node's free RAM that no plan counts on."""

SMALL_FILES: Final = 20 * MIB
"""Tokenizer, configuration and states of a few kilobytes beside weights: the largest tokenizer.json of the families
that we know, Llama 3's, has 17 MB."""


class Objection(NamedTuple):
    """What stands against a way, or several alike; put into words only where it is told, since most of a large
    cluster's never are.
    """

    reason: RejectionReason
    tell: Callable[[Candidate], Rejection]
    need: int | None = None
    have: int | None = None


class Unfit(NamedTuple):
    """What stands against a way before anything is sized; the words are each way's own."""

    reason: RejectionReason
    tell: Callable[[Question, Candidate], Rejection]


class Sizing(NamedTuple):
    """A candidate that passed the cheap checks, with what it needs."""

    candidate: Candidate
    kind: Kind
    sized: Sized
    usable: int
    """Bytes of a device that plans may use."""

    @property
    def workload(self) -> Workload:
        """What is trained."""
        return self.sized.workload

    @property
    def place(self) -> Place:
        """Where it is to run."""
        return place_of(spread_of(self.candidate), self.candidate.node_class, self.kind)


class Verdict(NamedTuple):
    """A candidate, judged: viable where nothing stands against it."""

    candidate: Candidate
    sizing: Sizing | None
    """None where a cheap check has said no already."""
    objection: Objection | None

    @property
    def rejection(self) -> Rejection | None:
        """The objection in words."""
        return None if self.objection is None else self.objection.tell(self.candidate)


_Check = Callable[[Question, Sizing], Objection | None]
"""Of a way that was sized."""


def judge(question: Question, candidate: Candidate) -> Verdict:
    """The first reason against it, if there is one."""
    return judge_all(question, (candidate,))[0]


def judge_all(question: Question, candidates: Iterable[Candidate]) -> list[Verdict]:
    """The first reason against each.

    Neighbours that differ in ZeRO stage and offload alone pass the cheap checks together, or don't.
    """
    judging, verdicts = _Judging(question), []
    for (method, *_), alike in groupby(candidates, key=_SHARED):
        verdicts += judging.of(method, tuple(alike))
    return verdicts


_SHARED: Final = attrgetter("method", "nodes", "devices_per_node", "node_class")
"""What cheap checks look at."""


class _Terms(NamedTuple):
    """What one method on one class of nodes is judged by."""

    kind: Kind
    solutions: Solutions
    usable: int
    """Bytes of a device, as are the next ones of a node's RAM and of its disk."""
    ram: int
    disk: int
    written: Mapping[Sharding, int]
    """Bytes that go to the disk."""


class _Judging:
    """One question's candidates, judged: what several of them have in common is found once."""

    def __init__(self, question: Question) -> None:
        hardware = question.spec.hardware
        limits = (
            (within_duration, hardware.max_duration),
            (within_hourly_cost, hardware.max_hourly_cost),
            (within_cost, hardware.max_cost),
        )
        self._question = question
        self._limits = tuple(check for check, limit in limits if limit is not None)
        self._written = {m: Remembered(partial(stored_bytes, question, w)) for m, w in question.workloads.items()}
        self._unfit: dict[tuple[int, int, int, bool], Objection | None] = {}
        self._terms: dict[tuple[Method, int], _Terms] = {}

    def of(self, method: Method, alike: Sequence[Candidate]) -> list[Verdict]:
        """Of candidates that differ in ZeRO stage and offload alone."""
        unfit = self._before_sizing(alike[0])
        if unfit is not None:
            return [Verdict(c, None, unfit) for c in alike]
        node_class = alike[0].node_class
        terms = self._terms.get((method, id(node_class)))
        if terms is None:
            terms = self._terms[method, id(node_class)] = self._find_terms(method, node_class)
        return [self._size(c, terms) for c in alike]

    def _before_sizing(self, candidate: Candidate) -> Objection | None:
        """What cheap checks have against it: they look at the class and the counts, one of them at the method."""
        rounds = has_weights_to_round(self._question, candidate) is not None
        key = (id(candidate.node_class), candidate.nodes, candidate.devices_per_node, rounds)
        if key not in self._unfit:
            found = next((u for check in BEFORE_SIZING if (u := check(self._question, candidate)) is not None), None)
            self._unfit[key] = None if found is None else Objection(found.reason, partial(found.tell, self._question))
        return self._unfit[key]

    def _find_terms(self, method: Method, node_class: NodeClass) -> _Terms:
        question, device = self._question, node_class.device
        training, workload = question.spec.training, question.workloads[method]
        precision = resolve_precision(training.precision, device) or PrecisionUsed.FP32
        kind = Kind(device, node_class.cores, precision, question.margin)
        solutions = solutions_of(workload, kind, question.data, training.batch_size, training.epochs)
        usable, ram = usable_bytes(device, question.margin), usable_ram(node_class)
        return _Terms(kind, solutions, usable, ram, node_class.disk, self._written[method])

    def _size(self, candidate: Candidate, terms: _Terms) -> Verdict:
        """What is left open is solved, and held against what there is."""
        _, _, stage, offload, node_class, nodes, devices = candidate
        kind, solutions, usable, ram, disk, written = terms
        sized = solutions.at((stage, offload, nodes, devices), node_class)
        sizing = Sizing(candidate, kind, sized, usable)
        _, setting, total, host, _ = sized
        if total <= usable and host <= ram and written[setting.sharding] <= disk:
            return Verdict(candidate, sizing, self._first(self._limits, sizing) if self._limits else None)
        return Verdict(candidate, sizing, self._first(FITTING, sizing))

    def _first(self, checks: Sequence[_Check], sizing: Sizing) -> Objection | None:
        return next((o for check in checks if (o := check(self._question, sizing)) is not None), None)


def spread_of(candidate: Candidate) -> Spread:
    """How a candidate is spread over its class."""
    return Spread(candidate.zero_stage, candidate.offload, candidate.nodes, candidate.devices_per_node)


def has_devices(question: Question, candidate: Candidate) -> Unfit | None:
    """As many devices as the option takes are there, and may be used together."""
    node_class, limit, world = candidate.node_class, question.capacity.max_devices, candidate.world
    if candidate.devices_per_node > node_class.devices_per_node or candidate.nodes > node_class.nodes:
        return Unfit(RejectionReason.NOT_ENOUGH_DEVICES, _tell_fewer)
    if world > 1 and node_class.alone:
        return Unfit(RejectionReason.NOT_ENOUGH_DEVICES, _tell_slices)
    if limit is not None and world > limit:
        return Unfit(RejectionReason.NOT_ENOUGH_DEVICES, partial(_tell_limit, limit))
    return None


def _tell_fewer(question: Question, candidate: Candidate) -> Rejection:
    node_class = candidate.node_class
    asked = f"{plural(candidate.nodes, 'node')} with {plural(candidate.devices_per_node, 'device')} each"
    there = f"{plural(node_class.nodes, 'node')} with {node_class.devices_per_node}"
    return Rejection(
        option=candidate.id,
        reason=RejectionReason.NOT_ENOUGH_DEVICES,
        message=f"needs {asked}; {question.capacity.origin} has {there} ({node_class.device.product})",
        remedy="write smaller counts in spec.hardware, or leave them out",
    )


def _tell_slices(question: Question, candidate: Candidate) -> Rejection:
    del question
    return Rejection(
        option=candidate.id,
        reason=RejectionReason.NOT_ENOUGH_DEVICES,
        message=f"needs {candidate.world} devices together; slices of a GPU train alone "
        f"({candidate.node_class.device.product})",
        remedy="write 1 in spec.hardware for nodes and devicesPerNode, or leave them out",
    )


def _tell_limit(limit: int, question: Question, candidate: Candidate) -> Rejection:
    del question
    return Rejection(
        option=candidate.id,
        reason=RejectionReason.NOT_ENOUGH_DEVICES,
        message=f"needs {candidate.world} devices together; whoever starts it here can use at most "
        f"{plural(limit, 'device')} together",
        remedy=f"take an option of {plural(limit, 'device')}" if limit else "",
    )


def computes_precision(question: Question, candidate: Candidate) -> Unfit | None:
    """The device computes in the arithmetic that is asked for."""
    if resolve_precision(question.spec.training.precision, candidate.node_class.device) is not None:
        return None
    return Unfit(RejectionReason.UNSUPPORTED_PRECISION, _tell_precision)


def _tell_precision(question: Question, candidate: Candidate) -> Rejection:
    device, asked = candidate.node_class.device, question.spec.training.precision
    instead = "FP32" if device.accelerator is Accelerator.CPU else "FP16"
    return Rejection(
        option=candidate.id,
        reason=RejectionReason.UNSUPPORTED_PRECISION,
        message=f"needs {asked.value}, which {device.product} doesn't compute natively",
        remedy=f"write spec.training.precision: {instead}, or Auto",
    )


def has_weights_to_round(question: Question, candidate: Candidate) -> Unfit | None:
    """QLoRA rounds 16-bit weights, which a repository with 4-bit ones of its own doesn't have."""
    if not question.architecture.dequantised or candidate.method is not Method.QLORA:
        return None
    return Unfit(RejectionReason.UNSUPPORTED_PRECISION, _tell_weights)


def _tell_weights(question: Question, candidate: Candidate) -> Rejection:
    return Rejection(
        option=candidate.id,
        reason=RejectionReason.UNSUPPORTED_PRECISION,
        message=f"needs 16-bit weights to round to 4 bits; this repository of {question.architecture.name} has 4-bit "
        "ones of its own kind, which are unpacked to be trained",
        remedy="take a repository with 16-bit weights, or method: LoRA",
    )


def shares_batch(question: Question, candidate: Candidate) -> Unfit | None:
    """Every device gets as many rows as the others."""
    if question.spec.training.batch_size % candidate.world == 0:
        return None
    return Unfit(RejectionReason.BATCH_NOT_DIVISIBLE, _tell_batch)


def _tell_batch(question: Question, candidate: Candidate) -> Rejection:
    batch, world = question.spec.training.batch_size, candidate.world
    return Rejection(
        option=candidate.id,
        reason=RejectionReason.BATCH_NOT_DIVISIBLE,
        message=f"needs a batchSize that {plural(world, 'device')} can share evenly; it is {batch}",
        remedy=f"write spec.training.batchSize: {-(-batch // world) * world}",
    )


def fits_device(question: Question, sizing: Sizing) -> Objection | None:
    """The peak fits a device's free memory."""
    del question
    need, usable, free = sizing.sized.total, sizing.usable, sizing.kind.device.free
    if need <= usable:
        return None
    have = free if need > free else usable
    return Objection(RejectionReason.OUT_OF_MEMORY, lambda _: _tell_memory(sizing, need, have), need, have)


def _tell_memory(sizing: Sizing, need: int, have: int) -> Rejection:
    device = sizing.place.node_class.device
    needs, has = pair(need, have)
    unit = "a node" if device.accelerator is Accelerator.CPU else "a device"
    if need > device.free:
        rest = f"{unit} has {has} free of {gib(device.memory)}"
    else:
        kept = share(sizing.place.margin, 1)
        rest = f"{unit} has {has} to plan with: {gib(device.free)} free, {kept} of it kept in reserve"
    return Rejection(
        option=sizing.candidate.id,
        reason=RejectionReason.OUT_OF_MEMORY,
        message=f"needs {needs} {unit}, {rest}",
        remedy="",
        need=Bytes(need),
        have=Bytes(have),
    )


def fits_host(question: Question, sizing: Sizing) -> Objection | None:
    """What is offloaded, and the processes, fit a node's free RAM."""
    del question
    node_class = sizing.candidate.node_class
    need, have = sizing.sized.host, usable_ram(node_class)
    if need <= have:
        return None
    return Objection(RejectionReason.OUT_OF_HOST_MEMORY, lambda _: _tell_host(sizing, need, have), need, have)


def usable_ram(node_class: NodeClass) -> int:
    """Bytes of a node's RAM that plans may use."""
    return int(node_class.free_ram * (1 - HOST_RESERVE))


def _tell_host(sizing: Sizing, need: int, have: int) -> Rejection:
    node_class = sizing.place.node_class
    needs, has = pair(need, have)
    return Rejection(
        option=sizing.candidate.id,
        reason=RejectionReason.OUT_OF_HOST_MEMORY,
        message=f"needs {needs} of RAM a node, a node has {has} to plan with: {gib(node_class.free_ram)} free of "
        f"{gib(node_class.ram)}, {share(HOST_RESERVE, 1)} of it kept in reserve",
        remedy="",
        need=Bytes(need),
        have=Bytes(have),
    )


def fits_disk(question: Question, sizing: Sizing) -> Objection | None:
    """Checkpoints and the result fit the disk."""
    need = stored_bytes(question, sizing.workload, sizing.sized.setting.sharding)
    have = sizing.candidate.node_class.disk
    if need <= have:
        return None
    return Objection(RejectionReason.OUT_OF_DISK, lambda _: _tell_disk(question, sizing, need), need, have)


def _tell_disk(question: Question, sizing: Sizing, need: int) -> Rejection:
    have = sizing.place.node_class.disk
    needs, has = pair(need, have)
    keep = question.spec.training.checkpoint.keep
    return Rejection(
        option=sizing.candidate.id,
        reason=RejectionReason.OUT_OF_DISK,
        message=f"needs {needs} of disk for weights, result and {plural(keep + 1, 'checkpoint')}; {has} are free",
        remedy="" if keep == 1 else "write spec.training.checkpoint.keep: 1, or another output.path",
        need=Bytes(need),
        have=have,
    )


def stored_bytes(question: Question, workload: Workload, sharding: Sharding) -> int:
    """Disk that a run takes in all."""
    return download_bytes(question) + disk_bytes(question, workload, sharding)


def disk_bytes(question: Question, workload: Workload, sharding: Sharding) -> int:
    """What a run writes at most: kept checkpoints and one in the making, the staged result and the result."""
    result, checkpoint = _written(workload, sharding)
    return (question.spec.training.checkpoint.keep + 1) * checkpoint + 2 * result


@lru_cache(maxsize=4096)
def _written(workload: Workload, sharding: Sharding) -> tuple[int, int]:
    """Bytes of the result and of one checkpoint."""
    result = ELEMENT_BYTES[sharding.precision] * workload.trainable + SMALL_FILES
    return result, result + _engine_bytes(workload, sharding)


def _engine_bytes(workload: Workload, sharding: Sharding) -> int:
    """DeepSpeed's own part of a checkpoint: optimizer state, and what it trains once more below ZeRO-3."""
    element, a = ELEMENT_BYTES[sharding.precision], workload.architecture
    state = state_bytes(workload, sharding)
    if sharding.stage == 3:
        return state
    # frozen weights are left out by name, and a tied table has two names of which one is
    head = a.embedding_parameters if workload.frozen and a.tied else 0
    return state + element * (workload.trainable + head)


def download_bytes(question: Question) -> int:
    """Disk for weights that aren't here yet: those whose size isn't known; nearly all are stored in 16 bits."""
    return 0 if question.weight_bytes else 2 * question.architecture.total_parameters


def within_duration(question: Question, sizing: Sizing) -> Objection | None:
    """The training takes no longer than it may."""
    return _objection(too_slow(question, sizing.candidate, sizing.sized.pace))


def within_cost(question: Question, sizing: Sizing) -> Objection | None:
    """The training costs no more than it may."""
    return _objection(too_expensive(question, sizing.candidate, sizing.sized.pace))


def within_hourly_cost(question: Question, sizing: Sizing) -> Objection | None:
    """The devices cost no more an hour than they may."""
    return _objection(too_expensive_an_hour(question, sizing.candidate))


def _objection(found: Rejection | None) -> Objection | None:
    return None if found is None else Objection(found.reason, lambda _: found)


def cost_of(sizing: Sizing) -> Interval | None:
    """What the training costs; None where no price is known."""
    hourly = hourly_cost(sizing.candidate)
    return None if hourly is None else sizing.sized.pace.cost(hourly)


BEFORE_SIZING: Final[tuple[Callable[[Question, Candidate], Unfit | None], ...]] = (
    has_devices,
    computes_precision,
    has_weights_to_round,
    shares_batch,
)
"""Checks that need no arithmetic."""

FITTING: Final[tuple[_Check, ...]] = (fits_device, fits_host, fits_disk)
"""Checks of what the solved setting needs; a job's own limits come after them."""

NEEDS_HARDWARE: Final = frozenset({RejectionReason.OUT_OF_MEMORY, RejectionReason.OUT_OF_HOST_MEMORY})
"""Reasons that other hardware would help against."""
