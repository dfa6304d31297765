"""`kubectl finetune suspend`: hold a job."""

import click

from finetune_operator.cli.kubectl.arguments import again, cluster_options, name_argument
from finetune_operator.cli.kubectl.manager import print_line_to_commit, write_suspend
from finetune_operator.cli.output import console, print_command
from finetune_operator.local.kubectl import Kubectl


@click.command("suspend")
@name_argument
@cluster_options
def suspend_command(kubectl: Kubectl, name: str) -> int:
    """Hold job NAME: what trains stops with a checkpoint, and gives its devices back.

    \b
    kubectl finetune suspend tickets
    """
    changed = write_suspend(kubectl, name, suspend=True)
    click.echo(f"{name}: {'is to stop with a checkpoint' if changed else 'is suspended already'}")
    out = console()
    print_line_to_commit(out, {"suspend": True})
    print_command(out, "Go on with:          ", again(kubectl, "resume", name))
    return 0
