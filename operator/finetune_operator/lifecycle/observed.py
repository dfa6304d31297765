"""What is seen of one job in a cluster, as values; read from objects as the API server gives them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from finetune_operator.api.resource import FineTuneJob, Identity
from finetune_operator.api.spec import FineTuneJobSpec
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.facts import Facts
from finetune_operator.planner.plan import PlanSet
from finetune_operator.renderers.names import TRAINER_CONTAINER
from finetune_operator.renderers.placement import Placement
from finetune_trainer.events import Event, InspectionFacts

DISRUPTED: Final = "DisruptionTarget"
"""Condition of a pod that the cluster ends for reasons of its own: eviction, preemption, a node that is gone."""

READY_TO_START: Final = "PodReadyToStartContainers"
"""Condition of a pod whose sandbox, network and volumes are there."""

INDEX: Final = "batch.kubernetes.io/job-completion-index"
"""Label, and before it annotation, of a pod of an Indexed Job."""


Planner = Callable[[FineTuneJobSpec, Facts, Capacity], PlanSet]
"""The planner, or what gives its answers; raises what it raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a pod's work ended."""

    code: int | None
    """Exit code; None where nobody could read it: the node is gone, or the pod was refused."""
    reason: str
    """The kubelet's or the control plane's word: Completed, Error, OOMKilled, Evicted."""
    said: str
    """The termination message."""
    at: datetime | None
    disrupted: bool
    """By the cluster and for reasons of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSeen:
    """One pod of a Job of ours."""

    name: str
    index: int
    node: str
    """Empty where it isn't bound yet."""
    running: bool
    end: End | None
    obstacle: str
    """Why it doesn't start, as the scheduler or the kubelet says; empty where nothing is in its way."""
    held_up: bool
    """On a node, and its volumes or its network aren't there; so it is for a moment at each start."""
    gone_by: datetime | None
    """When a pod that is being deleted should be gone, its grace included; None for others."""
    disrupted: bool
    """The cluster ends it for reasons of its own."""


class JobState(StrEnum):
    """How far a batch/v1 Job is."""

    ACTIVE = "Active"
    COMPLETE = "Complete"
    FAILED = "Failed"
    DELETING = "Deleting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One object that the job owns."""

    api_version: str
    kind: str
    name: str
    uid: str
    attempt: int | None
    """Whose it is; None for what is there once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSeen:
    """One Job of ours and its pods."""

    name: str
    uid: str
    state: JobState
    created: datetime
    pods: tuple[PodSeen, ...] = ()
    over_since: datetime | None = None
    """When the Job controller called it complete or failed."""
    why_failed: str = ""
    """What the Job controller says."""

    @property
    def first(self) -> PodSeen | None:
        """The newest pod of rank 0's node."""
        found = [p for p in self.pods if p.index == 0]
        return found[-1] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A choice that is made: the immutable ConfigMap that the run is started with."""

    config_map: str
    option: str
    hash: str
    placement: Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything that one pass decides on."""

    identity: Identity
    job: FineTuneJob | None
    """None where the object can't be read as one; `problem` says why."""
    problem: str
    status: FineTuneJobStatus
    """As it was written last."""
    facts: InspectionFacts | None
    """Of the model and the data that the spec names now."""
    facts_since: datetime | None
    """When those were written."""
    facts_map: str
    """Name of the ConfigMap that holds, or is to hold, those facts."""
    inspection: JobSeen | None
    chosen: Chosen | None
    attempts: Mapping[int, JobSeen]
    """By number."""
    children: Sequence[Child]
    """All that the job owns and that isn't on its way out: Jobs, Services, ConfigMaps."""
    events: Sequence[Event]
    """The newest that the trainer's log has; empty where it wasn't read."""
    log_problem: str | None
    """Why the log couldn't be read; empty where it could, None where it wasn't asked for."""
    capacity: Callable[[], Capacity]
    """Of the nodes that the job's pods may go to; asked for only where it matters, since it costs."""
    promised: Callable[[], Sequence[Placement]]
    """What other jobs' admitted pods will hold that aren't bound to a node yet, one entry a pod."""
    writers: Callable[[], Sequence[str]]
    """Who may write to the job's output, "pod NAME" before "Job NAME"; asked for only where a new pod is to."""
    plan: Planner
    suspended: bool
    now: datetime


def read_job(found: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> JobSeen:
    """A batch/v1 Job and its pods."""
    meta, status = found["metadata"], found.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}
    failed = conditions.get("Failed") or conditions.get("FailureTarget")
    if meta.get("deletionTimestamp"):
        state = JobState.DELETING
    elif failed is not None:
        state = JobState.FAILED
    else:
        state = JobState.COMPLETE if "Complete" in conditions else JobState.ACTIVE
    ordered = sorted(pods, key=lambda p: p["metadata"].get("creationTimestamp") or "")
    return JobSeen(
        name=meta["name"],
        uid=meta["uid"],
        state=state,
        created=read_time(meta["creationTimestamp"]),
        pods=tuple(read_pod(p) for p in ordered),
        over_since=_since(failed or conditions.get("Complete")),
        why_failed=str((failed or {}).get("message") or ""),
    )


def read_pod(found: Mapping[str, Any]) -> PodSeen:
    """A v1 Pod of a Job of ours."""
    meta, status = found["metadata"], found.get("status") or {}
    labels = {**(meta.get("annotations") or {}), **(meta.get("labels") or {})}
    containers = {c["name"]: c for c in status.get("containerStatuses") or ()}
    main = containers.get(TRAINER_CONTAINER) or {}
    return PodSeen(
        name=meta["name"],
        index=int(labels.get(INDEX) or 0),
        node=str((found.get("spec") or {}).get("nodeName") or ""),
        running="running" in (main.get("state") or {}),
        end=_end(status, main),
        obstacle=_obstacle(status),
        held_up=_is_false(status, READY_TO_START),
        gone_by=read_time(meta["deletionTimestamp"]) if meta.get("deletionTimestamp") else None,
        disrupted=_disrupted(status),
    )


def read_time(text: str) -> datetime:
    """RFC 3339, as the API server writes it."""
    return datetime.fromisoformat(text)


def _since(condition: Mapping[str, Any] | None) -> datetime | None:
    time = (condition or {}).get("lastTransitionTime")
    return read_time(time) if time else None


def _disrupted(status: Mapping[str, Any]) -> bool:
    return any(c.get("type") == DISRUPTED and c.get("status") == "True" for c in status.get("conditions") or ())


def _is_false(status: Mapping[str, Any], kind: str) -> bool:
    return any(c.get("type") == kind and c.get("status") == "False" for c in status.get("conditions") or ())


def _end(status: Mapping[str, Any], main: Mapping[str, Any]) -> End | None:
    disrupted = _disrupted(status)
    inits = [c for c in status.get("initContainerStatuses") or () if (_terminated(c) or {}).get("exitCode")]
    ended = _terminated(main) or (_terminated(inits[0]) if inits else None)
    over = status.get("phase") in {"Failed", "Succeeded"}
    if ended is not None and (over or not inits):
        return End(
            code=int(ended["exitCode"]),
            reason=str(ended.get("reason") or ""),
            said=str(ended.get("message") or ""),
            at=read_time(ended["finishedAt"]) if ended.get("finishedAt") else None,
            disrupted=disrupted,
        )
    if not over:
        return None
    return End(
        code=None,
        reason=str(status.get("reason") or "Lost"),
        said=str(status.get("message") or ""),
        at=None,
        disrupted=disrupted,
    )


def _terminated(container: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = (container.get("state") or {}).get("terminated")
    return found


def _obstacle(status: Mapping[str, Any]) -> str:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason') or 'Unschedulable'}: {condition.get('message') or 'no node takes it yet'}"
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = str(waiting.get("reason") or "")
        if reason and reason not in {"ContainerCreating", "PodInitializing"}:
            return f"{reason}: {waiting.get('message') or container.get('image', '')}"
    return ""
