"""The list of options as a person reads it: answer first, then evidence, then the next command."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from finetune_operator.cli.options_table import STAR, UNPRICED, part_of, print_cells
from finetune_operator.cli.output import NARROW, print_command, print_parts, print_text
from finetune_operator.cli.rejected_view import NAMED, SHOWN_REJECTED, print_infeasible, print_rejected
from finetune_operator.lifecycle.options import advice_status, option_statuses, rejected_statuses, share
from finetune_operator.local.road import Prospect
from finetune_operator.planner.architecture import read_architecture
from finetune_operator.planner.capacity import NodeClass
from finetune_operator.planner.links import NETWORK
from finetune_operator.planner.plan import Interval, Plan, PlanSet
from finetune_operator.planner.ranking import rank_key
from finetune_operator.units import gib, human_count, human_duration


def options_value(prospect: Prospect, *, everything: bool = False) -> dict[str, Any]:
    """The plan for programs, in the words of a job's status; with everything, what isn't worth a line, too."""
    plans, data = prospect.plans, prospect.inspected.facts.dataset
    shown = _whole(plans) if everything else plans
    advice = advice_status(plans.advice)
    return {
        "model": prospect.inspected.model,
        "dataset": {"rows": data.rows, "tokens": data.tokens, "estimated": prospect.inspected.inspection is None},
        "origin": prospect.capacity.origin,
        "options": [_dump(o) for o in option_statuses(shown.viable)],
        "more": [p.id for p in shown.unlisted],
        "rejected": [_dump(r) for r in rejected_statuses(shown.rejected)],
        "hardware": _dump(advice) if advice is not None else None,
        "hardwareByMethod": {m.value: _dump(advice_status(a)) for m, a in plans.hardware.items()},
    }


def _whole(plans: PlanSet) -> PlanSet:
    """The same with nothing left for a shorter list."""
    likewise = {o for r in plans.rejected for o in r.likewise}
    rest = [r for r in plans.other_rejected if r.option in likewise]
    others = [r for r in plans.other_rejected if r.option not in likewise]
    alone = [replace(r, likewise=()) for r in plans.rejected]
    return replace(
        plans,
        viable=tuple(sorted((*plans.viable, *plans.unlisted), key=lambda p: (p is not plans.viable[0], rank_key(p)))),
        unlisted=(),
        rejected=(*alone, *rest, *others),
        other_rejected=(),
    )


def _dump(model: Any) -> Any:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def print_options(out: Console, prospect: Prospect, command: Sequence[str], *, everything: bool = False) -> None:
    """The whole answer of `finetune plan`.

    Args:
        out: where to.
        prospect: all that is known.
        command: the job, and the arguments that named other hardware than this machine's.
        everything: list each viable way and each rejection.
    """
    plans = _whole(prospect.plans) if everything else prospect.plans
    print_head(out, prospect)
    if plans.viable:
        print_viable(out, plans)
        _print_more(out, plans, command)
    else:
        print_infeasible(out, prospect)
    for remark in prospect.capacity.remarks():
        print_text(out, remark, label=Text("  "), indent=4, style="dim")
    print_rejected(out, plans, len(plans.rejected) if everything else SHOWN_REJECTED)
    _print_next(out, plans, command)


def _print_more(out: Console, plans: PlanSet, command: Sequence[str]) -> None:
    """What isn't worth a line, by id."""
    if not plans.unlisted:
        return
    shown = [p.id for p in plans.unlisted[:NAMED]]
    rest = ", …" if len(plans.unlisted) > NAMED else ""
    every = shlex.join(["finetune", "plan", *command, "--all"])
    label = Text(f"{len(plans.unlisted)} more: ", style="dim")
    print_text(out, f"{', '.join(shown)}{rest} ({every} lists them)", label=label, indent=2, style="dim")


PENNY: Final = 0.005
"""Below, a cost with two digits behind the point would read as nothing."""


def _price(cost: float) -> str:
    """With as many digits as it takes not to read as nothing."""
    return f"{cost:.2f}" if cost >= PENNY else f"{cost:.1g}"


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
    classes = _classes(prospect.capacity.apart) or ["no device"]
    label = Text(f"on {prospect.capacity.origin}: ", style="dim")
    print_parts(out, classes, separator=", ", label=label, indent=3, style="dim")
    out.print()


def _classes(found: Sequence[NodeClass]) -> list[str]:
    """Each kind of hardware once; a cluster has many that differ in nothing but RAM, cores or disk."""
    counts: Counter[str] = Counter()
    for node in found:
        counts[_hardware(node)] += 1
    return [said if count == 1 else f"{said} ({count} kinds)" for said, count in counts.items()]


def _hardware(node: NodeClass) -> str:
    device = node.device
    free = gib(device.memory) if device.free == device.memory else f"{part_of(device.free, device.memory)} free"
    nodes = f"{node.nodes} nodes of " if node.nodes > 1 else ""
    nvme = ", NVMe" if node.nvme else ""
    busy = node.nodes * node.devices_per_node - sum(free * count for free, count in node.free_devices)
    held = f", {busy} in use" if node.free_devices and busy else ""
    return f"{nodes}{node.devices_per_node} x {device.product} ({free}{nvme}{held})"


def print_viable(out: Console, plans: PlanSet) -> None:
    """The viable options as a table, and why the first is recommended."""
    print_cells(out, [_cells(p, first=i == 0) for i, p in enumerate(plans.viable)])
    out.print()
    for method, plan in {p.method: p for p in reversed(plans.viable)}.items():
        indent = 2 if out.width < NARROW else len(method.value) + 2
        print_text(out, _of_method(plan), label=Text(f"{method.value}: "), indent=indent)
    out.print()
    first = plans.viable[0]
    print_text(out, f"{STAR} recommended: {first.id} {first.because}", indent=2)
    for plan in plans.viable[1:]:
        print_text(out, plan.because, label=Text(f"  {plan.id}: ", style="dim"), indent=4, style="dim")
    for label, said in _hardware_remarks(plans.viable):
        print_text(out, said, label=Text(f"  {label}: ", style="dim"), indent=4, style="dim")


def _of_method(plan: Plan) -> str:
    return f"quality {plan.quality}; best for {plan.best_for}; the result serves as {plan.serving}"


def _hardware_remarks(plans: Sequence[Plan]) -> Iterator[tuple[str, str]]:
    """What an option waits for, and what is taken for granted of a class of nodes."""
    for plan in plans:
        waits = plan.node_class.waits_for(plan.nodes, plan.devices_per_node)
        if waits:
            yield plan.id, waits
        if plan.nodes > 1:
            yield plan.id, f"{NETWORK / 1e9:.0f} GB/s in and out of a node is assumed"
    assumed = {p.node_class.assumed: p.node_class.device.product for p in plans if p.node_class.assumed}
    for said, product in assumed.items():
        yield product, said


def _cells(plan: Plan, *, first: bool) -> dict[str, str]:
    need, have = plan.memory.device_total, plan.available
    return {
        "OPTION": f"{STAR if first else ' '} {plan.id}",
        "MEMORY A DEVICE": part_of(need, have),
        "SPARE": f"{(have - need) / have:.0%}{' tight' if plan.tight else ''}",
        "TOKENS/S": human_count(plan.tokens_per_second.mid),
        "TIME": human_duration(plan.seconds.mid),
        "RANGE": _range(plan.seconds),
        "COST": _price(plan.cost.mid) if plan.cost is not None else UNPRICED,
        "TRAINS": f"{human_count(plan.trainable_parameters)} "
        f"({share(plan.trainable_parameters, plan.total_parameters)})",
    }


def _range(seconds: Interval) -> str:
    """Such as 3 to 5 min: the unit once, where both have the same, and the value once, where both are the same."""
    low, high = human_duration(seconds.low), human_duration(seconds.high)
    if low == high:
        return low
    number, unit = low.split()
    return f"{number} to {high}" if high.endswith(f" {unit}") else f"{low} to {high}"


def _print_next(out: Console, plans: PlanSet, command: Sequence[str]) -> None:
    out.print()
    if not plans.viable:
        print_text(out, "Nothing has been started. Change the job or the hardware, then plan again.")
        return
    first = plans.viable[0].id
    job, *where = command
    run = ["finetune", "run", job, "--option", first]
    out.print(Text("Nothing has been started."))
    if not where:
        print_command(out, "Choose with:         ", shlex.join(run))
    print_command(out, "In the manifest:     ", f"plan: {{option: {first}}}")
    print_command(out, "Why these numbers:   ", shlex.join(["finetune", "plan", *command, "--explain", first]))
