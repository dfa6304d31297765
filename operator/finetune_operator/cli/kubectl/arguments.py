"""What every verb takes: the job's name, and which cluster and namespace it is in."""

import shlex
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from rich.text import Text

from finetune_operator.cli.output import console
from finetune_operator.local.kubectl import Kubectl, find_kubectl


def name_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """The name of a job in the cluster."""
    return click.argument("name")(command)


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options as kubectl has them; the verb is given a Kubectl that is aimed by them, as its first argument."""

    @wraps(command)
    def aimed(*arguments: Any, **keywords: Any) -> Any:
        aim = {name: keywords.pop(name) for name in ("context", "namespace", "kubeconfig")}
        return command(find_kubectl(tell, **aim), *arguments, **keywords)

    for option in (
        click.option("--kubeconfig", metavar="FILE", help="As kubectl's."),
        click.option("--context", metavar="NAME", help="As kubectl's: the cluster; else kubectl's current one."),
        click.option("-n", "--namespace", metavar="NAME", help="As kubectl's: where the job is; else kubectl's own."),
    ):
        aimed = option(aimed)
    return aimed


def tell(sentence: str) -> None:
    """Say something on the side."""
    out = console(stderr=True)
    out.print(Text(sentence, style="dim"), soft_wrap=True)


def again(kubectl: Kubectl, *words: str) -> str:
    """A command to copy, aimed as this one is."""
    return shlex.join(["kubectl", "finetune", *words, *kubectl.aim])
