"""Reading model and data where they are, by a pod without devices; the facts are kept in a ConfigMap of the job's."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from finetune_operator.api.conditions import ConditionStatus, ConditionType, Reason
from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.lifecycle.actions import Action, Apply, Decision, Delete, removal
from finetune_operator.lifecycle.observed import End, JobSeen, JobState, Observed
from finetune_operator.lifecycle.outcome import event_in
from finetune_operator.lifecycle.status import with_condition
from finetune_operator.renderers.configmap import render_facts, render_request
from finetune_operator.renderers.inspection import render_inspection
from finetune_operator.renderers.settings import RenderSettings
from finetune_trainer.events import FailureEvent, InspectionFacts
from finetune_trainer.exit_codes import ExitCode

SHORTLY: Final = timedelta(seconds=30)
"""Until another pod looks where the cluster has ended one."""

SOON: Final = timedelta(minutes=2)
"""Until model and data are looked at again where what was in the way may pass: a volume, the network, a Secret."""

LATER: Final = timedelta(minutes=10)
"""Likewise where somebody has to mend model or data: a volume's contents change without the spec changing."""

_PASSING: Final = {ExitCode.INTERNAL, ExitCode.INTERRUPTED, ExitCode.HOST_OUT_OF_MEMORY, ExitCode.STORAGE_FULL}
_REASONS: Final = {
    ExitCode.DATA: Reason.DATASET_INVALID,
    ExitCode.MODEL: Reason.MODEL_UNREADABLE,
}


def inspect(seen: Observed, job: FineTuneJob, status: FineTuneJobStatus, settings: RenderSettings) -> Decision:
    """Have model and data read, and keep what was read."""
    found = seen.inspection
    if any(c.name == seen.facts_map for c in seen.children):
        told = _going_on(status, "what was read is of another version; model and data are read again", seen)
        return Decision(status=told, actions=forget(seen))
    if found is None:
        asked: tuple[Action, ...] = (
            *_earlier(seen),
            Apply(render_request(job, seen.identity)),
            Apply(render_inspection(job, seen.identity, settings)),
        )
        return Decision(status=_going_on(status, "model and data are going to be read", seen), actions=asked)
    end = _end_of(found)
    if end is not None:
        return _read(seen, found, end, status)
    obstacle = next((p.obstacle for p in found.pods if p.obstacle), "")
    return Decision(status=_going_on(status, obstacle or "model and data are being read", seen))


def _earlier(seen: Observed) -> tuple[Delete, ...]:
    """Jobs that read what the spec named before."""
    return tuple(removal(c) for c in seen.children if c.kind == "Job" and c.attempt is None)


def forget(seen: Observed) -> tuple[Delete, ...]:
    """Have model and data read again: the Job that read them goes first, since what it said would be taken again."""
    jobs = [c for c in seen.children if c.kind == "Job" and c.attempt is None]
    return tuple(map(removal, (*jobs, *(c for c in seen.children if c.name == seen.facts_map))))


def _end_of(found: JobSeen) -> End | None:
    if found.state is JobState.DELETING:
        return None
    ended = next((p.end for p in reversed(found.pods) if p.end is not None), None)
    if ended is None and (found.state is JobState.FAILED or (found.state is JobState.COMPLETE and not found.pods)):
        return End(code=None, reason="Lost", said=found.why_failed, at=found.over_since, disrupted=True)
    if ended is not None and ended.at is None:
        return replace(ended, at=found.over_since or found.created)
    return ended


def _read(seen: Observed, found: JobSeen, end: End, status: FineTuneJobStatus) -> Decision:
    said = event_in(end.said)
    removed = removal(found)
    if isinstance(said, InspectionFacts):
        kept = Apply(render_facts(seen.identity, seen.facts_map, said))
        return Decision(status=_going_on(status, "what was read is being kept", seen), actions=(kept,))
    if end.disrupted:
        waited = end.at is None or seen.now - end.at >= SHORTLY
        told = _going_on(status, f"the pod was lost ({end.reason}); another one reads", seen)
        return Decision(status=told, actions=(removed,) if waited else (), again=None if waited else SHORTLY)
    return _failed(seen, end, said if isinstance(said, FailureEvent) else None, removed, status)


def _failed(
    seen: Observed, end: End, said: FailureEvent | None, removed: Delete, status: FineTuneJobStatus
) -> Decision:
    code = ExitCode(end.code) if end.code in set(ExitCode) else ExitCode.INTERNAL
    reason = _REASONS.get(code, Reason.INSPECTION_FAILED)
    message = said.message if said is not None else f"the inspection ended with {end.reason} ({end.code}): {end.said}"
    status = with_condition(status, ConditionType.INSPECTED, reason, message, seen.now, ConditionStatus.FALSE)
    patience = SOON if code in _PASSING else LATER
    if end.at is not None and seen.now - end.at >= patience:
        return Decision(status=status, actions=(removed,))
    return Decision(status=status, again=patience)


def _going_on(status: FineTuneJobStatus, message: str, seen: Observed) -> FineTuneJobStatus:
    unknown = ConditionStatus.UNKNOWN
    return with_condition(status, ConditionType.INSPECTED, Reason.INSPECTING, message, seen.now, unknown)
