"""The program `kubectl finetune`: jobs in a cluster, through the user's own kubectl; one verb a module."""

from typing import Final

import click

from finetune_operator import __version__
from finetune_operator.cli.main import DEBUG
from finetune_operator.cli.verbs import Verbs

VERBS: Final = ("submit", "options", "select", "status", "logs", "suspend", "resume", "report", "delete")
"""In the order of a job's way; each is a module beside this one."""

EXIT_CODES_HELP: Final = (
    "Exit codes: 0 done; 2 wrong command line; 4 the option isn't viable, or isn't one; 5 kubectl is missing, or the "
    "cluster refuses, doesn't answer or has no such job; 10 the job's file is wrong; 130 Ctrl-C. `status --watch` ends "
    "with the code of a trainer that failed: docs/exit-codes.md."
)
"""At the foot of --help."""


@click.group(
    cls=Verbs,
    package="finetune_operator.cli.kubectl",
    verbs=VERBS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES_HELP,
)
@click.version_option(__version__, "--version", message="kubectl finetune %(version)s")
@click.option(DEBUG, is_flag=True, help="Show a traceback with an error; anywhere on the command line.")
def kubectl_finetune(*, debug: bool) -> None:
    """Fine-tune in a cluster: see every way that fits, choose one, watch it, get the report.

    \b
    The way of a job:
      kubectl finetune submit job.yaml               check it here, then hand it to the cluster
      kubectl finetune options NAME                  what fits there, with memory, speed and time
      kubectl finetune select NAME OPTION            choose; prints the line to commit
      kubectl finetune status NAME --watch           where it is, until it ends
      kubectl finetune report NAME                   what came out, copied from its volume

    Everything goes through your own kubectl, with your rights. To plan before there is a job: finetune plan job.yaml
    --context NAME.
    """
    del debug  # taken out where errors end; here for --help
