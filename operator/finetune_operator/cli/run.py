"""`finetune run`: train here, and go on where it was left."""

import shlex
import sys
from pathlib import Path

import click

from finetune_operator.cli.job_argument import job_argument
from finetune_operator.cli.run_view import RunView
from finetune_operator.local.manifest import read_local_job
from finetune_operator.local.road import Request, run_job


@click.command("run")
@job_argument
@click.option(
    "--option",
    metavar="ID",
    help="The option to train with, from `finetune plan`; `recommended` takes whatever is listed first.",
)
def run_command(job: Path, option: str | None) -> int:
    """Train JOB on this machine: evaluate the base model, train, evaluate again, decide.

    \b
    finetune run job.yaml                        lists what is viable and asks
    finetune run job.yaml --option lora-cpu      for scripts
    finetune run job.yaml --option recommended   approves in advance whatever is listed first

    Ctrl-C stops after the current step with a checkpoint. The same command goes on from the last complete checkpoint,
    also after a crash; once it is done, it shows the result again.
    """
    command = shlex.join([*str(click.get_current_context().find_root().info_name).split(), *sys.argv[1:]])
    request = Request(job=read_local_job(job), folder=job.parent, option=option, command=command)
    with RunView(interactive=sys.stdin.isatty() and sys.stdout.isatty()) as view:
        return run_job(request, view)
