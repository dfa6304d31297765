"""`kubectl finetune options`: what fits the cluster, and why the rest doesn't."""

import click

from finetune_operator.cli.errors import INFEASIBLE
from finetune_operator.cli.kubectl.arguments import again, cluster_options, name_argument
from finetune_operator.cli.kubectl.options_view import print_job_options, said_of_plan
from finetune_operator.cli.output import OutputFormat, console, format_option, print_value
from finetune_operator.exceptions import ClusterError
from finetune_operator.local.cluster_job import ClusterJob, read_cluster_job
from finetune_operator.local.kubectl import Kubectl

SHOWN = ("options", "rejected", "hardware", "plan")
"""Parts of the status that -o json and -o yaml give."""


@click.command("options")
@name_argument
@click.option("--all", "everything", is_flag=True, help="Show all that isn't viable, too, as far as the status has it.")
@format_option
@cluster_options
def options_command(kubectl: Kubectl, name: str, output_format: str, *, everything: bool) -> int:
    """List every way to train job NAME that fits the cluster, and why the others don't.

    \b
    kubectl finetune options tickets
    kubectl finetune options tickets -n support --context prod
    kubectl finetune options tickets -o json

    Exit code 4: nothing is viable, or not what the job asks for. 5: there is no list yet.
    """
    job = read_cluster_job(kubectl, name)
    if not is_listed(job):
        raise ClusterError(not_listed(kubectl, job))
    if output_format == OutputFormat.TEXT:
        print_job_options(console(), kubectl, job, everything=everything)
    else:
        found = job.raw["status"]
        print_value({part: found[part] for part in SHOWN if part in found}, output_format)
    return 0 if job.status.options else INFEASIBLE


def is_listed(job: ClusterJob) -> bool:
    """Whether the operator has judged the ways there are."""
    return bool(job.status.options or job.status.rejected or job.status.plan)


def not_listed(kubectl: Kubectl, job: ClusterJob) -> str:
    """Why there is no list, and what to do."""
    said = said_of_plan(job.status)
    watch = f"`{again(kubectl, 'status', job.name, '--watch')}` shows how it goes on"
    if said:
        return f"{job.name}: no options are listed yet: {said}; {watch}"
    return (
        f"{job.name}: no options are listed yet, and no operator has looked at the job; is it installed and running? "
        f"{watch}"
    )
