"""`finetune plan --explain`: how the memory of one option adds up, line by line."""

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from finetune_operator.api.spec import Accelerator
from finetune_operator.cli.output import bare_table, print_table
from finetune_operator.planner.explain import Explanation
from finetune_operator.planner.plan import Plan
from finetune_operator.planner.sentences import share
from finetune_operator.units import gib


def explanation_value(plan: Plan, explanation: Explanation) -> dict[str, Any]:
    """The same for programs; bytes as whole numbers."""
    return {
        "option": plan.id,
        "peak": explanation.peak,
        "components": [asdict(line) for line in explanation.lines],
        "total": plan.memory.device_total,
        "allocated": plan.allocated,
        "reserved": plan.reserved,
        "process": plan.process,
        "available": plan.available,
        "margin": plan.kept_back,
        "left": plan.available - plan.kept_back - plan.memory.device_total,
        "host": asdict(explanation.host) if explanation.host is not None else None,
    }


def print_explanation(out: Console, plan: Plan, explanation: Explanation) -> None:
    """A sum as a person checks it: parts, total, what is there, what is left; then what tools will show."""
    out.print(Text(f"{plan.id}: the memory of one device at its peak, {explanation.peak}"))
    out.print()
    table = bare_table("COMPONENT", "MEMORY", "MADE OF")
    for line in explanation.lines:
        table.add_row(line.component, gib(line.bytes), line.formula)
    table.add_row("total", gib(plan.memory.device_total), "what a device has to have for the run", style="bold")
    table.add_row(
        "margin", gib(plan.kept_back), f"{share(plan.margin, 1)} of what is free (spec.hardware.memoryMargin)"
    )
    left = plan.available - plan.kept_back - plan.memory.device_total
    table.add_row("left", gib(left), f"of {gib(plan.available)} that are free{', tight' if plan.tight else ''}")
    if explanation.host is not None:
        table.add_row(explanation.host.component, gib(explanation.host.bytes), explanation.host.formula)
    print_table(out, table)
    out.print()
    _print_figures(out, plan)


def _print_figures(out: Console, plan: Plan) -> None:
    on_cpu = plan.node_class.device.accelerator is Accelerator.CPU
    cache = "with what the heap keeps of freed ones" if on_cpu else "with the allocator's cache, where there is room"
    outside = "resident memory of the process" if on_cpu else "with the driver's context: what nvidia-smi shows"
    table = bare_table("MEASURED AS", "MEMORY", "WHAT IT COUNTS")
    table.add_row("allocated", gib(plan.allocated), "tensors: the lines above but for context")
    table.add_row("reserved", gib(plan.reserved), cache)
    table.add_row("process", gib(plan.process), outside if on_cpu or plan.world == 1 else f"{outside}; with NCCL")
    print_table(out, table)
