"""`kubectl finetune report`: what came out of a job, copied from its output volume."""

from pathlib import Path

import click

from finetune_operator.cli.kubectl.arguments import again, cluster_options, name_argument, tell
from finetune_operator.exceptions import ClusterError
from finetune_operator.local.cluster_job import ClusterJob, read_cluster_job
from finetune_operator.local.kubectl import Kubectl
from finetune_operator.local.report_copy import check_target, copy_report, pod_name, python_of, trainer_in, trainer_pod
from finetune_operator.renderers.report_pod import ReportPod
from finetune_trainer.events import REPORT_FILE


@click.command("report")
@name_argument
@click.option("-o", "--output", metavar="FOLDER", type=click.Path(path_type=Path), help="Where to; else a folder NAME.")
@click.option(
    "--image",
    metavar="IMAGE",
    help="With Python, for the pod that reads the volume; else the image that the job trained in.",
)
@cluster_options
def report_command(kubectl: Kubectl, name: str, output: Path | None, image: str | None) -> int:
    """Copy the report of job NAME with its pictures and rows from the job's output volume.

    \b
    kubectl finetune report tickets
    kubectl finetune report tickets -o reports/tickets

    A short-lived pod in the job's namespace reads the volume; it is deleted afterwards, also after Ctrl-C. You need the
    rights to create and delete pods there, and to run a program in one.
    """
    job = read_cluster_job(kubectl, name)
    claim, path = job.child("output", "volume", "claimName"), job.child("output", "volume", "path")
    if job.status.output is None or claim is None or path is None:
        raise ClusterError(
            f"{name}: has no report yet, its phase is {job.status.phase}; see {again(kubectl, 'status', name)}"
        )
    target = output if output is not None else Path(name)
    check_target(target)
    pod = _pod(kubectl, job, claim, image)
    tell(f"reading volume {claim} in pod {pod.name}")
    names = copy_report(kubectl.within(job.namespace), pod, path, target)
    click.echo(f"{target / REPORT_FILE}")
    tell(f"{len(names)} files copied; the pod is deleted")
    return 0


def _pod(kubectl: Kubectl, job: ClusterJob, claim: str, image: str | None) -> ReportPod:
    template = trainer_pod(kubectl, job)
    trainer = trainer_in(template)
    chosen = image or trainer.get("image")
    if chosen is None:
        raise ClusterError(
            f"{job.name}: its Jobs are gone, and with them the name of the image that it trained in; write --image "
            "with one that has Python and runs as another user than root"
        )
    return ReportPod(
        name=pod_name(job),
        namespace=job.namespace,
        owner=job.name,
        owner_uid=job.uid,
        claim=claim,
        image=chosen,
        python=python_of(trainer) if image is None else "python",
        template=template,
        trainer=trainer,
    )
