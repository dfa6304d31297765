"""A FineTuneJob as the API server holds it, as our own types."""

from collections.abc import Mapping
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

_WHERE: Final = "job"


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


def read_status(found: Mapping[str, Any]) -> FineTuneJobStatus:
    """What was written of it last; a status that isn't ours, or of another version, is begun anew."""
    try:
        # fields of a newer version are left out: without the rest a run would be begun beside the one that is on
        return FineTuneJobStatus.model_validate(found.get("status") or {}, strict=False, extra="ignore")
    except ValidationError:
        return FineTuneJobStatus()


def waits_for_devices(found: Mapping[str, Any]) -> bool:
    """Whether a job would start if more were free."""
    conditions = (found.get("status") or {}).get("conditions") or ()
    return any(
        c.get("type") == ConditionType.ADMITTED and c.get("reason") == Reason.WAITING_FOR_CAPACITY for c in conditions
    )
