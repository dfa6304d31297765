"""What one pass wants done, as values; performing them again changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from finetune_operator.api.status import FineTuneJobStatus


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The end of one pass."""

    status: FineTuneJobStatus
    """Whole; written once, and not at all where it is what was written last."""
    actions: tuple[Action, ...] = ()
    """In this order, before the status is written."""
    again: timedelta | None = None
    """When to look again although nothing was seen to change."""
