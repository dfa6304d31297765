"""`kubectl finetune submit`: a job's file, checked here, then handed to the cluster."""

from pathlib import Path
from typing import Final

import click

from finetune_operator.api.conditions import Condition, ConditionStatus, ConditionType, Reason, find_condition
from finetune_operator.cli.errors import CLUSTER, INFEASIBLE
from finetune_operator.cli.job_argument import job_argument
from finetune_operator.cli.kubectl.arguments import again, cluster_options, tell
from finetune_operator.cli.kubectl.options import is_listed
from finetune_operator.cli.kubectl.options_view import print_job_options, said_of_plan
from finetune_operator.cli.output import console, print_command
from finetune_operator.exceptions import ClusterError, FineTuneError
from finetune_operator.local.cluster_job import ClusterJob, follow
from finetune_operator.local.kubectl import Kubectl
from finetune_operator.local.manifest import read_job_for_cluster
from finetune_operator.units import parse_duration
from finetune_trainer.exit_codes import ExitCode

CODES: Final[dict[str, int]] = {
    "InvalidSpec": ExitCode.CONFIGURATION,
    "DatasetInvalid": ExitCode.DATA,
    "ModelUnreadable": ExitCode.MODEL,
}
"""Exit codes for what a cluster refuses, by the condition's reason: those of `finetune plan`."""


class Duration(click.ParamType[int]):
    """Go-style text as seconds."""

    name = "duration"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Seconds of it."""
        try:
            return parse_duration(value)
        except ValueError as e:
            self.fail(str(e), param, ctx)


@click.command("submit")
@job_argument
@click.option("--wait", is_flag=True, help="Wait until its options are there, and show them.")
@click.option("--timeout", type=Duration(), default="10m", show_default=True, help="Longest wait.")
@cluster_options
def submit_command(kubectl: Kubectl, job: Path, timeout: int, *, wait: bool) -> int:
    """Check the file JOB here, then apply it to the cluster. Nothing trains before an option is chosen.

    \b
    kubectl finetune submit job.yaml
    kubectl finetune submit job.yaml -n support --wait

    The same as `kubectl apply --server-side --filename=job.yaml`, after a check that names file and line.
    """
    name = read_job_for_cluster(job).metadata.name
    # kubectl's own field manager: `kubectl apply --server-side` goes on with it, and GitOps tools take it over
    applied = kubectl.ask_json("apply", "--server-side", f"--filename={job}")
    namespace = applied.get("metadata", {}).get("namespace", "")
    there = kubectl.within(namespace)
    click.echo(f"{namespace}/{name}: is in the cluster")
    if wait:
        return _show_options(there, name, timeout)
    out = console()
    print_command(out, "See its options:     ", again(there, "options", name))
    print_command(out, "Watch it:            ", again(there, "status", name, "--watch"))
    return 0


def _show_options(kubectl: Kubectl, name: str, timeout: int) -> int:
    tell(f"waiting for the options of {name}; Ctrl-C stops waiting, and the job stays")
    job = _decided(kubectl, name, timeout)
    refused = _refused(job)
    if refused is not None:
        error = FineTuneError(f"{name}: {refused.message}")
        error.exit_code = CODES.get(refused.reason, CLUSTER)
        raise error
    print_job_options(console(), kubectl, job, everything=False)
    return 0 if job.status.options else INFEASIBLE


def _decided(kubectl: Kubectl, name: str, timeout: int) -> ClusterJob:
    """The job as soon as its options are there, or it is plain that there won't be any without a change.

    Raises:
        ClusterError: that took too long.
    """
    last = None
    try:
        for job in follow(kubectl, name, timeout):
            last = job
            if job.is_seen and (is_listed(job) or _refused(job)):
                return job
    except TimeoutError as e:
        said = said_of_plan(last.status) if last is not None else ""
        why = f": {said}" if said else ", and no operator has looked at the job: is it installed and running?"
        raise ClusterError(f"{name}: no options after {timeout} s{why}") from e
    raise AssertionError("a job is followed without end")


def _refused(job: ClusterJob) -> Condition | None:
    """What says that there will be no options without a change."""
    for kind in (ConditionType.ACCEPTED, ConditionType.INSPECTED):
        found = find_condition(job.status.conditions, kind)
        if found is not None and found.status is ConditionStatus.FALSE and found.reason != Reason.INSPECTING:
            return found
    return None
