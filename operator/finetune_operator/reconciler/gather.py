"""Everything that one pass decides on, out of what was seen; only a log is read from the API server."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from pydantic import ValidationError

from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.kube.client import Client
from finetune_operator.kube.errors import KubeError
from finetune_operator.kube.kinds import CLAIM_TEMPLATES, CONFIG_MAPS, JOBS, PODS, SERVICES, Kind, Object, uid_of
from finetune_operator.kube.store import Store
from finetune_operator.lifecycle.attempts import PROGRESS
from finetune_operator.lifecycle.observed import (
    Child,
    Chosen,
    JobSeen,
    JobState,
    Observed,
    Planner,
    read_job,
    read_time,
)
from finetune_operator.lifecycle.phase import is_over
from finetune_operator.reconciler.kept import Kept
from finetune_operator.reconciler.pace import Pace
from finetune_operator.reconciler.ports import Hardware
from finetune_operator.reconciler.resource import Spec, is_suspended, read_identity, read_spec, read_status
from finetune_operator.renderers import names
from finetune_operator.renderers.bundle import Bundle
from finetune_operator.renderers.placement import PLACEMENT_FILE, Placement
from finetune_trainer.events import Event, InspectionFacts, parse_event
from finetune_trainer.job_config import JOB_FILE

LOG_LINES: Final = 200
"""Of a trainer's log that are read at once: it tells at most 500 steps a run, and its libraries say little."""


LOG_BYTES: Final = 256 << 10
"""Likewise."""

CHILDREN: Final = (JOBS, SERVICES, CONFIG_MAPS, CLAIM_TEMPLATES)
"""Kinds of what a job owns."""

STATUSES: Final = 512
"""Statuses that are kept as they were read: of jobs that move, each in a few passes within seconds."""

ORIGIN: Final = "the cluster"
"""For sentences."""


@dataclass(frozen=True, slots=True)
class World:
    """Where a pass looks."""

    store: Store
    hardware: Hardware
    plan: Planner
    specs: Kept[Spec] = field(default_factory=lambda: Kept(read_spec, "generation"))
    statuses: Kept[FineTuneJobStatus] = field(default_factory=lambda: Kept(read_status, "resourceVersion", STATUSES))
    choices: Kept[Chosen] = field(default_factory=lambda: Kept(_choice, "resourceVersion"))
    pace: Pace = field(default_factory=lambda: Pace(PROGRESS))
    """Of looks into a log."""


def gather(world: World, found: Object, now: datetime) -> Observed:
    """What is seen of one job, without its log."""
    identity = read_identity(found)
    spec = world.specs(found)
    owned = {kind: world.store.owned_by(kind, identity.uid) for kind in CHILDREN}
    maps = owned[CONFIG_MAPS]
    jobs = {j["metadata"]["name"]: j for j in owned[JOBS]}
    kept = next((m for m in maps if m["metadata"]["name"] == spec.facts_map), None)
    inspection = jobs.get(spec.inspection)
    return Observed(
        identity=identity,
        job=spec.job,
        problem=spec.problem,
        status=world.statuses(found),
        facts=_facts(kept),
        facts_since=read_time(kept["metadata"]["creationTimestamp"]) if kept is not None else None,
        facts_map=spec.facts_map,
        inspection=_seen(world, inspection) if inspection is not None else None,
        chosen=_chosen(world, maps),
        attempts={int(n): _seen(world, j) for j in jobs.values() if (n := _attempt(j)) is not None},
        children=tuple(_child(kind, c) for kind, found in owned.items() for c in found if not _goes(c)),
        events=(),
        log_problem=None,
        capacity=partial(world.hardware.capacity, ORIGIN, spec.selector, spec.tolerations),
        promised=partial(world.hardware.promised, (identity.namespace, identity.name)),
        writers=partial(world.hardware.writing, (identity.namespace, identity.name), spec.output),
        plan=world.plan,
        suspended=is_suspended(found),
        now=now,
    )


async def with_log(seen: Observed, client: Client, pace: Pace) -> Observed:
    """The same with what the trainer says, where it is time to look; a log that may not be read stops nothing."""
    pod = _log_pod(seen, pace)
    if pod is None:
        return seen
    try:
        text = await client.read_log(
            (seen.identity.namespace, pod), names.TRAINER_CONTAINER, tail_lines=LOG_LINES, limit_bytes=LOG_BYTES
        )
    except KubeError as e:
        return replace(seen, log_problem=str(e))
    return replace(seen, events=tuple(_events((text or "").splitlines())), log_problem="")


def _log_pod(seen: Observed, pace: Pace) -> str | None:
    """Whose log it is time to read: one that runs, from time to time; one that has ended, when its Job has."""
    current = seen.attempts.get(max(seen.attempts, default=0))
    first = current.first if current is not None else None
    if current is None or first is None or is_over(seen.status.conditions):
        return None
    if first.end is not None:
        return first.name if current.state is not JobState.ACTIVE else None
    told = seen.status.progress
    due = told is None or seen.now - told.updated_at >= PROGRESS
    return first.name if first.running and due and pace.allows(current.uid, seen.now) else None


def _events(lines: Iterable[str]) -> Iterable[Event]:
    return filter(None, map(parse_event, lines))


def _seen(world: World, job: Object) -> JobSeen:
    return read_job(job, world.store.owned_by(PODS, uid_of(job)))


def _child(kind: Kind, found: Object) -> Child:
    number = _attempt(found)
    return Child(
        api_version=kind.api_version,
        kind=kind.kind,
        name=found["metadata"]["name"],
        uid=uid_of(found),
        attempt=int(number) if number is not None else None,
    )


def _goes(found: Object) -> bool:
    return bool(found["metadata"].get("deletionTimestamp"))


def _attempt(job: Object) -> str | None:
    found: str | None = (job["metadata"].get("labels") or {}).get(names.ATTEMPT_LABEL)
    return found


def _facts(kept: Object | None) -> InspectionFacts | None:
    text = kept["data"].get(names.FACTS_FILE) if kept is not None else None
    try:
        return InspectionFacts.model_validate_json(text) if text else None
    except ValidationError:
        # of another version of ours: it is read again
        return None


def _chosen(world: World, maps: Sequence[Object]) -> Chosen | None:
    """The choice that was made first, should there ever be two."""
    runs = [m for m in maps if PLACEMENT_FILE in (m.get("data") or {})]
    if not runs:
        return None
    return world.choices(min(runs, key=lambda m: (m["metadata"].get("creationTimestamp") or "", m["metadata"]["name"])))


def _choice(found: Mapping[str, Any]) -> Chosen:
    files = {name: text for name, text in found["data"].items() if name != PLACEMENT_FILE}
    # not from the annotations, which aren't immutable
    return Chosen(
        config_map=found["metadata"]["name"],
        option=json.loads(files[JOB_FILE])["prediction"]["option"],
        hash=Bundle(files=files).hash,
        placement=Placement.model_validate(json.loads(found["data"][PLACEMENT_FILE]), strict=False, extra="ignore"),
    )
