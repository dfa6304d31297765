"""`finetune report`: what came out of a run."""

from pathlib import Path

import click
from rich.markdown import Markdown

from finetune_operator.cli.job_argument import find_output, folder_argument
from finetune_operator.cli.output import console
from finetune_operator.exceptions import OutputConflictError
from finetune_operator.local.status_file import read_status
from finetune_trainer.events import REPORT_FILE


@click.command("report")
@folder_argument
@click.option("--path", "only_path", is_flag=True, help="Print only where the report is.")
def report_command(job: Path, *, only_path: bool) -> int:
    """Show the report of JOB (or in output FOLDER): verdict, base model against result, curves, environment.

    \b
    finetune report job.yaml
    finetune report out --path
    """
    folder = find_output(job)
    report = folder / REPORT_FILE
    if not report.is_file():
        status = read_status(folder)
        raise OutputConflictError(f"{folder}: has no report yet, its phase is {status.phase}; see `finetune status`")
    out = console()
    if only_path:
        out.out(str(report), highlight=False)
        return 0
    try:
        text = report.read_text(encoding="utf-8", errors="replace")
    except OSError as e:
        raise OutputConflictError(f"{report}: can't be read: {e.strerror}") from e
    if out.is_terminal:
        out.print(Markdown(text))
    else:
        out.out(text, end="", highlight=False)
    return 0
