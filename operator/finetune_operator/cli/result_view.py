"""The end of a run: base model against result, the verdict, and where everything is."""

from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from finetune_operator.api.spec import LOWER_IS_BETTER
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.cli.output import bare_table, print_table, print_text
from finetune_operator.units import gib, human_count
from finetune_trainer.events import ResultEvent, deviation

STYLES = {"Keep": "bold green", "Iterate": "bold yellow", "Discard": "bold red"}
"""Colours of the verdicts, on a terminal."""

LABEL_WIDTH: Final = 10
"""Columns of the word that a line begins with; a space follows it."""


def data_lines(status: FineTuneJobStatus) -> list[str]:
    """What was read, and the first faults with their places."""
    data = status.dataset
    if data is None:
        return []
    skipped = f"; {data.skipped} skipped" if data.skipped else ""
    lines = [f"{data.rows} rows, {data.format}, {data.tokens.p50} tokens each (longest {data.tokens.max}){skipped}"]
    return lines + [f"skipped {f.file}:{f.line}: {f.message}" for f in data.faults[:3]]


def print_result(out: Console, result: ResultEvent) -> None:
    """Table, verdict, memory, and the next step."""
    table = bare_table("", "baseline", "tuned", "change")
    for name, tuned in result.tuned.items():
        before = result.baseline[name]
        table.add_row(name, metric_text(name, before), metric_text(name, tuned), _change(name, before, tuned))
    out.print()
    print_table(out, table)
    out.print()
    verdict = Text.assemble(line_label("decision"), (result.decision.upper(), STYLES[result.decision]), "  ")
    print_text(out, result.because, label=verdict, indent=verdict.cell_len)
    predicted, measured = result.memory_predicted, result.memory_measured
    _line(out, "memory", memory_text(predicted, measured, deviation(measured, predicted)))
    _line(out, "output", f"{result.output} ({_size(result.output_bytes)}, {result.digest[:19]}…)")
    _line(out, "report", str(Path(result.report)))
    print_text(out, result.next_step, label=line_label("next"), indent=LABEL_WIDTH + 1)


def line_label(word: str) -> Text:
    """The word that a line begins with, as wide as all others."""
    return Text(f"{word:<{LABEL_WIDTH}} ", style="bold")


def memory_text(predicted: int, measured: int, error: str | None) -> str:
    """A device's peak: "2.8 GiB (predicted 2.6 GiB, +7%)"."""
    return f"{gib(measured)} (predicted {', '.join([gib(predicted), *([error] if error else [])])})"


def _line(out: Console, word: str, text: str) -> None:
    # a path that the terminal itself breaks is copied as one
    out.print(Text.assemble(line_label(word), text), soft_wrap=True)


def _size(count: int) -> str:
    return f"{human_count(count)}B" if count >= 1000 else f"{count} B"


def metric_text(name: str, value: float) -> str:
    """Shares in percent, losses as they are."""
    return f"{value:.3g}" if name in LOWER_IS_BETTER else f"{value:.1%}"


def _change(name: str, before: float, tuned: float) -> str:
    if name in LOWER_IS_BETTER:
        return f"{tuned - before:+.3g}"
    return f"{100 * (tuned - before):+.1f} points"
