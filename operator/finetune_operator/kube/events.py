"""Tells people what happened, as Event objects; one that can't be written stops nothing."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from finetune_operator.kube.client import FIELD_MANAGER, Client
from finetune_operator.kube.errors import AlreadyExistsError, KubeError
from finetune_operator.kube.kinds import EVENTS, Object

_log: Final = logging.getLogger(__name__)

MAX_NOTE: Final = 1024
"""Bytes of a note; the API server refuses longer ones."""


class Note(Protocol):
    """What is told."""

    @property
    def warning(self) -> bool:
        """Whether somebody should see to it."""

    @property
    def reason(self) -> str:
        """One word."""

    @property
    def message(self) -> str:
        """A sentence."""


class EventRecorder:
    """Writes Events in the name of this process."""

    def __init__(self, client: Client, identity: str, now: Callable[[], datetime]) -> None:
        self._client = client
        self._identity = identity
        self._now = now

    async def record(self, regarding: Mapping[str, Any], note: Note) -> None:
        """Write one Event about that object; the same note on the same version of it is one Event, however often."""
        try:
            await self._client.create(EVENTS, self._event(regarding, note))
        except AlreadyExistsError:
            return
        except KubeError as e:
            _log.warning("An event wasn't written (%s: %s): %s", note.reason, note.message, e)

    def _event(self, regarding: Mapping[str, Any], note: Note) -> Object:
        metadata = regarding["metadata"]
        return {
            "metadata": {"namespace": metadata["namespace"], "name": _name(metadata, note)},
            "eventTime": self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": FIELD_MANAGER,
            "reportingInstance": self._identity[:128],
            "action": "Reconcile",
            "type": "Warning" if note.warning else "Normal",
            "reason": note.reason,
            "note": _cut(note.message),
            "regarding": {
                "apiVersion": regarding["apiVersion"],
                "kind": regarding["kind"],
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
        }


def _cut(message: str) -> str:
    text, mark = message.encode(), "…"
    if len(text) <= MAX_NOTE:
        return message
    return text[: MAX_NOTE - len(mark.encode())].decode(errors="ignore") + mark


def _name(metadata: Mapping[str, Any], note: Note) -> str:
    text = "\n".join((metadata["uid"], metadata["resourceVersion"], note.reason, note.message))
    return f"{metadata['name']}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
