"""`finetune data check`: what is wrong with files of rows, and what they hold; without torch and without a job."""

from pathlib import Path

import click
from rich.progress import BarColumn, Progress, TextColumn

from finetune_operator.cli.data_view import print_report
from finetune_operator.cli.output import OutputFormat, console, print_value
from finetune_operator.exceptions import InvalidManifestError
from finetune_operator.local.data_check import DataQuestion, check_data
from finetune_operator.local.manifest import read_job
from finetune_operator.renderers.trainer_config import render_answer_contract
from finetune_trainer.events import DataReport, PhaseEvent
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.job_config import JsonContractConfig, RowFormat


@click.group("data")
def data_command() -> None:
    """Look at rows before there is a job."""


@data_command.command("check")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--evaluation", metavar="FILE", type=click.Path(path_type=Path), help="Held-out rows: none of them may be in FILE."
)
@click.option(
    "--format",
    "row_format",
    type=click.Choice([f.value for f in RowFormat]),
    default=RowFormat.AUTO.value,
    show_default=True,
    help="Shape of the rows; Auto finds it over all of them.",
)
@click.option(
    "--max-length",
    metavar="TOKENS",
    type=click.IntRange(min=1),
    help="Greatest length in tokens; longer rows are counted.",
)
@click.option(
    "--model",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Folder with a tokenizer: tokens are counted and chat templates tried. Without, a token is 4 characters.",
)
@click.option(
    "--job", metavar="JOB", type=click.Path(path_type=Path), help="Hold rows against dataset.contract of this job."
)
@click.option("--json", "as_json", is_flag=True, help="The whole report for programs.")
def check_command(  # noqa: PLR0913  one argument an option
    files: tuple[Path, ...],
    evaluation: Path | None,
    row_format: str,
    max_length: int | None,
    model: Path | None,
    job: Path | None,
    *,
    as_json: bool,
) -> int:
    """Check every row of FILEs: JSON Lines, JSON, CSV, Parquet or Arrow. Starts nothing.

    \b
    finetune data check train.jsonl
    finetune data check train.jsonl --evaluation check.jsonl --max-length 2048
    finetune data check a.csv b.parquet --model ./smollm2 --json

    Exit code 11: a run would leave rows out, since they are malformed, there twice, or in both files; or a file can't
    be read. Near duplicates, secrets, personal data and lengths without --model leave it 0.
    """
    contract, unique_input = _contract(job) if job is not None else (None, False)
    question = DataQuestion(
        train=files,
        evaluation=evaluation,
        format=RowFormat(row_format),
        max_length=max_length,
        model=model,
        contract=contract,
        unique_input=unique_input,
    )
    report = _checked(question)
    if as_json:
        print_value(report.model_dump(mode="json", exclude={"event"}), OutputFormat.JSON)
    else:
        print_report(console(), report)
    return int(ExitCode.DATA if report.left_out else ExitCode.OK)


def _contract(job: Path) -> tuple[JsonContractConfig | None, bool]:
    contract = read_job(job).spec.dataset.contract
    if contract.output is None and not contract.unique:
        raise InvalidManifestError(f"{job}: asks nothing of rows; write spec.dataset.contract, or leave --job out")
    answer = render_answer_contract(contract.output.json_) if contract.output is not None else None
    return answer, "input" in contract.unique


def _checked(question: DataQuestion) -> DataReport:
    told = console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), console=told, transient=True, disable=not told.is_terminal
    )
    with bar:
        task = bar.add_task("reading", total=None)

        def tell(event: PhaseEvent) -> None:
            bar.update(task, description=event.message, completed=event.done, total=event.total or None)

        return check_data(question, tell)
