"""Viable options as a table of as many columns as there is room for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from finetune_operator.cli.output import GAP, NARROW_GAP, bare_table, fits, print_table
from finetune_operator.units import gib

STAR: Final = "★"
"""Marks the recommended option."""

UNPRICED: Final = "-"
"""Cost of an option whose nodes have no price."""

DISPENSABLE: Final = ("RANGE", "TRAINS", "TOKENS/S", "COST", "MEMORY A DEVICE")
"""Columns that a narrow terminal goes without, first the one that is missed least."""


def print_cells(out: Console, rows: Sequence[Mapping[str, str]]) -> None:
    """Print the options, each as its cells by heading, the first in bold; at least one."""
    table, without = _widest(out, rows)
    print_table(out, table)
    if without:
        out.print(Text(f"(a wider terminal also shows {', '.join(without)})", style="dim"))


def part_of(part: int, whole: int) -> str:
    """Memory of memory: "9.1 of 24.0 GiB"."""
    return f"{gib(part).removesuffix(' GiB')} of {gib(whole)}"


def _widest(out: Console, rows: Sequence[Mapping[str, str]]) -> tuple[Table, Sequence[str]]:
    """The table with as much as the terminal has room for, and the columns that it goes without."""
    priced = any(row["COST"] != UNPRICED for row in rows)
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


def _table(rows: Sequence[Mapping[str, str]], headings: Sequence[str], gap: int) -> Table:
    table = bare_table(*(f"  {h}" if h == "OPTION" else h for h in headings), gap=gap)
    for index, row in enumerate(rows):
        table.add_row(*(row[h] for h in headings), style="bold" if index == 0 else "")
    return table
