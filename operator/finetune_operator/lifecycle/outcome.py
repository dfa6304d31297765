"""How an attempt ended: the first cause, in one word and one sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from finetune_operator.lifecycle.observed import End, JobSeen, JobState, PodSeen
from finetune_trainer.events import Event, FailureEvent, ResultEvent, parse_event
from finetune_trainer.exit_codes import MEANINGS, ExitCode, NextAction

OTHERS: Final = timedelta(seconds=60)
"""How long after the first rank's end the others have to say how they ended."""

KILLED: Final = 128 + 9
"""Exit code of a container that SIGKILL ended."""


OOM_KILLED: Final = "OOMKilled"
"""The kubelet's word where the kernel ended a process that used more memory than its limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of one attempt."""

    reason: str
    message: str
    code: int | None
    counted: bool
    """Against restarts.limit."""
    next_action: NextAction
    result: ResultEvent | None = None
    at: datetime | None = None


def outcome_of(job: JobSeen, events: Sequence[Event], now: datetime) -> Outcome | None:
    """How the attempt ended; None where it hasn't, or where ranks that will still say so haven't yet.

    Args:
        job: the attempt's Job and pods.
        events: of the trainer's log, for what a termination message is too small for.
        now: the time.
    """
    ends = [(pod, end) for pod in job.pods if (end := _end_of(pod, now)) is not None]
    bad = [(pod, end) for pod, end in ends if end.code != 0]
    if bad or job.state is JobState.FAILED:
        first_end = min((e.at for _, e in ends if e.at is not None), default=job.over_since or job.created)
        if len(ends) < len(job.pods) and now - first_end < OTHERS:
            return None
        return _failed(job, bad)
    if job.state is JobState.COMPLETE:
        if len(ends) < len(job.pods) and job.over_since is not None and now - job.over_since < OTHERS:
            # Jobs and pods are told by watches of their own
            return None
        return _complete(job, events)
    return None


def _end_of(pod: PodSeen, now: datetime) -> End | None:
    """How it ended; a pod whose node is gone says so to nobody, and is given up when its grace is over."""
    if pod.end is None and pod.disrupted and pod.gone_by is not None and now >= pod.gone_by:
        return End(code=None, reason="NodeLost", said="", at=pod.gone_by, disrupted=True)
    return pod.end


def _complete(job: JobSeen, events: Sequence[Event]) -> Outcome:
    said = [event_in(pod.end.said) for pod in job.pods if pod.end is not None]
    # the log's first: a termination message is shortened
    results = [e for e in (*events, *said) if isinstance(e, ResultEvent)]
    if results:
        at = max((p.end.at for p in job.pods if p.end is not None and p.end.at is not None), default=None)
        return _outcome(ExitCode.OK, "the output is complete and validated", results[0], at)
    return _outcome(ExitCode.INTERNAL, "the trainer ended well and left no result; its log says more")


def _failed(job: JobSeen, bad: Sequence[tuple[PodSeen, End]]) -> Outcome:
    if not bad:
        return Outcome(
            reason="PodLost",
            message=f"Job {job.name} failed and its pods are gone: {job.why_failed or 'nothing says why'}",
            code=None,
            counted=True,
            next_action=NextAction.RETRY,
        )
    pod, end = min(bad, key=_order)
    return _cause(pod, end)


def _order(found: tuple[PodSeen, End]) -> tuple[bool, bool, float, int]:
    """First what isn't only the echo of another rank's end."""
    pod, end = found
    echo = end.code == ExitCode.RANK_LOST
    return echo, end.code is None, end.at.timestamp() if end.at is not None else 0.0, pod.index


def _cause(pod: PodSeen, end: End) -> Outcome:
    where = f"pod {pod.name}" + (f" on node {pod.node}" if pod.node else "")
    if end.disrupted:
        # the cluster's doing: another attempt goes on from the newest checkpoint
        return Outcome(
            reason="Disrupted",
            message=f"{where} was ended by the cluster ({end.reason}{f': {end.said}' if end.said else ''})",
            code=end.code,
            counted=False,
            next_action=NextAction.RETRY,
            at=end.at,
        )
    if end.code is None:
        message = f"{where} ended without having run: {end.reason}{f': {end.said}' if end.said else ''}"
        return Outcome(
            reason="PodFailed", message=message, code=None, counted=True, next_action=NextAction.RETRY, at=end.at
        )
    said = event_in(end.said)
    if isinstance(said, FailureEvent) and said.code in set(ExitCode):
        return _outcome(ExitCode(said.code), said.message, at=end.at)
    if end.reason != OOM_KILLED and end.code == KILLED:
        deleted = "was deleted, and killed since its checkpoint took longer than its grace period"
        killed = f"was killed ({end.reason}), and not for the memory that it asked for"
        message = f"{where} {killed if pod.gone_by is None else deleted}"
        return Outcome(
            reason="PodFailed", message=message, code=end.code, counted=True, next_action=NextAction.RETRY, at=end.at
        )
    if end.reason == OOM_KILLED:
        return _outcome(
            ExitCode.HOST_OUT_OF_MEMORY,
            f"{where} was killed for using more memory than it asked for ({end.reason}); choose an option with more "
            "memory to spare, or lower dataset.maxLength or training.batchSize",
            at=end.at,
        )
    code = ExitCode(end.code) if end.code in set(ExitCode) else ExitCode.INTERNAL
    return _outcome(code, f"{where} ended with code {end.code} ({end.reason}); its log says more", at=end.at)


def _outcome(code: ExitCode, message: str, result: ResultEvent | None = None, at: datetime | None = None) -> Outcome:
    meaning = MEANINGS[code]
    return Outcome(
        reason=meaning.reason,
        message=message,
        code=int(code),
        counted=meaning.counts_as_restart,
        next_action=meaning.next_action,
        result=result,
        at=at,
    )


def event_in(said: str) -> Event | None:
    """The event that a termination message carries; None where it carries none of ours."""
    events = (parse_event(line) for line in said.splitlines())
    return next((e for e in events if e is not None), None)
