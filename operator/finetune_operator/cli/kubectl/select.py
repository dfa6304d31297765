"""`kubectl finetune select`: choose one of the options that are listed."""

import json

import click

from finetune_operator.cli.kubectl.arguments import again, cluster_options, name_argument
from finetune_operator.cli.kubectl.manager import FIELD_MANAGER, print_line_to_commit
from finetune_operator.cli.kubectl.options import is_listed, not_listed
from finetune_operator.cli.output import console, print_command
from finetune_operator.constants import API_VERSION, KIND
from finetune_operator.exceptions import ClusterError, InfeasibleError, UnknownOptionError
from finetune_operator.local.cluster_job import ClusterJob, read_cluster_job
from finetune_operator.local.kubectl import Kubectl
from finetune_operator.planner.plan import RECOMMENDED


@click.command("select")
@name_argument
@click.argument("option")
@cluster_options
def select_command(kubectl: Kubectl, name: str, option: str) -> int:
    """Choose OPTION, one of those that `kubectl finetune options NAME` lists, for job NAME.

    \b
    kubectl finetune select tickets lora-1x24g
    kubectl finetune select tickets recommended    the one with the star, as it is listed now

    The choice is written as a field of our own, so that a GitOps tool leaves it alone until you have committed the line
    that is printed. Choosing the same again changes nothing; a choice that is made can't be changed.

    Exit code 4: it isn't viable, or isn't one of those listed.
    """
    job = read_cluster_job(kubectl, name)
    chosen = _listed(kubectl, job, option)
    if job.child("plan", "option") == chosen:
        click.echo(f"{job.name}: {chosen} is chosen already")
    else:
        _apply(kubectl, job, chosen)
        click.echo(f"{job.name}: {chosen} is chosen")
    out = console()
    print_line_to_commit(out, {"plan": {"option": chosen}})
    print_command(out, "Watch it with:       ", again(kubectl, "status", job.name, "--watch"))
    return 0


def _listed(kubectl: Kubectl, job: ClusterJob, option: str) -> str:
    """The id that is meant.

    Raises:
        ClusterError: nothing is listed yet.
        InfeasibleError: it isn't viable.
        UnknownOptionError: it isn't listed.
    """
    status = job.status
    if status.plan is not None and status.plan.option == option:
        return option
    if not is_listed(job):
        raise ClusterError(not_listed(kubectl, job))
    ids = [o.id for o in status.options]
    if option == RECOMMENDED:
        found = next((o.id for o in status.options if o.recommended), None)
        if found is not None:
            return found
    if option in ids:
        return option
    choice = f"choose one of {', '.join(ids)}" if ids else "nothing is viable"
    for r in status.rejected:
        if option == r.option or option in r.likewise:
            raise InfeasibleError(f"option {option} isn't viable: {r.message}; {choice}")
    raise UnknownOptionError(f"option {option} isn't one of those listed for {job.name}; {choice}")


def _apply(kubectl: Kubectl, job: ClusterJob, option: str) -> None:
    """Write the choice, to that very object."""
    choice = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        # with its uid: one that was deleted and made anew meanwhile has other options
        "metadata": {"name": job.name, "namespace": job.namespace, "uid": job.uid},
        "spec": {"plan": {"option": option}},
    }
    kubectl.ask("apply", "--server-side", f"--field-manager={FIELD_MANAGER}", "--filename=-", given=json.dumps(choice))
