"""One pass over one job: from what is seen to what is to be done and what is to be said. No I/O, nothing remembered."""

from dataclasses import replace
from typing import Final

from finetune_operator.api.conditions import ConditionStatus, ConditionType, Reason, find_condition
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.lifecycle.actions import Decision
from finetune_operator.lifecycle.attempts import attempt, end_of
from finetune_operator.lifecycle.choice import choose
from finetune_operator.lifecycle.inspection import inspect
from finetune_operator.lifecycle.observed import Observed
from finetune_operator.lifecycle.phase import is_over
from finetune_operator.lifecycle.status import with_condition
from finetune_operator.renderers.settings import RenderSettings

_FALSE: Final = ConditionStatus.FALSE


def decide(seen: Observed, settings: RenderSettings) -> Decision:
    """What to do and what to say, all of it; what is said as before has been said since before."""
    decision = _decide(seen, settings)
    return replace(decision, status=_settled(seen.status, decision.status))


def _settled(before: FineTuneJobStatus, after: FineTuneJobStatus) -> FineTuneJobStatus:
    """The same with the times of transitions that weren't any."""
    kept = []
    for condition in after.conditions:
        old = find_condition(before.conditions, condition.type)
        same = old is not None and old.status is condition.status
        time = old.last_transition_time if old is not None and same else condition.last_transition_time
        kept.append(condition.model_copy(update={"last_transition_time": time}))
    return after.model_copy(update={"conditions": tuple(kept)})


def _decide(seen: Observed, settings: RenderSettings) -> Decision:
    """The pass itself.

    Notes:
        The order is that of a job's life. A choice that was made stands, whatever the spec says later: what ran is
        what was planned.
    """
    if is_over(seen.status.conditions):
        return end_of(seen)
    status = _accepted(seen)
    if seen.chosen is not None and (seen.job is not None or seen.attempts):
        return attempt(seen, seen.job, seen.chosen, status, settings)
    if seen.job is None:
        return Decision(status=status)
    if seen.facts is None:
        return inspect(seen, seen.job, status, settings)
    return choose(seen, seen.job, seen.facts, status)


def _accepted(seen: Observed) -> FineTuneJobStatus:
    status = seen.status.model_copy(update={"observed_generation": seen.identity.generation})
    if seen.job is None:
        return with_condition(status, ConditionType.ACCEPTED, Reason.INVALID_SPEC, seen.problem, seen.now, _FALSE)
    return with_condition(status, ConditionType.ACCEPTED, "Valid", "the spec is consistent", seen.now)
