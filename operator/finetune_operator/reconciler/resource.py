"""A FineTuneJob as the API server holds it, as our own types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from finetune_operator.api.base import format_place
from finetune_operator.api.conditions import ConditionType, Reason
from finetune_operator.api.resource import FineTuneJob, Identity
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.api.surroundings import refused_in_cluster
from finetune_operator.exceptions import InvalidManifestError
from finetune_operator.local.document import Document
from finetune_operator.local.faults import validate
from finetune_operator.renderers import names

_WHERE: Final = "job"
_WAITING: Final = {Reason.WAITING_FOR_CAPACITY, Reason.WAITING_FOR_OUTPUT}


def read_identity(found: Mapping[str, Any]) -> Identity:
    """Which object it is."""
    meta = found["metadata"]
    return Identity(
        name=meta["name"], namespace=meta["namespace"], uid=meta["uid"], generation=int(meta.get("generation") or 0)
    )


def read_resource(found: Mapping[str, Any]) -> tuple[FineTuneJob | None, str]:
    """The job, or why it is none: an object may have been written past validation, or before a rule was there."""
    meta = {k: v for k, v in found["metadata"].items() if k in {"name", "namespace"}}
    value = {
        "apiVersion": found.get("apiVersion"),
        "kind": found.get("kind"),
        "metadata": meta,
        "spec": found.get("spec"),
    }
    try:
        job = validate(Document(name=_WHERE, value=value, lines={(): 0}, texts={}, faults=()), FineTuneJob)
    except InvalidManifestError as e:
        return None, "; ".join(line.removeprefix(f"{_WHERE}:0: ") for line in str(e).splitlines())
    refused = [f"{format_place(('spec', *c.at))}: {c.sentence}" for c in refused_in_cluster(job.spec)]
    return (None, "; ".join(refused)) if refused else (job, "")


@dataclass(frozen=True, slots=True)
class Spec:
    """What a job's spec says, and what follows from it for any pass."""

    job: FineTuneJob | None
    problem: str
    """Why it is none."""
    facts_map: str = ""
    """Name of the ConfigMap that holds, or is to hold, what was read of model and data."""
    inspection: str = ""
    """Of the Job that reads them."""
    output: str = ""
    """The place that is written to, as the pods' label has it."""
    selector: Mapping[str, str] = field(default_factory=dict)
    """Labels that it wants of nodes."""
    tolerations: Sequence[Mapping[str, Any]] = ()
    """What it tolerates there, as a pod has it."""


def read_spec(found: Mapping[str, Any]) -> Spec:
    """The same as long as the object's generation is."""
    job, problem = read_resource(found)
    if job is None:
        return Spec(job, problem)
    identity = read_identity(found)
    selector, tolerations = nodes_of(job)
    return Spec(
        job=job,
        problem=problem,
        facts_map=names.facts_name(identity, job),
        inspection=names.inspection_name(identity, job),
        output=names.output_of(job),
        selector=selector,
        tolerations=tolerations,
    )


def read_status(found: Mapping[str, Any]) -> FineTuneJobStatus:
    """What was written of it last; a status that isn't ours, or of another version, is begun anew."""
    try:
        # fields of a newer version are left out: without the rest a run would be begun beside the one that is on
        return FineTuneJobStatus.model_validate(found.get("status") or {}, strict=False, extra="ignore")
    except ValidationError:
        return FineTuneJobStatus()


def waits_for_devices(found: Mapping[str, Any]) -> bool:
    """Whether a job would start if devices were free, or if pods were gone."""
    conditions = _fields(found.get("status")).get("conditions")
    return any(
        c.get("type") == ConditionType.ADMITTED and c.get("reason") in _WAITING
        for c in map(_fields, conditions if isinstance(conditions, list) else ())
    )


def is_suspended(found: Mapping[str, Any]) -> bool:
    """Whether it is to be stopped, also where its spec can't be read as a whole."""
    return _fields(found.get("spec")).get("suspend") is True


def nodes_of(job: FineTuneJob) -> tuple[Mapping[str, str], Sequence[Mapping[str, Any]]]:
    """The labels that a job wants of nodes, and what it tolerates there, as a pod has them."""
    hardware = job.spec.hardware
    return hardware.node_selector, [
        t.model_dump(mode="json", by_alias=True, exclude_none=True) for t in hardware.tolerations
    ]


def _fields(value: Any) -> Mapping[str, Any]:
    """An object's fields; an object that was written past validation may have none."""
    return value if isinstance(value, dict) else {}
