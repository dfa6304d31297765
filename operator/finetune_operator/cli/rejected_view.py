"""What isn't viable as a person reads it: why, what would help, and the hardware that it takes."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.console import Console
from rich.text import Text

from finetune_operator.cli.output import bare_table, fits, print_table, print_text
from finetune_operator.lifecycle.selection import hardware_phrase
from finetune_operator.local.road import Prospect
from finetune_operator.planner.plan import Hardware, PlanSet
from finetune_operator.units import GIB

SHOWN_REJECTED: Final = 8
"""Ways that aren't viable that are listed unless all are asked for."""

TIB: Final = 1024 * GIB
"""Bytes in one TiB."""

NAMED: Final = 6
"""Ids in a row at most."""


def print_infeasible(out: Console, prospect: Prospect) -> None:
    """That nothing is viable, and for each method the hardware that would do."""
    out.print(Text(f"Nothing that the job allows is viable on {prospect.capacity.origin}.", style="bold"))
    if not prospect.plans.hardware:
        return
    out.print(Text("It would take, with all memory free:"))
    table = bare_table("  METHOD", "", "DEVICES", "CORES", "RAM", "DISK", "TO TRAIN")
    for method, advice in prospect.plans.hardware.items():
        needs = {"minimum": advice.minimum, "recommended": advice.recommended}
        for index, (label, need) in enumerate(needs.items()):
            table.add_row(f"  {method.value if index == 0 else ''}", label, *_needed(need))
    if fits(out, table):
        print_table(out, table)
        return
    for method, advice in prospect.plans.hardware.items():
        for label, need in (("minimum", advice.minimum), ("recommended", advice.recommended)):
            print_text(out, hardware_phrase(need), label=Text(f"  {method.value} {label}: "), indent=6)


def _needed(need: Hardware) -> tuple[str, ...]:
    each = f"{need.devices // need.nodes} x {_round(need.memory)}"
    devices = f"{need.nodes} nodes of {each}" if need.nodes > 1 else each
    node = " a node" if need.nodes > 1 else ""
    return devices, f"{need.cores}{node}", f"{_round(need.ram)}{node}", f"{_round(need.disk)}{node}", need.option


def _round(count: int) -> str:
    """Memory of hardware, which comes in whole GiB."""
    return f"{count / TIB:.3g} TiB" if count >= TIB else f"{count // GIB} GiB"


def print_rejected(out: Console, plans: PlanSet, limit: int) -> None:
    """So many of the ways that aren't viable, each with the change that would help."""
    if not plans.rejected:
        return
    shown = plans.rejected[:limit]
    out.print()
    out.print(Text("Not viable here:"))
    print_refused(out, [Refused(r.option, r.message, r.remedy, r.likewise) for r in shown])
    more = len(plans.rejected) - len(shown) + len(plans.other_rejected) - sum(len(r.likewise) for r in shown)
    if more > 0:
        out.print(Text(f"  and {more} more (--all lists them)", style="dim"))


class Refused(NamedTuple):
    """One way that isn't viable."""

    option: str
    message: str
    remedy: str
    """Empty where there is none, or where the message has it."""
    likewise: Sequence[str]


def print_refused(out: Console, refused: Sequence[Refused]) -> None:
    """A table of three columns, or paragraphs where the terminal is too narrow for it."""
    table = bare_table("", "", "")
    table.show_header = False
    for one in refused:
        table.add_row(f"  {one.option}", one.message, one.remedy)
        if one.likewise:
            table.add_row("", Text(_likewise(one), style="dim"))
    if fits(out, table):
        print_table(out, table)
    else:
        for one in refused:
            _print_paragraph(out, one)


def _print_paragraph(out: Console, one: Refused) -> None:
    print_text(out, one.message, label=Text(f"  {one.option}: "), indent=6)
    for said in (one.remedy, _likewise(one) if one.likewise else ""):
        if said:
            print_text(out, said, label=Text(" " * 6), indent=6, style="dim")


def _likewise(one: Refused) -> str:
    shown = one.likewise[:NAMED]
    rest = f" and {len(one.likewise) - NAMED} more" if len(one.likewise) > NAMED else ""
    return f"likewise {', '.join(shown)}{rest}"
