"""How one plan's memory adds up: each component as a sum in words and numbers; and how its rows lie."""

from collections.abc import Mapping
from dataclasses import dataclass

from finetune_operator.api.spec import Accelerator, FineTuneJobSpec, Method
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.activations import HALF, WIDE
from finetune_operator.planner.architecture import Norm, read_architecture
from finetune_operator.planner.evaluation import evaluation_of
from finetune_operator.planner.facts import DatasetFacts, Facts
from finetune_operator.planner.head import CPU_TILE_BYTES, TILE_TOKENS, head_copy_bytes, tile_columns
from finetune_operator.planner.memory import (
    ALLOCATOR_SHARE,
    COLLECTIVES,
    PROCESS,
    TURING_CONTEXT,
    Peak,
    highest_of,
    layer_bytes,
    merged_bytes,
    working_activations,
)
from finetune_operator.planner.plan import Plan, PrecisionUsed
from finetune_operator.planner.question import recipe_of
from finetune_operator.planner.row_sentences import tell_rows
from finetune_operator.planner.sentences import plural, share
from finetune_operator.planner.setting import DRIVER_CONTEXT, Setting
from finetune_operator.planner.states import ELEMENT_BYTES, Sharding, optimizer_bytes
from finetune_operator.planner.workload import Workload, read_workload
from finetune_operator.units import Bytes, gib, human_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One component."""

    component: str
    formula: str
    """What it is made of, in words and numbers."""
    bytes: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A plan's memory, line by line; the lines add up to what one device must hold. And how rows lie in its passes."""

    peak: str
    """When it is highest."""
    lines: tuple[Line, ...]
    phases: Mapping[str, Bytes]
    """What a device has to have in each phase that a run measures."""
    rows: str
    """How rows of a step lie in its forward passes, and why."""
    host: Line | None
    """RAM of a node; None for a CPU, whose RAM is the device's memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A plan with what it was made from."""

    plan: Plan
    workload: Workload
    setting: Setting
    peak: Peak

    @property
    def element(self) -> int:
        return ELEMENT_BYTES[self.plan.precision]

    @property
    def stage(self) -> int:
        return self.plan.zero_stage


def explain(plan: Plan, spec: FineTuneJobSpec, facts: Facts) -> Explanation:
    """The arithmetic of a plan that was made from that job and those facts."""
    architecture = read_architecture(facts.model.config)
    recipe = recipe_of(spec, architecture, facts.dataset)
    workload = read_workload(architecture, plan.method, spec.adapter, spec.objective, recipe)
    setting = setting_of(plan, facts.dataset)
    known = _Known(plan=plan, workload=workload, setting=setting, peak=highest_of(workload, setting))
    peak = known.peak
    formulas = {
        "weights": _weights(known),
        "gradients": _gradients(known),
        "optimizer": _optimizer(known),
        "activations": _activations(known),
        "logits": _logits(known),
        "buckets": "gradients on their way between devices: ZeRO's reduce bucket",
        "gathered": _gathered(known),
        "context": _context(known),
    }
    lines = tuple(
        Line(component=name, formula=formulas[name], bytes=Bytes(count))
        for name, count in plan.memory.components().items()
        if count
    )
    rows = tell_rows(spec, architecture.family, facts.dataset, plan)
    return Explanation(peak=peak.value, lines=lines, phases=plan.phases, rows=rows, host=_host(known))


def setting_of(plan: Plan, data: DatasetFacts) -> Setting:
    """The setting that a plan's memory was estimated for."""
    return Setting(
        accelerator=plan.node_class.device.accelerator,
        sharding=Sharding(plan.zero_stage, plan.offload, plan.world, plan.precision),
        ranks_per_node=plan.devices_per_node,
        micro_batch=plan.micro_batch,
        length=data.longest,
        accumulation=plan.accumulation,
        checkpointing=plan.checkpointing,
        context=DRIVER_CONTEXT if plan.node_class.device.bf16 else TURING_CONTEXT,
        evaluated=data.evaluated,
    )


def _shared(known: _Known, from_stage: int) -> str:
    """How ZeRO divides a component."""
    if known.stage < from_stage or known.plan.world == 1:
        return ""
    return f" / {known.plan.world} devices (ZeRO-{known.stage})"


def _weights(known: _Known) -> str:
    w = known.workload
    own = human_count(w.trainable)
    if known.peak is Peak.EVALUATION and w.method is not Method.FULL:
        return f"{_frozen(known)}; the adapter's {own} x {WIDE} bytes, as it is loaded for use"
    if not w.frozen:
        return f"{own} parameters x {known.element} bytes{_shared(known, 3)}"
    if w.method is Method.FULL:
        return f"{own} parameters, and a reference model's, x {known.element} bytes{_shared(known, 3)}"
    if not w.quantised:
        what = f"{human_count(w.frozen)} frozen and {own} adapter"
        return f"{what} parameters x {known.element} bytes{_shared(known, 3)}"
    packed = _packed(w)
    plain = f"{human_count(w.frozen - w.quantised)} not quantised and {own} adapter x {known.element} bytes"
    shared = _shared(known, 3)
    return f"({packed}; {plain}){shared}" if shared else f"{packed}; {plain}"


def _packed(workload: Workload) -> str:
    return f"{human_count(workload.quantised)} in 4 bits x {workload.recipe.quantised_bytes:.4f} bytes"


def _frozen(known: _Known) -> str:
    w = known.workload
    plain = f"{human_count(w.frozen - w.quantised)} frozen parameters x {known.element} bytes"
    return f"{_packed(w)}; {plain}" if w.quantised else plain


def _gradients(known: _Known) -> str:
    w = known.workload
    if known.plan.offload is not Offload.NONE:
        return "the largest tensor on its way back from RAM, 6 bytes an element"
    count = f"{human_count(w.trainable)} trainable"
    if known.peak is not Peak.STEP:
        return f"{count} x {known.element} bytes{_shared(known, 2)}"
    match known.stage:
        case 0:
            copy = "" if known.plan.precision is PrecisionUsed.FP32 else " and 4 for a 32-bit copy"
            return f"{count} x {known.element} bytes{copy}"
        case 1 | 2:
            return f"{count} x 8 bytes, copies for the step included{_shared(known, 1)}"
        case _:
            return f"{count} x {known.element} bytes{_shared(known, 3)}, and 6 for what is stepped on at once"


def _optimizer(known: _Known) -> str:
    if known.workload.eight_bit:
        w, copy = known.workload, "" if known.plan.precision is PrecisionUsed.FP32 else "32-bit copy, and "
        wide = f"; {human_count(w.wide_moments)} of them in 32 bits" if w.wide_moments else ""
        return (
            f"{human_count(w.trainable)} trainable: {copy}AdamW's two moments in 8 bits with a scale for each 256{wide}"
        )
    each = optimizer_bytes(known.setting.sharding)
    parts = "AdamW's two moments" if each == 8 else "32-bit copy and AdamW's two moments"
    return f"{human_count(known.workload.trainable)} trainable x {each} bytes ({parts}){_shared(known, 1)}"


def _activations(known: _Known) -> str:
    s, w = known.setting, known.workload
    if known.peak is Peak.EVALUATION:
        return _evaluated(known)
    if known.peak is Peak.GENERATION:
        return f"keys and values of {plural(s.micro_batch, 'row')} of {s.length} tokens that the model writes"
    kept = _kept(known)
    if known.peak is Peak.FORWARD and w.merged:
        return f"{kept}; DoRA's copies to measure a weight's rows: {gib(merged_bytes(w))}"
    return f"{kept}{_working(known)}" if known.peak is Peak.BACKWARD else kept


def _evaluated(known: _Known) -> str:
    """What held-out rows take."""
    rows = known.setting.evaluated
    if rows is None:
        raise ValueError("nothing is evaluated")
    passed = evaluation_of(known.workload, known.setting.sharding, rows).passed
    cached = f"keys and values of {plural(rows.answering, 'answer')} of up to {rows.reach} tokens: {gib(passed.cache)}"
    through = f"held-out rows of {rows.tokens} tokens together through one layer at a time, of which nothing stays"
    return f"{through}; {cached}" if passed.cache else through


def _kept(known: _Known) -> str:
    """What all layers keep for the backward pass."""
    s, w = known.setting, known.workload
    kind = "line" if w.recipe.packed else "row"
    rows = f"{plural(s.micro_batch * w.sequences, kind)} of {s.length} tokens"
    if s.checkpointing is not Checkpointing.NONE:
        each = human_count(known.element * w.architecture.hidden)
        return f"{rows} x {w.architecture.layers} layers' inputs of {each} bytes a token"
    tokens = s.tokens * w.sequences
    each_kind = (f"{c.layers} layers x {human_count(layer_bytes(w, c, s) // tokens)} bytes a token" for c in w.costs)
    return f"{rows} x {' and '.join(each_kind)}"


def _working(known: _Known) -> str:
    """What one layer's backward pass adds to that."""
    s, w = known.setting, known.workload
    parts = ["its gradients"]
    if s.checkpointing is not Checkpointing.NONE:
        parts.insert(0, "its own activations, computed again")
    if w.unpacked:
        parts.append(f"4-bit weights unpacked one at a time, at most {gib(HALF * w.unpacked)}")
    if w.merged:
        parts.append(f"or DoRA's copies to measure a weight's rows, {gib(merged_bytes(w))}")
    return f"; one layer's backward pass {gib(working_activations(w, s))}: {', '.join(parts)}"


def _logits(known: _Known) -> str:
    s, a = known.setting, known.workload.architecture
    tokens = s.tokens * known.workload.sequences
    full = known.workload.method is Method.FULL
    head = f"{human_count(a.vocab)} entries x {human_count(a.hidden)}"
    if known.peak is Peak.EVALUATION and s.evaluated is not None:
        asked = f"{s.evaluated.positions} positions of answers, of which {s.evaluated.targets} are judged"
        return f"{asked}, x {human_count(a.vocab)} entries"
    if known.peak is not Peak.LOSS:
        return f"the output head's own gradient: {head} x {known.element} bytes"
    on_cpu = s.accelerator is Accelerator.CPU
    tile = f"a tile of {min(tokens, TILE_TOKENS)} x {tile_columns(known.workload, s)} logits"
    width = known.element + (CPU_TILE_BYTES if on_cpu else 0)
    own = f"; the head's own gradient: {head} x {4 + known.element} bytes" if full else ""
    copied = head_copy_bytes(known.workload, s)
    copy = f"; its part of the head x 4 bytes: {gib(copied)}" if copied else ""
    return f"{tile} x {width} bytes{copy}; {tokens} tokens x {a.hidden} x {_row_bytes(known)} bytes{own}"


def _row_bytes(known: _Known) -> int:
    """What the head takes for each element of a row: the last norm's copy, the row, its gradient."""
    wide = known.workload.architecture.norm is not Norm.LAYER
    return (WIDE if wide else known.element) + known.element + WIDE


def _gathered(known: _Known) -> str:
    if known.peak is Peak.LOADING:
        return "the rest of the weights, which every device rounds to 4 bits, and holds before they are divided"
    return f"weights gathered for the layers at work, at most about 1.0 B x {known.element} bytes, and the embeddings"


def _context(known: _Known) -> str:
    if known.setting.accelerator is Accelerator.CPU:
        heap = gib(known.plan.memory.context - PROCESS)
        return f"{gib(PROCESS)} for Python, torch and what stands on them, {heap} that the heap keeps of freed tensors"
    links = f", {gib(COLLECTIVES)} for NCCL" if known.plan.world > 1 else ""
    return (
        f"{gib(known.setting.context)} for the driver{links}, {share(ALLOCATOR_SHARE, 1)} of the rest for the allocator"
    )


def _read(known: _Known) -> str:
    w = known.workload
    if known.plan.precision is not PrecisionUsed.BF16 and not w.quantised:
        return f"the model each, converted to {known.plan.precision.value},"
    if not w.quantised and any(g.feed_forward.expert_parameters for g in w.architecture.groups):
        return "all routed experts each, put together, and the largest tensor"
    return "a tensor each, the largest,"


def _host(known: _Known) -> Line | None:
    if known.setting.accelerator is Accelerator.CPU:
        return None
    ranks = known.plan.devices_per_node
    what = "1 process" if ranks == 1 else f"{ranks} processes"
    state = "gradients, optimizer state and 32-bit copies; pinned buffers are powers of two"
    moved = {
        Offload.NONE: f", and {_read(known)} while weights are read",
        Offload.OPTIMIZER: f", with {state}",
        Offload.PARAMETERS: f", with weights, {state}",
    }
    return Line(
        component="host",
        formula=f"RAM a node: {what}{moved[known.plan.offload]}",
        bytes=known.plan.memory.host,
    )
