"""The program `finetune`: one verb a module; and where its errors, and those of `kubectl finetune`, become codes."""

import errno
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

from finetune_operator import __version__
from finetune_operator.cli.errors import EXIT_CODES_HELP, exit_code_of
from finetune_operator.cli.verbs import Verbs
from finetune_operator.exceptions import FineTuneError
from finetune_operator.local.files import is_full
from finetune_trainer.exit_codes import ExitCode

PLUGIN: Final = "kubectl finetune"
"""How users call the same program through kubectl, for jobs in a cluster."""

DEBUG = "--debug"
"""Anywhere on the command line."""

INTERRUPTED = 130
"""What shells expect of a program that Ctrl-C ended."""


VERBS = ("plan", "run", "status", "report", "data")
"""In the order of a job's way; each is a module beside this one."""


@click.group(
    cls=Verbs,
    package="finetune_operator.cli",
    verbs=VERBS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES_HELP,
)
@click.version_option(__version__, "--version", message="finetune %(version)s")
@click.option(DEBUG, is_flag=True, help="Show a traceback with an error; anywhere on the command line.")
def finetune(*, debug: bool) -> None:
    """Fine-tune a language model: see every way that fits, choose one, get a result that is proven better or not.

    \b
    A job is a YAML file of kind FineTuneJob. The way of a job:
      finetune plan job.yaml                     what fits this machine, with memory, speed and time
      finetune run job.yaml --option lora-cpu    train, evaluate before and after, decide
      finetune status job.yaml                   where it is (from another terminal)
      finetune report job.yaml                   what came out
    Before it: finetune data check train.jsonl   what is wrong with rows, and what they hold

    Nothing is ever chosen for you: `run` without an option lists what is viable and asks.
    Ctrl-C stops with a checkpoint; the same command goes on from there, also after a crash.
    """
    del debug  # taken out by invoke(), where errors end; here for --help


def program_name(argv0: str) -> str:
    """How the user called us: kubectl runs a plugin by its file name."""
    return PLUGIN if Path(argv0).name.startswith("kubectl-") else "finetune"


def invoke(arguments: list[str], name: str) -> int:
    """Run one command line; its exit code."""
    # before the verb or after it: somebody who needs it has just repeated a failed command
    debug = DEBUG in arguments
    try:
        return _answer([a for a in arguments if a != DEBUG], name)
    except FineTuneError as e:
        _explain(str(e), e.details, debug=debug)
        return exit_code_of(e)
    except OSError as e:
        full = is_full(e) or e.errno == errno.EFBIG
        _explain(f"the system refused: {e}", debug=debug)
        return int(ExitCode.STORAGE_FULL if full else ExitCode.INTERNAL)
    except Exception as e:  # noqa: BLE001  the outermost loop: a user gets a sentence, and a traceback on request
        _explain(f"unexpected {type(e).__name__}: {e}; this is a fault of finetune: {DEBUG} shows where", debug=debug)
        return int(ExitCode.INTERNAL)


def _program(name: str) -> click.Group:
    if name != PLUGIN:
        return finetune
    from finetune_operator.cli.kubectl.main import kubectl_finetune

    return kubectl_finetune


def _answer(arguments: list[str], name: str) -> int:
    code: int | None
    try:
        code = _program(name).main(arguments, prog_name=name, standalone_mode=False)
    except click.exceptions.Exit as e:
        code = e.exit_code
    except click.ClickException as e:
        e.show()
        code = e.exit_code
    except SystemExit:
        # click's way out when the reader of --help is gone (| head)
        code = int(ExitCode.OK)
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped; nothing is left half-written", err=True)
        code = INTERRUPTED
    return code or 0


def _explain(sentence: str, details: str = "", *, debug: bool) -> None:
    if debug:
        traceback.print_exc()
        click.echo(details, err=True)
    with suppress(OSError):
        # nobody reads it any more: the code says it all the same
        click.echo(f"error: {sentence}", err=True)
