"""`kubectl finetune delete`: remove a job and all that it made, but not its results."""

import click

from finetune_operator.cli.kubectl.arguments import cluster_options, name_argument, tell
from finetune_operator.local.cluster_job import ClusterJob, read_cluster_job
from finetune_operator.local.kubectl import RESOURCE, Kubectl


@click.command("delete")
@name_argument
@click.option("--wait", is_flag=True, help="Wait until its Jobs, pods and ConfigMaps are gone, too.")
@cluster_options
def delete_command(kubectl: Kubectl, name: str, *, wait: bool) -> int:
    """Delete job NAME: what trains is stopped, and all that the job made in the cluster goes with it.

    \b
    kubectl finetune delete tickets
    kubectl finetune delete tickets --wait

    What is on its output volume stays: result, report, checkpoints.
    """
    job = read_cluster_job(kubectl, name)
    # in the foreground an object stays until those that it owns are gone
    how = ("--cascade=foreground", "--wait=true") if wait else ("--wait=false",)
    if wait:
        tell(f"waiting until all that {job.name} made is gone")
    kubectl.ask("delete", RESOURCE, job.name, *how)
    click.echo(f"{job.name}: {'is deleted' if wait else 'is being deleted'}")
    if kept := _kept(job):
        click.echo(kept)
    return 0


def _kept(job: ClusterJob) -> str:
    claim, path = job.child("output", "volume", "claimName"), job.child("output", "volume", "path")
    if claim is None:
        return ""
    return f"stays: {path} on volume {claim}, with whatever result, report and checkpoints are there"
