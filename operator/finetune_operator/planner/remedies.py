"""The smallest change that would make a rejected way fit, found by estimating again with one thing changed."""

from collections.abc import Mapping
from dataclasses import replace

from finetune_operator.api.spec import Method
from finetune_operator.api.status import Offload
from finetune_operator.planner.candidates import strategies
from finetune_operator.planner.checks import HOST_RESERVE, NEEDS_HARDWARE, Sizing
from finetune_operator.planner.plan import Advice, Hardware, Rejection, RejectionReason
from finetune_operator.planner.question import Question
from finetune_operator.planner.sentences import plural
from finetune_operator.planner.solver import fits, is_tight, least_memory
from finetune_operator.units import GIB, Bytes, gib


def with_remedy(question: Question, sizing: Sizing, found: Rejection, advice: Mapping[Method, Advice]) -> Rejection:
    """The rejection with what would help: changes that this hardware allows, and other hardware."""
    if found.reason not in NEEDS_HARDWARE:
        return found
    hardware = advice.get(sizing.candidate.method)
    shorter = _shorter_rows(question, sizing) if found.reason is RejectionReason.OUT_OF_MEMORY else ""
    offloaded = _offloaded(question, sizing) if found.reason is RejectionReason.OUT_OF_MEMORY else ""
    # who needs only shorter rows needs no other hardware
    other = describe(hardware.recommended) if hardware is not None and not shorter else ""
    changes = ", or ".join(change for change in (shorter, offloaded, other) if change)
    return replace(found, remedy=f"would fit: {changes}" if changes else "", advice=hardware)


def describe(hardware: Hardware) -> str:
    """Such as: 4 devices of 80 GiB with ZeRO-3."""
    size = f"{hardware.memory // GIB} GiB"
    if hardware.option.endswith("cpu"):
        return f"a machine with {size} of RAM"
    words = f"{plural(hardware.devices // hardware.nodes, 'device')} of {size}"
    if hardware.nodes > 1:
        words = f"{hardware.nodes} nodes with {words} each"
    if hardware.zero_stage:
        words += f" with ZeRO-{hardware.zero_stage}"
    if hardware.offload is not Offload.NONE:
        words += f" and CPU offload ({hardware.ram // GIB} GiB RAM)"
    return words


def _shorter_rows(question: Question, sizing: Sizing) -> str:
    """The longest power of two below today's longest row that fits, while at least half of the rows stay."""
    device = sizing.place.node_class.device
    # what shorter rows can make smaller; a CPU's context is larger with longer ones, too
    if not fits(replace(sizing.sized.memory, activations=Bytes(0), logits=Bytes(0), context=Bytes(0)), device):
        return ""
    length = 1
    while 2 * length < question.data.longest:
        length *= 2
    while length >= max(16, question.data.p50):
        memory = least_memory(sizing.workload, sizing.place, length, question.spec.training.batch_size)
        if fits(memory, device):
            tight = ", tight" if is_tight(memory, device) else ""
            return f"maxLength {length} ({gib(memory.device_total)}{tight})"
        length //= 2
    return ""


def _offloaded(question: Question, sizing: Sizing) -> str:
    """The same devices with state in RAM, where there is enough of it."""
    node_class, method = sizing.place.node_class, sizing.candidate.method
    ways = strategies(method, node_class.device.accelerator, sizing.place.world)
    for stage, offload in ways:
        if offload is Offload.NONE:
            continue
        place = replace(sizing.place, stage=stage, offload=offload)
        batch = question.spec.training.batch_size
        memory = least_memory(sizing.workload, place, question.data.longest, batch)
        if fits(memory, node_class.device) and memory.host <= node_class.free_ram * (1 - HOST_RESERVE):
            return f"ZeRO-{stage} with CPU offload ({gib(memory.host)} of RAM a node)"
    return ""
