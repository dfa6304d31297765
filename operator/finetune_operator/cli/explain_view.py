"""`finetune plan --explain`: how the memory of one option adds up, line by line."""

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from finetune_operator.cli.output import bare_table, print_table
from finetune_operator.planner.explain import Explanation
from finetune_operator.planner.plan import Plan
from finetune_operator.units import gib


def explanation_value(plan: Plan, explanation: Explanation) -> dict[str, Any]:
    """The same for programs; bytes as whole numbers."""
    return {
        "option": plan.id,
        "peak": explanation.peak,
        "components": [asdict(line) for line in explanation.lines],
        "total": plan.memory.device_total,
        "available": plan.available,
        "host": asdict(explanation.host) if explanation.host is not None else None,
    }


def print_explanation(out: Console, plan: Plan, explanation: Explanation) -> None:
    """A sum as a person checks it: parts, total, what is there."""
    out.print(Text(f"{plan.id}: the memory of one device at its peak, {explanation.peak}"))
    out.print()
    table = bare_table("COMPONENT", "MEMORY", "MADE OF")
    for line in explanation.lines:
        table.add_row(line.component, gib(line.bytes), line.formula)
    table.add_row("total", gib(plan.memory.device_total), f"{gib(plan.available)} of a device are free", style="bold")
    if explanation.host is not None:
        table.add_row(explanation.host.component, gib(explanation.host.bytes), explanation.host.formula)
    print_table(out, table)
