"""The report on rows, for people: files, faults, flags, histograms, values."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from rich.console import Console
from rich.text import Text

from finetune_operator.cli.output import bare_table, print_table, print_text
from finetune_operator.planner.sentences import plural
from finetune_trainer.events import Balance, DataReport, FlagKind, Share, Spread, Variety

SHOWN: Final = 5
"""Rows of each kind that are named; --json has the first thousand."""

VALUES: Final = 8
"""Values of a field that are shown."""

BAR: Final = 40
"""Columns of a histogram's longest bar."""

TITLES: Final[dict[FlagKind, str]] = {
    "duplicate": "duplicate rows",
    "leak": "training rows whose input is held out",
    "too-long": "rows that are too long",
    "same-input": "rows with another answer to the same input",
    "near-duplicate": "rows that are nearly the same as another",
    "near-leak": "held-out rows that are nearly trained on",
    "secret": "secrets found",
    "personal": "personal data found",
}
"""Flags in the order in which they are told."""


def print_report(out: Console, report: DataReport) -> None:
    """Everything, the worst first."""
    _files(out, report)
    _places(out, "malformed rows", report.fault_count, [(f.file, f.line, f.message) for f in report.faults])
    for kind, title in TITLES.items():
        flags = [(f.file, f.line, f.message) for f in report.flags if f.kind == kind]
        _places(out, title, report.flag_counts.get(kind, 0), flags)
    _spread(out, "row lengths", report.measure, report.lengths)
    _spread(out, "answer lengths", "characters", report.answers)
    for balance in report.balances:
        _balance(out, balance)
    _variety(out, "instruction", report.instructions)
    _variety(out, "system prompt", report.systems)
    _verdict(out, report)


def _files(out: Console, report: DataReport) -> None:
    table = bare_table("FILE", "FOR", "FORMAT", "ROWS", "BAD")
    for name in ("ROWS", "BAD"):
        next(c for c in table.columns if c.header == name).justify = "right"
    for f in report.files:
        table.add_row(f.file, "training" if f.role == "train" else f.role, f.format, str(f.rows), str(f.bad))
    print_table(out, table)


def _places(out: Console, title: str, count: int, rows: Sequence[tuple[str, int, str]]) -> None:
    if not count:
        return
    _head(out, f"{title}: {count}")
    for file, line, message in rows[:SHOWN]:
        place = f"{file}:{line}: " if line else f"{file}: "
        print_text(out, f"{place}{message}", label=Text("  "), indent=4)
    if count > SHOWN:
        out.print(Text(f"  … and {count - SHOWN} more", style="dim"))


def _spread(out: Console, title: str, measure: str, spread: Spread | None) -> None:
    if spread is None:
        return
    _head(out, f"{title} in {measure}: median {spread.p50}, 95 % up to {spread.p95}, longest {spread.max}")
    most = max(spread.rows)
    classes = [f"{begin} to {end - 1}" for begin, end in pairwise((0, *spread.below))]
    width = max(map(len, classes))
    first = next(i for i, rows in enumerate(spread.rows) if rows)
    for name, rows in list(zip(classes, spread.rows, strict=True))[first:]:
        # a few rows are seen, too
        bar = "█" * max(round(BAR * rows / most), 1 if rows else 0)
        out.print(Text(f"  {name:>{width}}  {f'{bar} {rows}'.strip()}"))


def _balance(out: Console, balance: Balance) -> None:
    total = sum(v.rows for v in balance.values)
    name = "answers" if balance.field == "answer" else f"values of {balance.field}"
    _head(out, f"{name}: {plural(len(balance.values), 'value')} in {plural(total, 'row')}")
    _shares(out, balance.values, total)


def _variety(out: Console, noun: str, variety: Variety) -> None:
    if not variety.rows:
        return
    _head(out, f"{noun}s: {variety.distinct} different in {plural(variety.rows, 'row')}")
    # of texts that are there once, none tells more than another
    _shares(out, [share for share in variety.most if share.rows > 1], variety.rows)


def _shares(out: Console, values: Sequence[Share], total: int) -> None:
    shown = values[:VALUES]
    width = max((len(v.value) for v in shown), default=0)
    for v in shown:
        out.print(Text(f"  {v.value:<{width}}  {v.rows} ({v.rows / total:.1%})"))
    if len(values) > len(shown):
        rest = sum(v.rows for v in values[VALUES:])
        out.print(Text(f"  … and {plural(len(values) - VALUES, 'more value')} in {plural(rest, 'row')}", style="dim"))


def _verdict(out: Console, report: DataReport) -> None:
    flagged = _listed(TITLES[k] for k in TITLES if report.flag_counts.get(k))
    out.print()
    if report.left_out:
        left = plural(report.left_out, "row")
        text = Text.assemble((f"{left} would be left out", "bold red"), "; mend them, then check again")
    else:
        text = Text.assemble(("every row can be learnt from", "bold green"), f"; look at {flagged}" if flagged else "")
    out.print(text)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def _head(out: Console, text: str) -> None:
    out.print()
    out.print(Text(text, style="bold"))
