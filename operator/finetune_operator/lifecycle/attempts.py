"""One attempt after the other: admitted when all its pods fit at once, watched, ended as a whole, recorded."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import takewhile
from typing import Final

from finetune_operator.api.conditions import ConditionStatus, ConditionType, Reason, find_condition
from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.spec import Restarts
from finetune_operator.api.status import AttemptStatus, FineTuneJobStatus, PlanStatus
from finetune_operator.constants import MAX_ATTEMPTS
from finetune_operator.lifecycle.actions import Action, Apply, Decision, removal
from finetune_operator.lifecycle.admission import waits_for
from finetune_operator.lifecycle.memory import memory_advice
from finetune_operator.lifecycle.observed import Chosen, JobSeen, JobState, Observed, PodSeen
from finetune_operator.lifecycle.outcome import Outcome, outcome_of
from finetune_operator.lifecycle.phase import ENDS
from finetune_operator.lifecycle.places import on_volume
from finetune_operator.lifecycle.status import advance, with_condition, with_plan
from finetune_operator.renderers.claims import render_claims
from finetune_operator.renderers.job import render_attempt
from finetune_operator.renderers.service import render_service
from finetune_operator.renderers.settings import RenderSettings
from finetune_trainer.events import CheckpointEvent, Event, FailureEvent, ResultEvent, StepEvent
from finetune_trainer.exit_codes import NextAction

PROGRESS: Final = timedelta(seconds=15)
"""Between two looks into a trainer's log."""

WAIT: Final = timedelta(minutes=1)
"""Until a job that waits for devices is looked at although nothing was seen to change."""

FIRST_PAUSE: Final = timedelta(seconds=10)
"""Before the second attempt; each further pause is twice as long."""

LONGEST_PAUSE: Final = timedelta(minutes=5)

PATIENCE: Final = timedelta(minutes=10)
"""How long admitted pods may be without a node, or an image, before their devices are others' again."""

RESTARTS: Final = Restarts().limit
"""Where the spec can't be read any more."""

_TRUE: Final = ConditionStatus.TRUE
_FALSE: Final = ConditionStatus.FALSE


def attempt(
    seen: Observed, job: FineTuneJob | None, chosen: Chosen, status: FineTuneJobStatus, settings: RenderSettings
) -> Decision:
    """Start the next attempt, watch the one that is on, or record the end of one.

    Args:
        seen: everything.
        job: None where the spec can't be read any more: what runs is watched to its end, and nothing new is started.
        chosen: what runs.
        status: so far.
        settings: of the platform.
    """
    number = _number(seen)
    status = _as_chosen(status, seen, chosen)
    old = tuple(removal(c) for c in seen.children if c.attempt is not None and c.attempt < number)
    found = seen.attempts.get(number)
    if found is None:
        return _admit(seen, job, chosen, status, settings, old)
    if found.state is JobState.DELETING:
        return Decision(status=_ending(_told(status, seen, job), seen), actions=old)
    status = _admitted(_told(status, seen, job), seen)
    outcome = outcome_of(found, seen.events, seen.now)
    if outcome is not None:
        advice = memory_advice(outcome.reason, status, chosen, job)
        return _record(seen, job, found, number, replace(outcome, message=outcome.message + advice), status)
    if seen.suspended:
        return Decision(status=_ending(status, seen), actions=(*old, removal(found)))
    if _never_starts(found, seen):
        return Decision(status=_given_back(status, found, seen), actions=(*old, removal(found)))
    return Decision(status=_watched(seen, chosen, found, status), actions=old, again=PROGRESS)


def end_of(seen: Observed) -> Decision:
    """A job that is over: what still runs is ended, and children go when their time has come."""
    left = _time_to_live(seen)
    if left is not None and left <= timedelta(0):
        return Decision(status=seen.status, actions=tuple(map(removal, seen.children)))
    running = [a for a in seen.attempts.values() if a.state is JobState.ACTIVE]
    return Decision(status=seen.status, actions=tuple(map(removal, running)), again=left)


def _time_to_live(seen: Observed) -> timedelta | None:
    """What is left of it; None where children are kept as long as the job is there."""
    limit = seen.job.spec.ttl_seconds_after_finished if seen.job is not None else None
    ended = [c.last_transition_time for c in seen.status.conditions if c.type in ENDS and c.status is _TRUE]
    if limit is None or not ended:
        return None
    return max(ended) + timedelta(seconds=limit) - seen.now


def _number(seen: Observed) -> int:
    """Of the attempt that is on, or is next."""
    recorded = seen.status.attempts[-1].number if seen.status.attempts else 0
    # a status that was lost doesn't start a second run beside the first
    return max(recorded + 1, max(seen.attempts, default=1))


def _as_chosen(status: FineTuneJobStatus, seen: Observed, chosen: Chosen) -> FineTuneJobStatus:
    """What was chosen stands in the ConfigMap; a pass that was cut off may not have told it."""
    plan = PlanStatus(option=chosen.option, hash=chosen.hash, config_map=chosen.config_map)
    return with_plan(status, plan, seen.now)


def _admitted(status: FineTuneJobStatus, seen: Observed) -> FineTuneJobStatus:
    return with_condition(status, ConditionType.ADMITTED, "Admitted", "all its pods fit at once", seen.now)


def _never_starts(found: JobSeen, seen: Observed) -> bool:
    """Whether something has been in the way of a pod for long, so that the others only keep devices from jobs."""
    stuck = any(_in_the_way(p) for p in found.pods) or not found.pods
    return stuck and seen.now - found.created >= PATIENCE


def _in_the_way(pod: PodSeen) -> str:
    """What keeps a pod from starting; empty where nothing does, or where it has started."""
    if pod.running or pod.end is not None:
        return ""
    unready = f"its volumes or its network aren't ready on node {pod.node}" if pod.node and pod.held_up else ""
    return pod.obstacle or unready


def _given_back(status: FineTuneJobStatus, found: JobSeen, seen: Observed) -> FineTuneJobStatus:
    obstacle = next((why for p in found.pods if (why := _in_the_way(p))), "its pods weren't made")
    message = f"admitted, and not started in {PATIENCE.total_seconds() / 60:.0f} minutes ({obstacle}); trying again"
    status = with_condition(status, ConditionType.RUNNING, "Stopped", message, seen.now, _FALSE)
    return _not_admitted(status, Reason.WAITING_FOR_CAPACITY, message, seen)


def _admit(
    seen: Observed,
    job: FineTuneJob | None,
    chosen: Chosen,
    status: FineTuneJobStatus,
    settings: RenderSettings,
    old: Sequence[Action],
) -> Decision:
    if seen.suspended:
        message = "spec.suspend is true; the job goes on when it is false"
        held = _not_admitted(_stopped(status, seen), Reason.SUSPENDED, message, seen)
        return Decision(status=held, actions=tuple(old))
    number = _number(seen)
    if job is None:
        return Decision(status=status, actions=tuple(old))
    pause = _pause(status, seen)
    if pause > timedelta(0):
        return Decision(status=status, actions=tuple(old), again=pause)
    writers = _writers(seen, number)
    if writers:
        message = f"{writers} may still write to the output; the next attempt starts when that is over{_by_force(seen)}"
        waiting = _waiting(status, Reason.WAITING_FOR_OUTPUT, message, seen)
        return Decision(status=waiting, actions=tuple(old), again=PROGRESS)
    lack = waits_for(chosen.placement, seen.capacity(), seen.promised())
    if lack:
        waiting = _waiting(status, Reason.WAITING_FOR_CAPACITY, lack, seen)
        return Decision(status=waiting, actions=tuple(old), again=WAIT)
    status = _admitted(status, seen)
    message = f"attempt {number} is starting"
    status = with_condition(status, ConditionType.RUNNING, Reason.STARTING, message, seen.now, _FALSE)
    manifests = _manifests(seen, job, chosen, number, settings)
    return Decision(status=status, actions=(*old, *map(Apply, manifests)), again=PROGRESS)


def _writers(seen: Observed, number: int) -> str:
    """What two attempts would write beside: pods, also those whose Job is gone, and Jobs that may still make some."""
    found = seen.writers()
    if found:
        others = f" and {len(found) - 1} more" if len(found) > 1 else ""
        return f"{found[0]}{others}"
    return next((f"Job {found.name}" for n, found in seen.attempts.items() if n < number), "")


def _by_force(seen: Observed) -> str:
    """What helps where nobody is left to say that a pod is gone: its node is."""
    first = next(iter(seen.writers()), "")
    if not first.startswith("pod "):
        return ""
    command = f"kubectl delete {first} --namespace {seen.identity.namespace} --force"
    return f", or, where its node is gone for good, after {command}"


def _manifests(
    seen: Observed, job: FineTuneJob, chosen: Chosen, number: int, settings: RenderSettings
) -> Iterator[dict[str, object]]:
    service = render_service(seen.identity, chosen.placement, number)
    if service is not None:
        yield service
    claims = render_claims(job, seen.identity, chosen.placement, number)
    if claims is not None:
        yield claims
    yield render_attempt(job, seen.identity, chosen.config_map, chosen.placement, number, settings)


def _pause(status: FineTuneJobStatus, seen: Observed) -> timedelta:
    """What is left of the pause after a failure; the more there were in a row, the longer it is."""
    last = status.attempts[-1] if status.attempts else None
    if last is None:
        return timedelta(0)
    disruptions = sum(1 for _ in takewhile(_uncounted, reversed(status.attempts)))
    failures = status.restarts if last.counted else disruptions
    whole = min(LONGEST_PAUSE, FIRST_PAUSE * (1 << min(max(failures, 1) - 1, 10)))
    return last.finished_at + whole - seen.now


def _uncounted(attempt: AttemptStatus) -> bool:
    return not attempt.counted


def _not_admitted(status: FineTuneJobStatus, reason: Reason, message: str, seen: Observed) -> FineTuneJobStatus:
    return with_condition(status, ConditionType.ADMITTED, reason, message, seen.now, _FALSE)


def _waiting(status: FineTuneJobStatus, reason: Reason, lack: str, seen: Observed) -> FineTuneJobStatus:
    old = find_condition(status.conditions, ConditionType.ADMITTED)
    if old is not None and old.reason == reason and _need_of(old.message) == _need_of(lack):
        # how much is free by now is no news as long as it isn't enough
        return status
    return _not_admitted(_stopped(status, seen), reason, lack, seen)


def _stopped(status: FineTuneJobStatus, seen: Observed) -> FineTuneJobStatus:
    """Nothing runs: the attempt was ended on request, or its Job deleted by somebody."""
    last = find_condition(status.conditions, ConditionType.RUNNING)
    if last is None or (last.status is _FALSE and last.reason not in {Reason.INTERRUPTED, Reason.STARTING}):
        return status
    message = "the job goes on from its checkpoint"
    return with_condition(status, ConditionType.RUNNING, "Stopped", message, seen.now, _FALSE)


def _need_of(lack: str) -> str:
    return lack.partition(";")[0]


def _ending(status: FineTuneJobStatus, seen: Observed) -> FineTuneJobStatus:
    message = "stopping with a checkpoint; the job goes on from there"
    return with_condition(status, ConditionType.RUNNING, Reason.INTERRUPTED, message, seen.now, _FALSE)


def _told(status: FineTuneJobStatus, seen: Observed, job: FineTuneJob | None) -> FineTuneJobStatus:
    for event in _news(seen.events, status):
        status = advance(status, on_volume(event, job), seen.now)
    return status


def _news(events: Sequence[Event], status: FineTuneJobStatus) -> Iterator[Event]:
    """Events that tell more than the status does; the last of each kind is enough."""
    last = {type(e): e for e in events}
    for event in sorted(last.values(), key=events.index):
        if isinstance(event, FailureEvent | ResultEvent):
            # how it ended is judged of all ranks together
            continue
        known = (
            isinstance(event, StepEvent) and status.progress is not None and status.progress.step == event.step
        ) or (
            isinstance(event, CheckpointEvent)
            and status.checkpoint is not None
            and status.checkpoint.step == event.step
        )
        if not known:
            yield event


def _watched(seen: Observed, chosen: Chosen, found: JobSeen, status: FineTuneJobStatus) -> FineTuneJobStatus:
    # one that has ended has run, and how is judged of all together
    running = sum(p.running or p.end is not None for p in found.pods)
    if running < chosen.placement.nodes:
        obstacle = next((p.obstacle for p in found.pods if p.obstacle), "")
        message = obstacle or f"{running} of {chosen.placement.nodes} pods run"
        return with_condition(status, ConditionType.RUNNING, Reason.STARTING, message, seen.now, _FALSE)
    return with_condition(status, ConditionType.RUNNING, "Running", _on(seen, status), seen.now)


def _on(seen: Observed, status: FineTuneJobStatus) -> str:
    """What there is to say of an attempt that runs; what a look into its log has said stands until the next one."""
    old = find_condition(status.conditions, ConditionType.RUNNING)
    if seen.log_problem is None and old is not None and old.status is _TRUE:
        return old.message
    return f"training; progress isn't known: {seen.log_problem}" if seen.log_problem else "training"


def _record(
    seen: Observed, job: FineTuneJob | None, found: JobSeen, number: int, outcome: Outcome, status: FineTuneJobStatus
) -> Decision:
    ended = AttemptStatus(
        number=number,
        job=found.name,
        started_at=found.created,
        # a node's clock may be ahead of ours
        finished_at=min(outcome.at or seen.now, seen.now),
        outcome=outcome.reason,
        exit_code=outcome.code,
        counted=outcome.counted,
        message=outcome.message,
    )
    restarts = status.restarts + outcome.counted
    kept = (*status.attempts, ended)[-MAX_ATTEMPTS:]
    status = status.model_copy(update={"attempts": kept, "restarts": restarts})
    if outcome.result is not None:
        return Decision(status=advance(status, on_volume(outcome.result, job), seen.now))
    limit = job.spec.restarts.limit if job is not None else RESTARTS
    again = outcome.next_action is NextAction.RETRY and restarts <= limit
    if again:
        message = f"attempt {number} ended: {outcome.message}"
        status = with_condition(status, ConditionType.RUNNING, Reason.RESTARTING, message, seen.now, _FALSE)
        return Decision(status=status, again=FIRST_PAUSE)
    exhausted = outcome.next_action is NextAction.RETRY
    reason = "RestartsExhausted" if exhausted else outcome.reason
    message = f"{limit} restarts were not enough; the last: {outcome.message}" if exhausted else outcome.message
    status = with_condition(status, ConditionType.RUNNING, outcome.reason, outcome.message, seen.now, _FALSE)
    return Decision(status=with_condition(status, ConditionType.FAILED, reason, message, seen.now))
