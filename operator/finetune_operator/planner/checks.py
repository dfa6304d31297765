"""Reasons against a way, cheapest first; the first that holds is told."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from finetune_operator.api.spec import Accelerator
from finetune_operator.planner.candidates import Candidate
from finetune_operator.planner.plan import PrecisionUsed, Rejection, RejectionReason
from finetune_operator.planner.question import Question
from finetune_operator.planner.sentences import pair, plural, share
from finetune_operator.planner.solver import RESERVE, Place, Sized, fits, resolve_precision, solve, usable
from finetune_operator.planner.states import ELEMENT_BYTES, Sharding, optimizer_bytes
from finetune_operator.planner.workload import Workload
from finetune_operator.units import MIB, Bytes, gib

HOST_RESERVE: Final = 0.05
"""Share of a node's free RAM that no plan counts on."""

SMALL_FILES: Final = 20 * MIB
"""Tokenizer, configuration and states of a few kilobytes beside weights: the largest tokenizer.json of the families
that we know, Llama 3's, has 17 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """A candidate that passed the cheap checks, with what it needs."""

    candidate: Candidate
    workload: Workload
    place: Place
    sized: Sized


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A candidate, judged: viable where nothing stands against it."""

    candidate: Candidate
    sizing: Sizing | None
    """None where a cheap check has said no already."""
    rejection: Rejection | None


def judge(question: Question, candidate: Candidate) -> Verdict:
    """The first reason against it, if there is one."""
    for check in BEFORE_SIZING:
        found = check(question, candidate)
        if found is not None:
            return Verdict(candidate=candidate, sizing=None, rejection=found)
    sizing = size(question, candidate)
    reasons = (check(question, sizing) for check in AFTER_SIZING)
    first = next((r for r in reasons if r is not None), None)
    return Verdict(candidate=candidate, sizing=sizing, rejection=first)


def size(question: Question, candidate: Candidate) -> Sizing:
    """Solve what is left open of a candidate."""
    training, node_class = question.spec.training, candidate.node_class
    place = Place(
        node_class=node_class,
        stage=candidate.zero_stage,
        offload=candidate.offload,
        nodes=candidate.nodes,
        devices_per_node=candidate.devices_per_node,
        precision=resolve_precision(training.precision, node_class.device) or PrecisionUsed.FP32,
    )
    workload = question.workloads[candidate.method]
    sized = solve(workload, place, question.data, training.batch_size, training.epochs)
    return Sizing(candidate=candidate, workload=workload, place=place, sized=sized)


def has_devices(question: Question, candidate: Candidate) -> Rejection | None:
    """As many devices as the option takes are there, and may be used together."""
    node_class, limit = candidate.node_class, question.capacity.max_devices
    if candidate.devices_per_node > node_class.devices_per_node or candidate.nodes > node_class.nodes:
        asked = f"{plural(candidate.nodes, 'node')} with {plural(candidate.devices_per_node, 'device')} each"
        there = f"{plural(node_class.nodes, 'node')} with {node_class.devices_per_node}"
        return Rejection(
            option=candidate.id,
            reason=RejectionReason.NOT_ENOUGH_DEVICES,
            message=f"needs {asked}; {question.capacity.origin} has {there} ({node_class.device.product})",
            remedy="write smaller counts in spec.hardware, or leave them out",
        )
    if limit is not None and candidate.world > limit:
        return Rejection(
            option=candidate.id,
            reason=RejectionReason.NOT_ENOUGH_DEVICES,
            message=f"needs {candidate.world} devices together; whoever starts it here can use at most "
            f"{plural(limit, 'device')} together",
            remedy=f"take an option of {plural(limit, 'device')}" if limit else "",
        )
    return None


def computes_precision(question: Question, candidate: Candidate) -> Rejection | None:
    """The device computes in the arithmetic that is asked for."""
    device, asked = candidate.node_class.device, question.spec.training.precision
    if resolve_precision(asked, device) is not None:
        return None
    instead = "FP32" if device.accelerator is Accelerator.CPU else "FP16"
    return Rejection(
        option=candidate.id,
        reason=RejectionReason.UNSUPPORTED_PRECISION,
        message=f"needs {asked.value}, which {device.product} doesn't compute natively",
        remedy=f"write spec.training.precision: {instead}, or Auto",
    )


def shares_batch(question: Question, candidate: Candidate) -> Rejection | None:
    """Every device gets as many rows as the others."""
    batch, world = question.spec.training.batch_size, candidate.world
    if batch % world == 0:
        return None
    return Rejection(
        option=candidate.id,
        reason=RejectionReason.BATCH_NOT_DIVISIBLE,
        message=f"needs a batchSize that {plural(world, 'device')} can share evenly; it is {batch}",
        remedy=f"write spec.training.batchSize: {-(-batch // world) * world}",
    )


def fits_device(question: Question, sizing: Sizing) -> Rejection | None:
    """The peak fits a device's free memory."""
    del question
    device = sizing.place.node_class.device
    if fits(sizing.sized.memory, device):
        return None
    need = sizing.sized.memory.device_total
    have = device.free if need > device.free else Bytes(usable(device))
    needs, has = pair(need, have)
    unit = "a node" if device.accelerator is Accelerator.CPU else "a device"
    if need > device.free:
        rest = f"{unit} has {has} free of {gib(device.memory)}"
    else:
        rest = f"{unit} has {has} to plan with: {gib(device.free)} free, {share(RESERVE, 1)} of it kept in reserve"
    return Rejection(
        option=sizing.candidate.id,
        reason=RejectionReason.OUT_OF_MEMORY,
        message=f"needs {needs} {unit}, {rest}",
        remedy="",
        need=Bytes(need),
        have=have,
    )


def fits_host(question: Question, sizing: Sizing) -> Rejection | None:
    """What is offloaded, and the processes, fit a node's free RAM."""
    del question
    node_class = sizing.place.node_class
    need, have = sizing.sized.memory.host, int(node_class.free_ram * (1 - HOST_RESERVE))
    if need <= have:
        return None
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


def fits_disk(question: Question, sizing: Sizing) -> Rejection | None:
    """Checkpoints and the result fit the disk."""
    need = download_bytes(question) + disk_bytes(question, sizing.workload, sizing.sized.setting.sharding)
    have = sizing.place.node_class.disk
    if need <= have:
        return None
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


def disk_bytes(question: Question, workload: Workload, sharding: Sharding) -> int:
    """What a run writes at most: kept checkpoints and one in the making, the staged result and the result."""
    result = ELEMENT_BYTES[sharding.precision] * workload.trainable + SMALL_FILES
    checkpoint = result + _engine_bytes(workload, sharding)
    return (question.spec.training.checkpoint.keep + 1) * checkpoint + 2 * result


def _engine_bytes(workload: Workload, sharding: Sharding) -> int:
    """DeepSpeed's own part of a checkpoint: optimizer state, and what it trains once more below ZeRO-3."""
    element, a = ELEMENT_BYTES[sharding.precision], workload.architecture
    state = optimizer_bytes(sharding) * workload.trainable
    if sharding.stage == 3:
        return state
    # frozen weights are left out by name, and a tied table has two names of which one is
    head = a.embedding_parameters if workload.frozen and a.tied else 0
    return state + element * (workload.trainable + head)


def download_bytes(question: Question) -> int:
    """Disk for weights that aren't here yet: those whose size isn't known; nearly all are stored in 16 bits."""
    return 0 if question.weight_bytes else 2 * question.architecture.total_parameters


BEFORE_SIZING: Final[tuple[Callable[[Question, Candidate], Rejection | None], ...]] = (
    has_devices,
    computes_precision,
    shares_batch,
)
"""Checks that need no arithmetic."""

AFTER_SIZING: Final[tuple[Callable[[Question, Sizing], Rejection | None], ...]] = (fits_device, fits_host, fits_disk)
"""Checks of what the solved setting needs."""

NEEDS_HARDWARE: Final = frozenset({RejectionReason.OUT_OF_MEMORY, RejectionReason.OUT_OF_HOST_MEMORY})
"""Reasons that other hardware would help against."""
