"""Printing for people and for programs: tables on a terminal, plain text in a pipe, JSON and YAML on request."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Any, Final

import click
import yaml
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text
from typing_extensions import override

PIPE_WIDTH: Final = 1000
"""Columns where there is no terminal: lines in a pipe are not wrapped."""

GAP: Final = 3
"""Spaces between two columns of a table where there is room."""

NARROW: Final = 60
"""Columns of a terminal below which a table with sentences in it isn't read as one any more."""

NARROW_GAP: Final = 2
"""Where there isn't."""


class OutputFormat(StrEnum):
    """What -o takes."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


def format_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option -o of every verb that shows something."""
    decorate = click.option(
        "-o",
        "--output",
        "output_format",
        type=click.Choice([f.value for f in OutputFormat]),
        default=OutputFormat.TEXT.value,
        show_default=True,
        help="text for people, json or yaml for programs.",
    )
    return decorate(command)


class PatientConsole(Console):
    """Goes on silently when its reader is gone (| head): a run must not end because nobody watches any more."""

    @override
    def on_broken_pipe(self) -> None:
        self.quiet = True
        # Python would complain about what is still buffered when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


def console(*, stderr: bool = False) -> Console:
    """Where text for people goes; colours only on a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    return PatientConsole(
        file=stream, highlight=False, soft_wrap=not stream.isatty(), width=None if stream.isatty() else PIPE_WIDTH
    )


def print_value(value: Any, output_format: str) -> None:
    """A plain value as JSON or YAML."""
    if output_format == OutputFormat.JSON:
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    else:
        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
    console().out(text, end="", highlight=False)


def bare_table(*headings: str, gap: int = GAP) -> Table:
    """A table without lines: headings, then columns by white space; the first column is never broken."""
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for index, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", no_wrap=index == 0)
    return table


def fits(target: Console, table: Table) -> bool:
    """Whether no cell of the table has to be broken."""
    whole = target.options.update(max_width=PIPE_WIDTH)
    return Measurement.get(target, whole, table).maximum <= target.width


def print_lines(target: Console, headings: Sequence[str], rows: Sequence[tuple[str, str, str]], strong: str) -> None:
    """Rows of a name, a value and a sentence: as a table, or below each other where the terminal is narrow.

    Args:
        target: where to.
        headings: of the table.
        rows: in their order.
        strong: name of the row that counts most.
    """
    if target.width < NARROW:
        for name, value, sentence in rows:
            print_text(target, sentence, label=Text(f"{name} {value}: ", style="bold"), indent=2)
        return
    table = bare_table(*headings)
    for row in rows:
        table.add_row(*row, style="bold" if row[0] == strong else "")
    print_table(target, table)


def print_table(target: Console, table: Table) -> None:
    """Print a table; in a pipe without the white space that fills its last column."""
    if target.is_terminal:
        target.print(table)
        return
    with target.capture() as captured:
        target.print(table)
    for line in captured.get().splitlines():
        target.print(Text(line.rstrip()))


def print_parts(
    target: Console,
    parts: Sequence[str],
    *,
    separator: str = " ",
    label: Text | None = None,
    indent: int = 0,
    style: str = "",
) -> None:
    """Print a line that is broken between its parts only, what follows indented; in a pipe it is not broken.

    Args:
        target: where to.
        parts: words, or phrases that belong together.
        separator: between two parts.
        label: what the line begins with.
        indent: spaces before every line but the first.
        style: of the parts.
    """
    begin = label or Text()
    width = target.width if target.is_terminal else sys.maxsize
    first, *more = fold(parts, separator, width - begin.cell_len, width - indent)
    # at once, since a live bar below is drawn again after each print
    target.print(Text.assemble(begin, (first, style), *((f"\n{' ' * indent}{line}", style) for line in more)))


def print_text(target: Console, text: str, *, label: Text | None = None, indent: int = 0, style: str = "") -> None:
    """Print a sentence that is broken between its words."""
    print_parts(target, text.split(), label=label, indent=indent, style=style)


def fold(parts: Sequence[str], separator: str, first: int, width: int) -> list[str]:
    """The parts in lines of that many columns, the first line of its own many; a longer part is broken, too."""
    lines, room = [""], first
    for text in _pieces(parts, separator, width):
        if lines[-1] and cell_len(lines[-1]) + cell_len(text.rstrip()) > room:
            lines, room = [*lines, ""], width
        lines[-1] += text
    return [line.rstrip() for line in lines]


def _pieces(parts: Sequence[str], separator: str, width: int) -> Iterator[str]:
    """Parts with what separates them; those that no line has room for by their words."""
    for index, part in enumerate(parts):
        text = part + (separator if index < len(parts) - 1 else "")
        if cell_len(text.rstrip()) <= width:
            yield text
            continue
        # a separator stays with the word before it
        *words, last = part.split(" ")
        yield from (f"{word} " for word in words)
        yield last + text[len(part) :]


def print_command(target: Console, label: str, command: str) -> None:
    """Print a line to copy: the terminal breaks it, so that it is pasted as one."""
    target.print(Text(f"{label}{command}"), soft_wrap=True)
