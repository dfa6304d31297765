"""Writes the report so that it is complete or absent: what the text names first, the text last."""

from pathlib import Path

from finetune_trainer.events import REPORT_FILE, ROWS_FILE
from finetune_trainer.evidence import RunRecord
from finetune_trainer.files import write_atomically, write_bytes_atomically
from finetune_trainer.report.charts import draw
from finetune_trainer.report.rows import pairs_of, render_lines
from finetune_trainer.report.text import render


def write_report(record: RunRecord, output: Path) -> Path:
    """Write text, pictures and rows into the output folder; the text's path."""
    path = output / REPORT_FILE
    # an earlier report would name pictures that are no longer its own
    path.unlink(missing_ok=True)
    pairs = pairs_of(record)
    charts = draw(record)
    for name, png in charts.items():
        write_bytes_atomically(output / name, png)
    write_atomically(output / ROWS_FILE, render_lines(pairs))
    write_atomically(path, render(record, pairs, tuple(charts)))
    return path
