"""`finetune status`: where a run is, read from what it left on the disk."""

import time
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.cli.job_argument import find_output, folder_argument
from finetune_operator.cli.output import OutputFormat, bare_table, console, format_option, print_table, print_value
from finetune_operator.cli.status_view import status_rows
from finetune_operator.lifecycle.phase import is_over
from finetune_operator.local.output_folder import is_held
from finetune_operator.local.status_file import read_status

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
    for label, text in status_rows(status, _phase(status, held=held)):
        table.add_row(Text(label, style="bold"), text)
    print_table(out, table)


def _phase(status: FineTuneJobStatus, *, held: bool) -> str:
    if not held and not is_over(status.conditions):
        saved = status.checkpoint
        where = f"goes on from the checkpoint of step {saved.step}" if saved is not None else "begins again"
        return f"{status.phase}, and no process is at it: the same `finetune run` {where}"
    return status.phase
