"""`kubectl finetune resume`: let a job go on."""

import click

from finetune_operator.cli.kubectl.arguments import again, cluster_options, name_argument
from finetune_operator.cli.kubectl.manager import print_line_to_commit, write_suspend
from finetune_operator.cli.output import console, print_command
from finetune_operator.local.kubectl import Kubectl


@click.command("resume")
@name_argument
@cluster_options
def resume_command(kubectl: Kubectl, name: str) -> int:
    """Let job NAME go on, from its newest complete checkpoint.

    \b
    kubectl finetune resume tickets
    """
    changed = write_suspend(kubectl, name, suspend=False)
    click.echo(f"{name}: {'goes on when its devices are there' if changed else 'is not suspended'}")
    out = console()
    print_line_to_commit(out, {"suspend": False})
    print_command(out, "Watch it with:       ", again(kubectl, "status", name, "--watch"))
    return 0
