"""`finetune plan`: what fits, in under a second, without torch."""

from pathlib import Path

import click
from rich.text import Text

from finetune_operator.api.spec import Hardware
from finetune_operator.cli.errors import INFEASIBLE
from finetune_operator.cli.explain_view import explanation_value, print_explanation
from finetune_operator.cli.job_argument import job_argument
from finetune_operator.cli.options_view import options_value, print_options
from finetune_operator.cli.output import OutputFormat, console, format_option, print_value
from finetune_operator.lifecycle.selection import pick
from finetune_operator.local.children import Notify
from finetune_operator.local.cluster_context import read_context
from finetune_operator.local.cluster_file import read_nodes_file
from finetune_operator.local.manifest import read_job_elsewhere, read_local_job
from finetune_operator.local.road import Prospect, look_ahead
from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.explain import explain
from finetune_trainer.exit_codes import ExitCode


@click.command("plan")
@job_argument
@click.option(
    "--nodes",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Plan for the nodes in this file, not for this machine: as examples/nodes.yaml, or from kubectl get -o json.",
)
@click.option("--context", metavar="NAME", help="Plan for the cluster of this kubectl context, not for this machine.")
@click.option("--explain", "explained", metavar="OPTION", help="Show how the memory of one option adds up.")
@click.option("--all", "everything", is_flag=True, help="List every viable option, and all that aren't.")
@format_option
def plan_command(
    job: Path, nodes: Path | None, context: str | None, explained: str | None, output_format: str, *, everything: bool
) -> int:
    """List every way to train JOB that fits, and why the others don't. Starts nothing.

    \b
    finetune plan job.yaml
    finetune plan job.yaml --nodes examples/nodes.yaml
    finetune plan job.yaml --context prod
    finetune plan job.yaml --all
    finetune plan job.yaml --explain lora-cpu
    finetune plan job.yaml -o json

    Exit code 4: nothing is viable, or not the option that is asked for.
    """
    if nodes is not None and context is not None:
        raise click.UsageError("--nodes and --context both say where; write one of them")
    told = console(stderr=True)

    def notify(sentence: str) -> None:
        told.print(Text(sentence, style="dim"))

    here = nodes is None and context is None
    manifest = read_local_job(job) if here else read_job_elsewhere(job)
    capacity = _elsewhere(nodes, context, manifest.spec.hardware, notify)
    prospect = look_ahead(manifest, job.parent, capacity, notify)
    if explained is not None:
        return _explain(prospect, explained, output_format)
    if output_format == OutputFormat.TEXT:
        where = ["--context", context] if context is not None else ["--nodes", str(nodes)] if nodes is not None else []
        print_options(console(), prospect, [str(job), *where], everything=everything)
    else:
        print_value(options_value(prospect, everything=everything), output_format)
    if not prospect.plans.viable:
        return INFEASIBLE
    if manifest.spec.plan.option is not None:
        # the manifest's own choice: known here to be impossible, it would only be refused later
        pick(prospect.plans, manifest.spec.plan.option, prospect.capacity.origin)
    return int(ExitCode.OK)


def _elsewhere(nodes: Path | None, context: str | None, hardware: Hardware, notify: Notify) -> Capacity | None:
    """Hardware that isn't this machine's; None where this machine is meant."""
    if context is not None:
        return read_context(context, notify, hardware)
    return read_nodes_file(nodes, hardware) if nodes is not None else None


def _explain(prospect: Prospect, option: str, output_format: str) -> int:
    """The arithmetic of an option, also of one that doesn't fit, with what stands against it."""
    against = prospect.plans.rejection(option)
    chosen = prospect.plans.sized(option) or pick(prospect.plans, option, prospect.capacity.origin)
    explanation = explain(chosen, prospect.job.spec, prospect.inspected.facts)
    if output_format == OutputFormat.TEXT:
        print_explanation(console(), chosen, explanation, against)
    else:
        print_value(explanation_value(chosen, explanation, against), output_format)
    return int(ExitCode.OK) if against is None else INFEASIBLE
