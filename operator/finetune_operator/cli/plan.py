"""`finetune plan`: what fits, in under a second, without torch."""

from pathlib import Path

import click
from rich.text import Text

from finetune_operator.cli.errors import INFEASIBLE
from finetune_operator.cli.explain_view import explanation_value, print_explanation
from finetune_operator.cli.job_argument import job_argument
from finetune_operator.cli.options_view import options_value, print_options
from finetune_operator.cli.output import OutputFormat, console, format_option, print_value
from finetune_operator.lifecycle.selection import pick
from finetune_operator.local.manifest import read_job
from finetune_operator.local.nodes_file import read_nodes
from finetune_operator.local.road import Prospect, look_ahead
from finetune_operator.planner.explain import explain
from finetune_trainer.exit_codes import ExitCode


@click.command("plan")
@job_argument
@click.option(
    "--nodes",
    type=click.Path(path_type=Path),
    help="Plan for the nodes in this YAML file, not for this machine (see examples/nodes.yaml).",
)
@click.option("--explain", "explained", metavar="OPTION", help="Show how the memory of one option adds up.")
@format_option
def plan_command(job: Path, nodes: Path | None, explained: str | None, output_format: str) -> int:
    """List every way to train JOB that fits, and why the others don't. Starts nothing.

    \b
    finetune plan job.yaml
    finetune plan job.yaml --nodes examples/nodes.yaml
    finetune plan job.yaml --explain lora-cpu
    finetune plan job.yaml -o json

    Exit code 4: nothing is viable, or not the option that is asked for.
    """
    manifest = read_job(job)
    capacity = read_nodes(nodes) if nodes is not None else None
    told = console(stderr=True)
    prospect = look_ahead(manifest, job.parent, capacity, lambda s: told.print(Text(s, style="dim")))
    if explained is not None:
        _explain(prospect, explained, output_format)
        return int(ExitCode.OK)
    if output_format == OutputFormat.TEXT:
        print_options(console(), prospect, job, nodes)
    else:
        print_value(options_value(prospect), output_format)
    if not prospect.plans.viable:
        return INFEASIBLE
    if manifest.spec.plan.option is not None:
        # the manifest's own choice: known here to be impossible, it would only be refused later
        pick(prospect.plans, manifest.spec.plan.option, prospect.capacity.origin)
    return int(ExitCode.OK)


def _explain(prospect: Prospect, option: str, output_format: str) -> None:
    chosen = pick(prospect.plans, option, prospect.capacity.origin)
    explanation = explain(chosen, prospect.job.spec, prospect.inspected.facts)
    if output_format == OutputFormat.TEXT:
        print_explanation(console(), chosen, explanation)
    else:
        print_value(explanation_value(chosen, explanation), output_format)
