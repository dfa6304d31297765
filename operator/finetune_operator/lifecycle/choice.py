"""From facts and free devices to a choice: the user's, or the only one there is."""

from datetime import timedelta
from typing import Final

from finetune_operator.api.conditions import ConditionStatus, ConditionType, Reason
from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.status import FineTuneJobStatus, PlanStatus
from finetune_operator.constants import MAX_LISTED, MAX_REJECTED
from finetune_operator.exceptions import (
    DatasetInvalidError,
    FineTuneError,
    InfeasibleError,
    InvalidManifestError,
    UnknownOptionError,
)
from finetune_operator.lifecycle.actions import Apply, Decision
from finetune_operator.lifecycle.facts import facts_of
from finetune_operator.lifecycle.inspection import LATER, forget
from finetune_operator.lifecycle.observed import Observed
from finetune_operator.lifecycle.options import advice_status, option_status, option_statuses, rejected_statuses
from finetune_operator.lifecycle.selection import select
from finetune_operator.lifecycle.status import dataset_status, model_status, with_condition, with_plan
from finetune_operator.planner.architecture import read_architecture
from finetune_operator.planner.facts import Facts
from finetune_operator.planner.plan import Plan, PlanSet
from finetune_operator.renderers.bundle import render_bundle
from finetune_operator.renderers.configmap import render_run
from finetune_operator.renderers.places import in_pod
from finetune_trainer.events import InspectionFacts

LOOK_AGAIN: Final = timedelta(minutes=1)
"""Between two plans of a job that waits for a choice, or for hardware that may come."""

_FALSE: Final = ConditionStatus.FALSE


def choose(seen: Observed, job: FineTuneJob, found: InspectionFacts, status: FineTuneJobStatus) -> Decision:
    """List the ways there are; where one is chosen, and viable, make what it is started with."""
    status = with_condition(
        status.model_copy(update={"dataset": dataset_status(found.train)}),
        ConditionType.INSPECTED,
        "Read",
        "model and dataset have been read",
        seen.now,
    )
    facts = facts_of(found)
    try:
        capacity = seen.capacity()
        plans = seen.plan(job.spec, facts, capacity)
    except FineTuneError as e:
        return _refused(status, e, seen)
    status = _listed(status, facts, found.commit, plans)
    try:
        chosen = select(plans, job.spec.plan.option, capacity.origin)
    except InfeasibleError as e:
        message = "; ".join((str(e), *capacity.remarks()))
        return Decision(
            status=_no_fit(status, plans, job.spec.plan.option, (_reason(e, plans), message), seen), again=LOOK_AGAIN
        )
    if chosen is None:
        return Decision(status=_awaiting(status, plans, seen), again=LOOK_AGAIN)
    return _start(seen, job, found, chosen, status)


def _refused(status: FineTuneJobStatus, error: FineTuneError, seen: Observed) -> Decision:
    """What can only be known with the model's config or the rows at hand; those may be mended where they are."""
    sentence = str(error)
    if isinstance(error, InvalidManifestError):
        # the spec's: what was read stays true
        told = with_condition(status, ConditionType.ACCEPTED, Reason.INVALID_SPEC, sentence, seen.now, _FALSE)
        return Decision(status=told)
    reason = Reason.DATASET_INVALID if isinstance(error, DatasetInvalidError) else Reason.MODEL_UNREADABLE
    told = with_condition(status, ConditionType.INSPECTED, reason, sentence, seen.now, _FALSE)
    left = (seen.facts_since or seen.now) + LATER - seen.now
    return Decision(status=told, again=left) if left > timedelta(0) else Decision(status=told, actions=forget(seen))


def _listed(status: FineTuneJobStatus, facts: Facts, commit: str | None, plans: PlanSet) -> FineTuneJobStatus:
    return status.model_copy(
        update={
            "model": model_status(facts, plans.viable[0], commit) if plans.viable else None,
            "options": option_statuses(plans.viable[:MAX_LISTED]),
            "rejected": rejected_statuses(plans.rejected[:MAX_REJECTED]),
            "hardware": advice_status(plans.advice),
        },
    )


def _reason(error: InfeasibleError, plans: PlanSet) -> Reason:
    if isinstance(error, UnknownOptionError):
        return Reason.UNKNOWN_OPTION
    return Reason.INFEASIBLE_SELECTION if plans.viable else Reason.INFEASIBLE


def _no_fit(
    status: FineTuneJobStatus, plans: PlanSet, asked: str | None, why: tuple[Reason, str], seen: Observed
) -> FineTuneJobStatus:
    rejection = plans.rejection(asked) if asked is not None else None
    if rejection is not None and rejection.advice is not None:
        status = status.model_copy(update={"hardware": advice_status(rejection.advice)})
    return with_condition(status, ConditionType.PLANNED, *why, seen.now, _FALSE)


def _awaiting(status: FineTuneJobStatus, plans: PlanSet, seen: Observed) -> FineTuneJobStatus:
    count, name = len(plans.viable), seen.identity.name
    message = (
        f"{count} ways are viable; {plans.viable[0].id} is recommended: choose with kubectl finetune select {name} "
        "OPTION, or write spec.plan.option"
    )
    return with_condition(status, ConditionType.PLANNED, Reason.AWAITING_SELECTION, message, seen.now, _FALSE)


def _start(
    seen: Observed, job: FineTuneJob, found: InspectionFacts, chosen: Plan, status: FineTuneJobStatus
) -> Decision:
    architecture = read_architecture(facts_of(found).model.config)
    bundle = render_bundle(job, chosen, architecture, in_pod(job, found.commit).places)
    config_map = render_run(job, seen.identity, bundle, chosen, found.commit)
    made = PlanStatus(option=chosen.id, hash=bundle.hash, config_map=config_map["metadata"]["name"])
    ids = {o.id for o in status.options}
    options = status.options if chosen.id in ids else (*status.options, option_status(chosen, recommended=False))
    status = with_plan(status.model_copy(update={"options": options}), made, seen.now)
    return Decision(status=status, actions=(Apply(config_map),))
