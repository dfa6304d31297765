"""Devices that admitted pods will hold and that no node shows yet."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finetune_operator.constants import KIND
from finetune_operator.renderers.names import PLACEMENT_ANNOTATION
from finetune_operator.renderers.placement import Placement


class Promises:
    """Jobs of ours and which of their pods are bound, kept up to date object by object."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[tuple[str, str], Placement]] = {}
        self._bound: dict[str, set[str]] = {}

    def add_job(self, found: Mapping[str, Any]) -> None:
        """A Job that is new or has changed."""
        placement = _placement(found)
        if placement is None:
            return
        over = any(c.get("status") == "True" for c in (found.get("status") or {}).get("conditions") or ())
        if over or found["metadata"].get("deletionTimestamp"):
            self.remove_job(found)
            return
        owners = found["metadata"].get("ownerReferences") or ()
        key = (found["metadata"]["namespace"], next((str(o["name"]) for o in owners if o.get("controller")), ""))
        self._open[found["metadata"]["uid"]] = key, placement

    def remove_job(self, found: Mapping[str, Any]) -> None:
        """A Job that is gone."""
        self._open.pop(found["metadata"]["uid"], None)

    def add_pod(self, found: Mapping[str, Any]) -> None:
        """A pod that is new or has changed."""
        if (found.get("spec") or {}).get("nodeName"):
            for owner in _owners(found):
                self._bound.setdefault(owner, set()).add(found["metadata"]["uid"])

    def remove_pod(self, found: Mapping[str, Any]) -> None:
        """A pod that is gone."""
        for owner in _owners(found):
            held = self._bound.get(owner)
            if held is not None:
                held.discard(found["metadata"]["uid"])
                if not held:
                    del self._bound[owner]

    def promised(self, namespace: str, name: str) -> Sequence[Placement]:
        """What admitted pods of jobs other than that one will hold, one entry a pod."""
        return tuple(self._unbound((namespace, name)))

    def _unbound(self, but: tuple[str, str]) -> Iterator[Placement]:
        for uid, (key, placement) in self._open.items():
            if key != but:
                for _ in range(placement.nodes - len(self._bound.get(uid, ()))):
                    yield placement


def _placement(found: Mapping[str, Any]) -> Placement | None:
    """What a Job's pods will hold; None where it isn't one of our attempts, or of a version that we can't read."""
    text = (found["metadata"].get("annotations") or {}).get(PLACEMENT_ANNOTATION)
    owners = found["metadata"].get("ownerReferences") or ()
    if text is None or not any(o.get("controller") and o.get("kind") == KIND for o in owners):
        return None
    try:
        placement = Placement.model_validate(json.loads(text), strict=False, extra="ignore")
    except ValueError:
        return None
    # the Job itself says how many pods there will be
    pods = int((found.get("spec") or {}).get("completions") or 1)
    return placement.model_copy(update={"nodes": min(placement.nodes, pods)})


def _owners(found: Mapping[str, Any]) -> Iterator[str]:
    for owner in found["metadata"].get("ownerReferences") or ():
        if owner.get("kind") == "Job":
            yield str(owner["uid"])
