"""What one pass wants done, as values; performing them again changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.lifecycle.observed import Child, JobSeen


@dataclass(frozen=True, slots=True)
class Apply:
    """Make an object be as it is written here."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Remove that very object, and first what it owns."""

    api_version: str
    kind: str
    name: str
    uid: str


Action = Apply | Delete


def removal(found: Child | JobSeen) -> Delete:
    """Remove one object that the job owns."""
    if isinstance(found, JobSeen):
        return Delete(api_version="batch/v1", kind="Job", name=found.name, uid=found.uid)
    return Delete(api_version=found.api_version, kind=found.kind, name=found.name, uid=found.uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The end of one pass."""

    status: FineTuneJobStatus
    """Whole; written once, and not at all where it is what was written last."""
    actions: tuple[Action, ...] = ()
    """In this order, before the status is written."""
    again: timedelta | None = None
    """When to look again although nothing was seen to change."""
