"""The one change that would make a rejected way fit: the least harmful first, each found by estimating again."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from finetune_operator.api.spec import Accelerator, Method
from finetune_operator.api.spec import Hardware as AskedHardware
from finetune_operator.api.status import Offload
from finetune_operator.planner.advice import RAM_FREE, Advices, common_ram
from finetune_operator.planner.candidates import Candidate, enumerate_candidates
from finetune_operator.planner.capacity import NodeClass
from finetune_operator.planner.checks import HOST_RESERVE, NEEDS_HARDWARE, Sizing, Verdict, judge
from finetune_operator.planner.dominance import same_class
from finetune_operator.planner.plan import Advice, Hardware, MemoryEstimate, Rejection, RejectionReason
from finetune_operator.planner.question import Question, recipe_of
from finetune_operator.planner.sentences import plural
from finetune_operator.planner.solver import Place, fits, is_tight, least_memory
from finetune_operator.planner.workload import Workload, read_workload, workload_of
from finetune_operator.units import GIB, Bytes, gib

LEAST_RANK: Final = 4
"""No smaller adapter is proposed, nor one of less than a quarter of the rank that was asked for."""

LEAST_LENGTH: Final = 16
"""The smallest maxLength that a job can have."""

LIGHTER: Final = {Method.FULL: Method.LORA, Method.LORA: Method.QLORA, Method.DORA: Method.QLORA}
"""The method that does with less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """A way that was sized and doesn't fit, with what else was judged."""

    question: Question
    sizing: Sizing
    others: Sequence[Sizing]
    """Viable ways on the same class of nodes."""

    @property
    def place(self) -> Place:
        """Where it was to run."""
        return self.sizing.place

    @property
    def candidate(self) -> Candidate:
        """The way."""
        return self.sizing.candidate


class Judged:
    """All ways on each class of nodes, also those that the job leaves out: judged when they are first asked for."""

    def __init__(self, question: Question, verdicts: Sequence[Verdict]) -> None:
        """Begin with what was judged already."""
        self._question, self._verdicts = question, verdicts
        self._widened: dict[NodeClass, Sequence[Sizing]] = {}

    def viable(self, candidate: Candidate) -> Sequence[Sizing]:
        """On that candidate's class, in the order of candidates."""
        node_class = candidate.node_class
        if node_class not in self._widened:
            self._widened[node_class] = tuple(self._on(candidate))
        return self._widened[node_class]

    def _on(self, candidate: Candidate) -> Iterator[Sizing]:
        known = [v for v in self._verdicts if same_class(v.candidate.node_class, candidate.node_class)]
        for verdict in (*known, *self._beyond(candidate, {v.candidate.id for v in known})):
            if verdict.objection is None and verdict.sizing is not None:
                yield verdict.sizing

    def _beyond(self, candidate: Candidate, known: Collection[str]) -> Iterator[Verdict]:
        """Ways that the job leaves out."""
        spec = self._question.spec
        if spec.method is None and spec.hardware.nodes is None and spec.hardware.devices_per_node is None:
            return
        question = _widen(self._question)
        asked = question.spec
        for other in enumerate_candidates(None, asked.hardware, question.capacity, asked.training.optimizer):
            if same_class(other.node_class, candidate.node_class) and other.id not in known:
                yield judge(question, other)


def _widen(question: Question) -> Question:
    """The same question with the method and the number of devices left open."""
    spec, hardware = question.spec, question.spec.hardware
    free = AskedHardware.model_copy(hardware, update={"nodes": None, "devices_per_node": None})
    recipe = recipe_of(spec, question.architecture, question.data)
    every = {
        m: question.workloads.get(m) or workload_of(question.architecture, m, spec.adapter, spec.objective, recipe)
        for m in Method
    }
    return replace(question, spec=spec.model_copy(update={"method": None, "hardware": free}), workloads=every)


def with_remedy(question: Question, judged: Judged, sizing: Sizing, found: Rejection, advice: Advices) -> Rejection:
    """The rejection with the one change that would help, and the hardware that its method takes."""
    if found.reason not in NEEDS_HARDWARE:
        return found
    hardware = advice[sizing.candidate.method]
    near = Near(question=question, sizing=sizing, others=judged.viable(sizing.candidate))
    changes = (change(near) for change in (IN_MEMORY if found.reason is RejectionReason.OUT_OF_MEMORY else IN_RAM))
    first = next((c for c in changes if c), _other_hardware(sizing, found, hardware))
    return replace(found, remedy=f"would fit: {first}" if first else "", advice=hardware)


def _other_hardware(sizing: Sizing, found: Rejection, hardware: Advice | None) -> str:
    """More RAM where that lacks; else the recommended kind, or the least for a way that offloads, which does so too."""
    if found.reason is RejectionReason.OUT_OF_HOST_MEMORY:
        return f"nodes with {common_ram(sizing.sized.host) // GIB} GiB of RAM"
    if hardware is None:
        return ""
    offloads = sizing.candidate.offload is not Offload.NONE
    return describe(hardware.minimum if offloads else hardware.recommended)


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


def _freed(near: Near) -> str:
    """The same device without what others hold of it."""
    device = near.place.node_class.device
    whole = Bytes(int(device.memory * RAM_FREE)) if device.accelerator is Accelerator.CPU else device.memory
    held = whole - device.free
    if held <= 0:
        return ""
    place = replace(near.place, node_class=replace(near.place.node_class, device=replace(device, free=whole)))
    if not fits(near.sizing.sized.memory, place):
        return ""
    return f"the {gib(held)} that others use of it, freed"


def _smaller_rank(near: Near) -> str:
    adapter = near.question.spec.adapter
    rank = adapter.rank // 2
    while near.candidate.method is not Method.FULL and rank >= max(LEAST_RANK, adapter.rank // 4):
        smaller = adapter.model_copy(update={"rank": rank})
        w = near.sizing.workload
        workload = read_workload(w.architecture, w.method, smaller, w.objective, w.recipe)
        memory = _least(near, workload, near.question.data.longest)
        if fits(memory, near.place):
            return f"rank {rank} ({_size(near, memory)})"
        rank //= 2
    return ""


def _shorter_rows(near: Near) -> str:
    """The longest power of two below today's longest row that fits, while at least half of the rows stay."""
    data = near.question.data
    # what shorter rows can make smaller; a CPU's context is larger with longer ones, too
    rest = replace(near.sizing.sized.memory, activations=Bytes(0), logits=Bytes(0), context=Bytes(0))
    if not fits(rest, near.place):
        return ""
    length = 1
    while 2 * length < data.longest:
        length *= 2
    while length >= max(LEAST_LENGTH, data.p50):
        memory = _least(near, near.sizing.workload, length)
        if fits(memory, near.place):
            return f"maxLength {length} ({_size(near, memory)})"
        length //= 2
    return ""


def _higher_stage(near: Near) -> str:
    """ZeRO's stages share out more the higher they are."""
    found = [s for s in _same_devices(near) if s.place.stage > near.place.stage and s.place.offload is Offload.NONE]
    return next((f"ZeRO-{s.place.stage} ({_option(s)})" for s in found), "")


def _offloaded(near: Near) -> str:
    found = [s for s in _same_devices(near) if s.place.offload is not Offload.NONE]
    return next((f"CPU offload ({_option(s)}, {gib(s.sized.host)} of RAM a node)" for s in found), "")


def _same_devices(near: Near) -> list[Sizing]:
    c = near.candidate
    return [s for s in near.others if s.candidate.method is c.method and _counts(s) == (c.nodes, c.devices_per_node)]


def _counts(sizing: Sizing) -> tuple[int, int]:
    return sizing.candidate.nodes, sizing.candidate.devices_per_node


def _more_devices(near: Near) -> str:
    """The fewest more of the same class, sharing instead of offloading."""
    c = near.candidate
    found = [
        s
        for s in near.others
        if s.candidate.method is c.method and s.candidate.world > c.world and s.place.offload is Offload.NONE
    ]
    least = min(
        found, key=lambda s: (s.candidate.world, is_tight(s.sized.total, s.place.node_class.device)), default=None
    )
    return f"{plural(least.candidate.world, 'device')} ({_option(least, ' a device')})" if least is not None else ""


def _lighter_method(near: Near) -> str:
    found = _lighter(near)
    return f"{found.candidate.method.value} ({_option(found)})" if found is not None else ""


def _lighter(near: Near) -> Sizing | None:
    """On the same devices; LoRA in place of Full only where LoRA isn't asked about, and so isn't in the list."""
    c = near.candidate
    lighter = LIGHTER.get(c.method)
    if lighter is None or (c.method is Method.FULL and lighter in near.question.workloads):
        return None
    same = (s for s in near.others if s.candidate.method is lighter and _counts(s) == (c.nodes, c.devices_per_node))
    return next(same, None)


def _least(near: Near, workload: Workload, length: int) -> MemoryEstimate:
    data, batch = near.question.data, near.question.spec.training.batch_size
    return least_memory(workload, near.place, length, batch, data.evaluated.within(length))


def _size(near: Near, memory: MemoryEstimate) -> str:
    tight = ", tight" if is_tight(memory.device_total, near.place.node_class.device) else ""
    return f"{gib(memory.device_total)}{tight}"


def _option(sizing: Sizing, each: str = "") -> str:
    tight = ", tight" if is_tight(sizing.sized.total, sizing.place.node_class.device) else ""
    return f"{sizing.candidate.id}: {gib(Bytes(sizing.sized.total))}{each}{tight}"


def _freed_ram(near: Near) -> str:
    """The same node without what others hold of its RAM."""
    node_class = near.place.node_class
    held = node_class.ram - node_class.free_ram
    if held <= 0 or near.sizing.sized.host > node_class.ram * RAM_FREE * (1 - HOST_RESERVE):
        return ""
    return f"the {gib(held)} of RAM that others use of it, freed"


def _less_in_ram(near: Near) -> str:
    """The same method on the same devices with less of it in RAM, the least offloaded first."""
    found = _same_devices(near)
    least = min(found, key=lambda s: (s.candidate.offload is not Offload.NONE, s.sized.host), default=None)
    if least is None:
        return ""
    stage = f" with ZeRO-{least.candidate.zero_stage}" if least.candidate.zero_stage else ""
    kept = "without offloading" if least.candidate.offload is Offload.NONE else "with less of it offloaded"
    return f"{kept}{stage} ({_in_ram(least)})"


def _other_devices(near: Near) -> str:
    """The same method on more devices of the class, which share what is offloaded; else on fewer."""
    c = near.candidate
    found = [s for s in near.others if s.candidate.method is c.method and s.candidate.world != c.world]
    least = min(found, key=lambda s: (s.candidate.world < c.world, abs(s.candidate.world - c.world)), default=None)
    return f"{plural(least.candidate.world, 'device')} ({_in_ram(least)})" if least is not None else ""


def _lighter_in_ram(near: Near) -> str:
    found = _lighter(near)
    return f"{found.candidate.method.value} ({_in_ram(found)})" if found is not None else ""


def _in_ram(sizing: Sizing) -> str:
    return f"{sizing.candidate.id}: {gib(sizing.sized.host)} of RAM a node"


IN_RAM: Final[tuple[Callable[[Near], str], ...]] = (_freed_ram, _less_in_ram, _other_devices, _lighter_in_ram)
"""What helps where a node's RAM is too small."""

IN_MEMORY: Final[tuple[Callable[[Near], str], ...]] = (
    _freed,
    _smaller_rank,
    _shorter_rows,
    _higher_stage,
    _offloaded,
    _more_devices,
    _lighter_method,
)
"""What helps where a device's memory is too small; the least harm to the result, and to others, first."""
