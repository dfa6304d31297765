"""A job's status in the cluster as a person reads it."""

from collections.abc import Iterator

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.text import Text

from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.cli.kubectl.arguments import again
from finetune_operator.cli.output import bare_table, print_command, print_table
from finetune_operator.cli.result_view import data_lines, print_result
from finetune_operator.cli.status_view import status_rows
from finetune_operator.local.cluster_job import ClusterJob
from finetune_operator.local.kubectl import Kubectl
from finetune_operator.units import parse_memory
from finetune_trainer.events import REPORT_FILE, ResultEvent

BAR_COLUMNS = 40
"""Of a bar that stands still."""


def print_status(out: Console, kubectl: Kubectl, job: ClusterJob) -> None:
    """Where the job is, why, and what to do next."""
    table = bare_table("", "")
    table.show_header = False
    for label, text in _rows(job):
        table.add_row(Text(label, style="bold"), text)
    print_table(out, table)
    progress = job.status.progress
    if progress is not None and out.is_terminal:
        out.print(ProgressBar(total=progress.steps, completed=progress.step, width=BAR_COLUMNS))
    _print_conditions(out, job.status)
    print_next(out, kubectl, job)


def _rows(job: ClusterJob) -> Iterator[tuple[str, str]]:
    phase, *others = status_rows(job.status, job.status.phase)
    yield "job", f"{job.namespace}/{job.name}"
    yield phase[0], phase[1] + _behind(job)
    for line in data_lines(job.status)[:1]:
        yield "data", line
    yield from others
    for a in job.status.attempts:
        code = f", exit code {a.exit_code}" if a.exit_code is not None else ""
        yield f"attempt {a.number}", f"{a.outcome}{code} at {a.finished_at:%Y-%m-%d %H:%M:%S}Z: {a.message}"


def _behind(job: ClusterJob) -> str:
    if job.is_seen:
        return ""
    if job.status.observed_generation < 0:
        return " (no operator has looked at it)"
    return " (of an earlier spec: the operator hasn't read this one)"


def _print_conditions(out: Console, status: FineTuneJobStatus) -> None:
    if not status.conditions:
        return
    out.print()
    table = bare_table("CONDITION", "", "REASON", "SINCE", "MESSAGE")
    for c in status.conditions:
        since = f"{c.last_transition_time:%Y-%m-%d %H:%M:%S}Z"
        table.add_row(c.type.value, c.status.value, c.reason, since, c.message)
    print_table(out, table)


def print_next(out: Console, kubectl: Kubectl, job: ClusterJob) -> None:
    """The command that helps most."""
    status = job.status
    if status.output is not None:
        out.print()
        print_command(out, "Copy its report:     ", again(kubectl, "report", job.name))
    elif status.plan is None and (status.options or status.rejected):
        out.print()
        print_command(out, "See its options:     ", again(kubectl, "options", job.name))


def print_outcome(out: Console, job: ClusterJob) -> None:
    """What came out of a run, as `finetune run` shows it."""
    evaluation, memory, output = job.status.evaluation, job.status.memory, job.status.output
    if evaluation is None or memory is None or output is None:
        return
    result = ResultEvent(
        decision=evaluation.decision.value,
        because=evaluation.because,
        next_step=evaluation.next_step,
        rows=evaluation.rows,
        baseline={name: float(text) for name, text in evaluation.baseline.items()},
        tuned={name: float(text) for name, text in evaluation.tuned.items()},
        memory_predicted=parse_memory(memory.predicted),
        memory_measured=parse_memory(memory.measured),
        output=output.path,
        output_bytes=output.bytes,
        digest=output.digest,
        report=f"{output.path}/{REPORT_FILE}",
    )
    print_result(out, result)
