"""The options in a job's status as a person reads them."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from finetune_operator.api.conditions import ConditionType, find_condition
from finetune_operator.api.status import FineTuneJobStatus, HardwareNeed, OptionStatus
from finetune_operator.cli.kubectl.arguments import again
from finetune_operator.cli.options_table import STAR, UNPRICED, part_of, print_cells
from finetune_operator.cli.output import print_command, print_parts, print_text
from finetune_operator.cli.rejected_view import SHOWN_REJECTED, Refused, print_refused
from finetune_operator.cli.result_view import data_lines
from finetune_operator.local.cluster_job import ClusterJob
from finetune_operator.local.kubectl import Kubectl
from finetune_operator.units import human_count, human_duration, parse_duration, parse_memory


def print_job_options(out: Console, kubectl: Kubectl, job: ClusterJob, *, everything: bool) -> None:
    """The whole answer of `kubectl finetune options`."""
    status = job.status
    _print_head(out, job)
    if status.options:
        _print_viable(out, status.options)
    else:
        out.print(Text("No viable option is listed.", style="bold"))
    _print_hardware(out, status)
    _print_rejected(out, status, everything=everything)
    _print_next(out, kubectl, job)


def said_of_plan(status: FineTuneJobStatus) -> str:
    """Why there is no plan, in the operator's words; empty where it says nothing of it."""
    for kind in (ConditionType.ACCEPTED, ConditionType.INSPECTED, ConditionType.PLANNED):
        found = find_condition(status.conditions, kind)
        if found is not None and found.status != "True":
            return found.message
    return ""


def _print_head(out: Console, job: ClusterJob) -> None:
    parts = [f"{job.namespace}/{job.name}", job.status.phase]
    model, data = job.status.model, data_lines(job.status)[:1]
    if model is not None:
        parts.append(f"{model.architecture}, {human_count(model.parameters)} parameters")
    print_parts(out, [*parts, *data], separator=" · ")
    out.print()


def _print_viable(out: Console, options: Sequence[OptionStatus]) -> None:
    print_cells(out, [_cells(o) for o in options])
    out.print()
    for method, one in {o.method: o for o in reversed(options)}.items():
        serving = f"; the result serves as {one.serving}" if one.serving else ""
        text = f"quality {one.quality}; best for {one.best_for}{serving}"
        print_text(out, text, label=Text(f"{method.value}: "), indent=len(method.value) + 2)
    out.print()
    for one in options:
        if one.recommended:
            print_text(out, f"{STAR} recommended: {one.id} {one.because}", indent=2)
        else:
            print_text(out, one.because, label=Text(f"  {one.id}: ", style="dim"), indent=4, style="dim")


def _cells(one: OptionStatus) -> dict[str, str]:
    need, have = parse_memory(one.memory.required), parse_memory(one.memory.available)
    return {
        "OPTION": f"{STAR if one.recommended else ' '} {one.id}",
        "DEVICES": _devices(one),
        "MEMORY A DEVICE": part_of(need, have),
        "SPARE": f"{(have - need) / have:.0%}{' tight' if one.tight else ''}",
        "TOKENS/S": human_count(one.tokens_per_second),
        "TIME": human_duration(parse_duration(one.duration)),
        "COST": one.cost or UNPRICED,
        "TRAINS": f"{human_count(one.trainable_parameters)} ({one.trainable_share})",
    }


def _devices(one: OptionStatus) -> str:
    each = f"{one.devices_per_node} x {one.device.product}"
    return each if one.nodes == 1 else f"{one.nodes} nodes of {each}"


def _print_hardware(out: Console, status: FineTuneJobStatus) -> None:
    if status.hardware is None:
        return
    out.print()
    out.print(Text("It would take, with all memory free:"))
    for label, need in (("minimum", status.hardware.minimum), ("recommended", status.hardware.recommended)):
        print_text(out, _needed(need), label=Text(f"  {label}: "), indent=4)


def _needed(need: HardwareNeed) -> str:
    devices = "1 device" if need.devices == 1 else f"{need.devices} devices"
    nodes, node = (f" on {need.nodes} nodes", " a node") if need.nodes > 1 else ("", "")
    return (
        f"{devices} of {need.memory}{nodes} with {need.cores} cores, {need.ram} RAM and {need.disk} disk{node} "
        f"({need.option})"
    )


def _print_rejected(out: Console, status: FineTuneJobStatus, *, everything: bool) -> None:
    if not status.rejected:
        return
    shown = status.rejected if everything else status.rejected[:SHOWN_REJECTED]
    out.print()
    out.print(Text("Not viable there:"))
    print_refused(out, [Refused(r.option, r.message, "", r.likewise) for r in shown])
    if len(status.rejected) > len(shown):
        out.print(Text(f"  and {len(status.rejected) - len(shown)} more (--all lists them)", style="dim"))


def _print_next(out: Console, kubectl: Kubectl, job: ClusterJob) -> None:
    status = job.status
    out.print()
    if status.plan is not None:
        out.print(Text(f"Chosen: {status.plan.option}"))
        print_command(out, "Watch it with:       ", again(kubectl, "status", job.name, "--watch"))
        return
    if said := said_of_plan(status):
        print_text(out, said)
    if status.options:
        first = next((o.id for o in status.options if o.recommended), status.options[0].id)
        print_command(out, "Choose with:         ", again(kubectl, "select", job.name, first))
        print_command(out, "In the manifest:     ", f"plan: {{option: {first}}}")
