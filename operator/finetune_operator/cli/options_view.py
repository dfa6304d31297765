"""The list of options as a person reads it: answer first, then evidence, then the next command."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from finetune_operator.cli.output import (
    GAP,
    NARROW_GAP,
    bare_table,
    fits,
    print_command,
    print_parts,
    print_table,
    print_text,
)
from finetune_operator.lifecycle.options import advice_status, option_statuses, rejected_statuses, share
from finetune_operator.lifecycle.selection import hardware_phrase
from finetune_operator.local.road import Prospect
from finetune_operator.planner.architecture import read_architecture
from finetune_operator.planner.capacity import NodeClass
from finetune_operator.planner.plan import Interval, Plan, PlanSet, Rejection
from finetune_operator.units import gib, human_count, human_duration

STAR: Final = "★"
"""Marks the recommended option."""

DISPENSABLE: Final = ("RANGE", "TRAINS", "TOKENS/S", "COST")
"""Columns that a narrow terminal goes without, first the one that is missed least."""


def options_value(prospect: Prospect) -> dict[str, Any]:
    """The plan for programs, in the words of a job's status."""
    plans, data = prospect.plans, prospect.inspected.facts.dataset
    advice = advice_status(plans.advice)
    return {
        "model": prospect.inspected.model,
        "dataset": {"rows": data.rows, "tokens": data.tokens, "estimated": prospect.inspected.inspection is None},
        "origin": prospect.capacity.origin,
        "options": [_dump(o) for o in option_statuses(plans)],
        "rejected": [_dump(r) for r in rejected_statuses(plans)],
        "hardware": _dump(advice) if advice is not None else None,
    }


def _dump(model: Any) -> Any:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def print_options(out: Console, prospect: Prospect, job: Path, nodes: Path | None) -> None:
    """The whole answer of `finetune plan`."""
    print_head(out, prospect)
    if prospect.plans.viable:
        print_viable(out, prospect.plans)
    else:
        _print_infeasible(out, prospect)
    _print_rejected(out, prospect.plans)
    _print_next(out, prospect.plans, job, nodes)


def print_head(out: Console, prospect: Prospect) -> None:
    """Model, data and hardware in two lines."""
    data, job = prospect.inspected.facts.dataset, prospect.job
    base = read_architecture(prospect.inspected.facts.model.config).total_parameters
    about = "about " if prospect.inspected.inspection is None else ""
    parts = [
        prospect.inspected.model,
        f"{human_count(base)} parameters",
        f"{data.rows} rows, {about}{human_count(data.tokens)} tokens an epoch",
        f"longest {data.longest} of {job.spec.dataset.max_length}",
        f"{job.spec.training.epochs} epochs of {job.spec.training.batch_size} rows a step",
    ]
    print_parts(out, parts, separator=" · ")
    classes = [_hardware(c) for c in prospect.capacity.classes] or ["no device"]
    label = Text(f"on {prospect.capacity.origin}: ", style="dim")
    print_parts(out, classes, separator=", ", label=label, indent=3, style="dim")
    out.print()


def _hardware(node: NodeClass) -> str:
    device = node.device
    free = gib(device.memory) if device.free == device.memory else f"{_of(device.free, device.memory)} free"
    nodes = f"{node.nodes} nodes of " if node.nodes > 1 else ""
    nvme = ", NVMe" if node.nvme else ""
    return f"{nodes}{node.devices_per_node} x {device.product} ({free}{nvme})"


def print_viable(out: Console, plans: PlanSet) -> None:
    """The viable options as a table, and why the first is recommended."""
    table, without = _widest(out, plans.viable)
    print_table(out, table)
    if without:
        out.print(Text(f"(a wider terminal also shows {', '.join(without)})", style="dim"))
    out.print()
    for method, plan in {p.method: p for p in reversed(plans.viable)}.items():
        quality = f"{method.value}: quality {plan.quality}; best for {plan.best_for}"
        print_text(out, quality, indent=len(method.value) + 2)
    out.print()
    print_text(out, f"{STAR} recommended: {plans.viable[0].because}", indent=2)
    for plan in plans.viable[1:]:
        print_text(out, plan.because, label=Text(f"  {plan.id}: ", style="dim"), indent=4, style="dim")


def _widest(out: Console, plans: Sequence[Plan]) -> tuple[Table, Sequence[str]]:
    """The table with as much as the terminal has room for, and the columns that it goes without."""
    priced = any(p.cost is not None for p in plans)
    rows = [_cells(p, first=i == 0) for i, p in enumerate(plans)]
    headings = [h for h in rows[0] if priced or h != "COST"]
    table, without = _table(rows, headings, GAP), list[str]()
    for fewer in _ever_fewer(headings):
        if fits(out, table):
            break
        without = [h for h in headings if h not in fewer]
        table = _table(rows, fewer, NARROW_GAP)
    return table, without


def _ever_fewer(headings: Sequence[str]) -> Iterator[Sequence[str]]:
    yield headings
    for column in DISPENSABLE:
        if column in headings:
            headings = [h for h in headings if h != column]
            yield headings


def _table(rows: Sequence[dict[str, str]], headings: Sequence[str], gap: int) -> Table:
    table = bare_table(*(f"  {h}" if h == "OPTION" else h for h in headings), gap=gap)
    for index, row in enumerate(rows):
        table.add_row(*(row[h] for h in headings), style="bold" if index == 0 else "")
    return table


def _cells(plan: Plan, *, first: bool) -> dict[str, str]:
    need, have = plan.memory.device_total, plan.available
    return {
        "OPTION": f"{STAR if first else ' '} {plan.id}",
        "MEMORY A DEVICE": _of(need, have),
        "SPARE": f"{(have - need) / have:.0%}{' tight' if plan.tight else ''}",
        "TOKENS/S": human_count(plan.tokens_per_second.mid),
        "TIME": human_duration(plan.seconds.mid),
        "RANGE": _range(plan.seconds),
        "COST": f"{plan.cost.mid:.2f}" if plan.cost is not None else "-",
        "TRAINS": f"{human_count(plan.trainable_parameters)} "
        f"({share(plan.trainable_parameters, plan.total_parameters)})",
    }


def _of(part: int, whole: int) -> str:
    return f"{gib(part).removesuffix(' GiB')} of {gib(whole)}"


def _range(seconds: Interval) -> str:
    """Such as 3 to 5 min: the unit once, where both have the same, and the value once, where both are the same."""
    low, high = human_duration(seconds.low), human_duration(seconds.high)
    if low == high:
        return low
    number, unit = low.split()
    return f"{number} to {high}" if high.endswith(f" {unit}") else f"{low} to {high}"


def _print_infeasible(out: Console, prospect: Prospect) -> None:
    out.print(Text(f"Nothing that the job allows is viable on {prospect.capacity.origin}.", style="bold"))
    advice = prospect.plans.advice
    if advice is not None:
        print_text(out, hardware_phrase(advice.minimum), label=Text("  minimum      "), indent=15)
        print_text(out, hardware_phrase(advice.recommended), label=Text("  recommended  "), indent=15)


def _print_rejected(out: Console, plans: PlanSet) -> None:
    if not plans.rejected:
        return
    out.print()
    out.print(Text("Not viable here:"))
    table = bare_table("", "", "")
    table.show_header = False
    for rejection in plans.rejected:
        table.add_row(f"  {rejection.option}", rejection.message, _remedy(rejection))
    if fits(out, table):
        print_table(out, table)
        return
    for rejection in plans.rejected:
        print_text(out, rejection.message, label=Text(f"  {rejection.option}: "), indent=6)
        if _remedy(rejection):
            print_text(out, _remedy(rejection), label=Text(" " * 6), indent=6, style="dim")


def _remedy(rejection: Rejection) -> str:
    if rejection.remedy:
        return rejection.remedy
    return f"it takes {hardware_phrase(rejection.advice.minimum)}" if rejection.advice is not None else ""


def _print_next(out: Console, plans: PlanSet, job: Path, nodes: Path | None) -> None:
    out.print()
    if not plans.viable:
        print_text(out, "Nothing has been started. Change the job or the hardware, then plan again.")
        return
    first = plans.viable[0].id
    run = ["finetune", "run", str(job), "--option", first]
    plan = ["finetune", "plan", str(job), *(["--nodes", str(nodes)] if nodes is not None else []), "--explain", first]
    out.print(Text("Nothing has been started."))
    if nodes is None:
        print_command(out, "Choose with:         ", shlex.join(run))
    print_command(out, "In the manifest:     ", f"plan: {{option: {first}}}")
    print_command(out, "Why these numbers:   ", shlex.join(plan))
