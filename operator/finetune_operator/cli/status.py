"""`finetune status`: where a run is, read from what it left on the disk."""

import time
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from finetune_operator.api.conditions import ConditionType, find_condition
from finetune_operator.api.status import FineTuneJobStatus, MemoryCheck
from finetune_operator.cli.job_argument import find_output, folder_argument
from finetune_operator.cli.output import OutputFormat, bare_table, console, format_option, print_table, print_value
from finetune_operator.cli.result_view import memory_text
from finetune_operator.lifecycle.phase import is_over
from finetune_operator.local.output_folder import is_held
from finetune_operator.local.status_file import read_status
from finetune_operator.units import parse_memory
from finetune_trainer.events import PHASES

WATCH_SECONDS = 1.0
"""Between two looks at the status file."""


@click.command("status")
@folder_argument
@click.option("--watch", is_flag=True, help="Go on showing changes until the run ends.")
@format_option
def status_command(job: Path, output_format: str, *, watch: bool) -> int:
    """Show where the run of JOB (or in output FOLDER) is.

    \b
    finetune status job.yaml
    finetune status out --watch
    finetune status job.yaml -o json
    """
    folder = find_output(job)
    shown = None
    while True:
        status = read_status(folder)
        held = is_held(folder)
        if (status, held) != shown:
            _show(console(), status, output_format, held=held)
        shown = (status, held)
        if not watch or not held:
            return 0
        time.sleep(WATCH_SECONDS)


def _show(out: Console, status: FineTuneJobStatus, output_format: str, *, held: bool) -> None:
    if output_format != OutputFormat.TEXT:
        print_value(status.model_dump(mode="json", by_alias=True, exclude_none=True), output_format)
        return
    table = bare_table("", "")
    table.show_header = False
    for label, text in _rows(status, held=held):
        table.add_row(Text(label, style="bold"), text)
    print_table(out, table)


def _rows(status: FineTuneJobStatus, *, held: bool) -> list[tuple[str, str]]:
    rows = [("phase", _phase(status, held=held))]
    if status.plan is not None:
        rows.append(("option", status.plan.option))
    if status.progress is not None:
        p = status.progress
        rows.append(("progress", f"step {p.step}/{p.steps} · epoch {p.epoch} · loss {p.loss} · {p.remaining} left"))
        rows.append(("speed", f"{p.tokens_per_second} tok/s"))
    if status.checkpoint is not None:
        rows.append(("checkpoint", f"step {status.checkpoint.step} at {status.checkpoint.saved_at:%Y-%m-%d %H:%M:%S}Z"))
    if status.evaluation is not None:
        rows.append(("decision", f"{status.evaluation.decision.value}: {status.evaluation.because}"))
        rows.append(("next", status.evaluation.next_step))
    if status.memory is not None:
        rows.append(("memory", _memory(status.memory)))
    failed = find_condition(status.conditions, ConditionType.FAILED)
    if failed is not None:
        rows.append((failed.reason, failed.message))
    return rows


def _memory(memory: MemoryCheck) -> str:
    text = memory_text(parse_memory(memory.predicted), parse_memory(memory.measured), memory.error)
    named = next((words for phase, words in PHASES.items() if phase == memory.peak), None)
    return f"{text}, highest in: {named}" if named else text


def _phase(status: FineTuneJobStatus, *, held: bool) -> str:
    if not held and not is_over(status.conditions):
        saved = status.checkpoint
        where = f"goes on from the checkpoint of step {saved.step}" if saved is not None else "begins again"
        return f"{status.phase}, and no process is at it: the same `finetune run` {where}"
    return status.phase
