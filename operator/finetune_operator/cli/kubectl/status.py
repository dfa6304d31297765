"""`kubectl finetune status`: where a job in the cluster is."""

from typing import Final

import click

from finetune_operator.api.conditions import ConditionStatus, ConditionType, find_condition
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.cli.kubectl.arguments import cluster_options, name_argument
from finetune_operator.cli.kubectl.status_view import print_next, print_outcome, print_status
from finetune_operator.cli.kubectl.watch_view import WatchView
from finetune_operator.cli.output import OutputFormat, console, format_option, print_value
from finetune_operator.exceptions import FineTuneError
from finetune_operator.lifecycle.phase import is_over
from finetune_operator.local.cluster_job import ClusterJob, follow, read_cluster_job
from finetune_operator.local.kubectl import Kubectl
from finetune_trainer.exit_codes import MEANINGS

FAILED: Final = 1
"""A job failed without a word of the trainer, which has no such code: before a pod ran, or by the cluster's doing."""

INTERRUPTED: Final = 130
"""Ctrl-C ended the watching; the job goes on."""


@click.command("status")
@name_argument
@click.option("--watch", is_flag=True, help="Go on showing changes until the job ends.")
@format_option
@cluster_options
def status_command(kubectl: Kubectl, name: str, output_format: str, *, watch: bool) -> int:
    """Show where job NAME is.

    \b
    kubectl finetune status tickets
    kubectl finetune status tickets --watch
    kubectl finetune status tickets -o json

    With --watch the exit code is the job's: 0 succeeded; that of the trainer where it failed (docs/exit-codes.md), or 1
    where the trainer had no word in it; 130 after Ctrl-C, which ends the watching and not the job.
    """
    if watch and output_format != OutputFormat.TEXT:
        raise click.UsageError("--watch shows changes as text; leave -o out, or --watch")
    if watch:
        return _watch(kubectl, name)
    job = read_cluster_job(kubectl, name)
    if output_format == OutputFormat.TEXT:
        print_status(console(), kubectl, job)
    else:
        print_value(job.raw.get("status") or {}, output_format)
    return 0


def _watch(kubectl: Kubectl, name: str) -> int:
    try:
        with WatchView() as view:
            job = _until_over(kubectl, name, view)
    except KeyboardInterrupt:
        click.echo("stopped watching; the job goes on", err=True)
        return INTERRUPTED
    failed = find_condition(job.status.conditions, ConditionType.FAILED)
    if failed is not None and failed.status is ConditionStatus.TRUE:
        error = FineTuneError(f"{job.name}: {failed.message}")
        error.exit_code = code_of(job.status, failed.reason)
        raise error
    print_outcome(view.out, job)
    print_next(view.out, kubectl, job)
    return 0


def _until_over(kubectl: Kubectl, name: str, view: WatchView) -> ClusterJob:
    for job in follow(kubectl, name):
        view.show(job)
        if is_over(job.status.conditions):
            return job
    raise AssertionError("a job is followed without end")


def code_of(status: FineTuneJobStatus, reason: str) -> int:
    """The code of the attempt that ended it, else that of the reason, else 1."""
    last = status.attempts[-1].exit_code if status.attempts else None
    if last:
        return last
    return next((int(code) for code, meaning in MEANINGS.items() if code and meaning.reason == reason), FAILED)
