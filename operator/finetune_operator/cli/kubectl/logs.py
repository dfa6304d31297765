"""`kubectl finetune logs`: what the trainer says, in words."""

import codecs
from collections.abc import Iterable, Iterator

import click
from rich.console import Console
from rich.text import Text

from finetune_operator.cli.event_view import event_lines
from finetune_operator.cli.kubectl.arguments import cluster_options, name_argument
from finetune_operator.cli.output import console
from finetune_operator.cli.result_view import line_label
from finetune_operator.exceptions import ClusterError
from finetune_operator.local.cluster_job import read_cluster_job
from finetune_operator.local.cluster_run import inspection, newest_attempt, pod_of
from finetune_operator.local.kubectl import Kubectl
from finetune_operator.renderers.names import TRAINER_CONTAINER
from finetune_trainer.events import PREFIX, parse_event

INTERRUPTED = 130
"""Ctrl-C ended the reading; the job goes on."""


@click.command("logs")
@name_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the pod ends.")
@click.option(
    "--rank",
    metavar="NUMBER",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of which node of the run.",
)
@click.option("--inspection", "inspected", is_flag=True, help="Of the look at model and data, before there is a run.")
@cluster_options
def logs_command(kubectl: Kubectl, name: str, rank: int, *, follow: bool, inspected: bool) -> int:
    """Show the log of the newest attempt of job NAME: the trainer's events in words, all other lines as they are.

    \b
    kubectl finetune logs tickets
    kubectl finetune logs tickets --follow --rank 1
    kubectl finetune logs tickets --inspection

    Events are in the log of rank 0. After Ctrl-C the job goes on.
    """
    job = read_cluster_job(kubectl, name)
    found = inspection(kubectl, job) if inspected else newest_attempt(kubectl, job)
    if found is None:
        raise ClusterError(_nothing(name, job.status.phase, inspected=inspected))
    pod = pod_of(kubectl, found, rank)
    out = console()
    try:
        with kubectl.stream("logs", pod, f"--container={TRAINER_CONTAINER}", *(("--follow",) if follow else ())) as log:
            for line in lines(log.chunks()):
                _print_line(out, line)
            log.finish()
    except KeyboardInterrupt:
        click.echo("stopped reading; the job goes on", err=True)
        return INTERRUPTED
    return 0


def _nothing(name: str, phase: str, *, inspected: bool) -> str:
    if inspected:
        return f"{name} has no inspection in the cluster, or none any more; its phase is {phase}"
    return (
        f"{name} has no run in the cluster, or none any more; its phase is {phase}: write --inspection for the look at "
        "model and data before it"
    )


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines without their ends, each as soon as it is whole; at the end what is left."""
    decode, held = codecs.getincrementaldecoder("utf-8")(errors="replace"), ""
    for chunk in chunks:
        *whole, held = (held + decode.decode(chunk)).split("\n")
        yield from whole
    if held:
        yield held


def _print_line(out: Console, line: str) -> None:
    event = parse_event(line)
    if event is None:
        out.out(line, highlight=False)
        return
    before, _, _ = line.partition(PREFIX)
    if before.strip():
        # what a library left standing there without a line's end
        out.out(before, highlight=False)
    for label, text in event_lines(event):
        out.print(Text.assemble(line_label(label), text), soft_wrap=True)
