"""`finetune plan --explain`: how the memory of one option adds up, line by line."""

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from finetune_operator.api.spec import Accelerator
from finetune_operator.cli.output import print_lines, print_text
from finetune_operator.planner.explain import Explanation
from finetune_operator.planner.plan import Plan, Rejection
from finetune_operator.planner.sentences import share
from finetune_operator.units import gib
from finetune_trainer.events import PHASES


def explanation_value(plan: Plan, explanation: Explanation, against: Rejection | None = None) -> dict[str, Any]:
    """The same for programs; bytes as whole numbers, what is left below zero where it doesn't fit."""
    return {
        "option": plan.id,
        "peak": explanation.peak,
        "components": [asdict(line) for line in explanation.lines],
        "phases": dict(explanation.phases),
        "rows": explanation.rows,
        "total": plan.memory.device_total,
        "allocated": plan.allocated,
        "reserved": plan.reserved,
        "process": plan.process,
        "available": plan.available,
        "margin": plan.kept_back,
        "left": plan.available - plan.kept_back - plan.memory.device_total,
        "host": asdict(explanation.host) if explanation.host is not None else None,
        "hostAvailable": plan.node_class.free_ram,
        "rejected": None if against is None else _rejection_value(against),
    }


def _rejection_value(against: Rejection) -> dict[str, Any]:
    return {
        "reason": against.reason.value,
        "message": against.message,
        "need": against.need,
        "have": against.have,
        "remedy": against.remedy,
    }


def print_explanation(out: Console, plan: Plan, explanation: Explanation, against: Rejection | None = None) -> None:
    """A sum as a person checks it: parts, total, what is there, what is left; then what tools will show.

    Args:
        out: where to.
        plan: the way.
        explanation: its arithmetic.
        against: why it isn't viable, where it isn't.
    """
    print_text(out, f"{plan.id}: the memory of one device at its peak, {explanation.peak}")
    if against is not None:
        print_text(out, f"not viable: {against.message}", indent=2, style="bold")
        if against.remedy:
            print_text(out, against.remedy, label=Text("  "), indent=2)
    out.print()
    rows = [(line.component, gib(line.bytes), line.formula) for line in explanation.lines]
    rows += [
        ("total", gib(plan.memory.device_total), "what a device has to have for the run"),
        ("margin", gib(plan.kept_back), f"{share(plan.margin, 1)} of what is free (spec.hardware.memoryMargin)"),
        _rest(plan),
    ]
    if explanation.host is not None:
        formula = f"{explanation.host.formula}; {gib(plan.node_class.free_ram)} are free"
        rows.append((explanation.host.component, gib(explanation.host.bytes), formula))
    print_lines(out, ("COMPONENT", "MEMORY", "MADE OF"), rows, "total")
    out.print()
    known = explanation.phases
    phases = [(name, gib(known[name]), words) for name, words in PHASES.items() if name in known]
    print_lines(out, ("PHASE", "MEMORY", "WHEN"), phases, "")
    out.print()
    _print_figures(out, plan)
    out.print()
    print_text(out, explanation.rows, label=Text("rows: "))


def _rest(plan: Plan) -> tuple[str, str, str]:
    """What is left, or lacking."""
    usable = plan.available - plan.kept_back
    left = usable - plan.memory.device_total
    if left < 0:
        return "lacking", gib(-left), f"beyond the {gib(usable)} to plan with"
    return "left", gib(left), f"of {gib(plan.available)} that are free{', tight' if plan.tight else ''}"


def _print_figures(out: Console, plan: Plan) -> None:
    on_cpu = plan.node_class.device.accelerator is Accelerator.CPU
    cache = "with what the heap keeps of freed ones" if on_cpu else "with the allocator's cache, where there is room"
    outside = "resident memory of the process" if on_cpu else "with the driver's context: what nvidia-smi shows"
    everything = outside if on_cpu or plan.world == 1 else f"{outside}; with NCCL"
    rows = (
        ("allocated", gib(plan.allocated), "tensors: the lines above but for context"),
        ("reserved", gib(plan.reserved), cache),
        ("process", gib(plan.process), everything),
    )
    print_lines(out, ("MEASURED AS", "MEMORY", "WHAT IT COUNTS"), rows, "")
