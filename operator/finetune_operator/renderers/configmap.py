"""ConfigMaps of a job: what a run is started with, what an inspection is asked, what it answered."""

from typing import Any

from finetune_operator.api.resource import FineTuneJob, Identity
from finetune_operator.planner.plan import Plan
from finetune_operator.renderers import names
from finetune_operator.renderers.bundle import Bundle
from finetune_operator.renderers.inspection_request import REQUEST_FILE, inspection_request
from finetune_operator.renderers.placement import PLACEMENT_FILE, placement_of, sure_to_take
from finetune_trainer.events import InspectionFacts


def render_run(
    job: FineTuneJob, identity: Identity, bundle: Bundle, plan: Plan, commit: str | None = None
) -> dict[str, Any]:
    """Everything that all attempts of a run are started with; immutable, named by its content."""
    placement = placement_of(plan, commit, sure_to_take(job, plan))
    found = _config_map(
        identity,
        names.run_name(identity, bundle.hash),
        "run",
        {**bundle.files, PLACEMENT_FILE: placement.model_dump_json(by_alias=True)},
    )
    found["metadata"]["annotations"] = {names.OPTION_ANNOTATION: plan.id, names.HASH_ANNOTATION: bundle.hash}
    return found


def render_request(job: FineTuneJob, identity: Identity) -> dict[str, Any]:
    """What an inspection is to read."""
    data = {REQUEST_FILE: inspection_request(job)}
    return _config_map(identity, names.inspection_name(identity, job), "inspection", data)


def render_facts(identity: Identity, name: str, facts: InspectionFacts) -> dict[str, Any]:
    """What an inspection has read; planning again after a failure needs it."""
    return _config_map(identity, name, "facts", {names.FACTS_FILE: facts.model_dump_json()})


def _config_map(identity: Identity, name: str, component: str, data: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": names.metadata(identity, name, component),
        "immutable": True,
        "data": data,
    }
