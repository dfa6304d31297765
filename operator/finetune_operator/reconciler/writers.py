"""Who may write to an output: trainers' pods, whatever made them, and Jobs whose pods may not be there yet."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from finetune_operator.renderers.names import COMPONENT_LABEL, JOB_LABEL, MANAGED_BY, MANAGER, OUTPUT_LABEL, TRAINER

_OVER: Final = frozenset({"Succeeded", "Failed"})
_ENDED: Final = frozenset({"Complete", "Failed"})

_Place: TypeAlias = tuple[str, str, str]
"""Namespace, label and its value."""


class Writers:
    """Kept up to date object by object; what an event costs is one object."""

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}
        self._names: defaultdict[_Place, dict[str, str]] = defaultdict(dict)

    def add_pod(self, found: Mapping[str, Any]) -> None:
        """A pod that is new or has changed; one whose processes have all ended writes nothing more."""
        self._add(found, "pod", over=(found.get("status") or {}).get("phase") in _OVER)

    def add_job(self, found: Mapping[str, Any]) -> None:
        """A Job that is new or has changed; one that is over makes no pods any more."""
        conditions = (found.get("status") or {}).get("conditions") or ()
        self._add(found, "Job", over=any(c.get("type") in _ENDED and c.get("status") == "True" for c in conditions))

    def remove_pod(self, found: Mapping[str, Any]) -> None:
        """A pod that is gone."""
        self._remove(found)

    def remove_job(self, found: Mapping[str, Any]) -> None:
        """A Job that is gone."""
        self._remove(found)

    def _add(self, found: Mapping[str, Any], kind: str, *, over: bool) -> None:
        place = _place(found)
        if place is None:
            return
        if over:
            self._remove(found)
            return
        uid = found["metadata"]["uid"]
        self._places[uid] = place
        self._names[place][uid] = f"{kind} {found['metadata']['name']}"

    def _remove(self, found: Mapping[str, Any]) -> None:
        place = self._places.pop(found["metadata"]["uid"], None)
        if place is not None:
            del self._names[place][found["metadata"]["uid"]]
            if not self._names[place]:
                del self._names[place]

    def writing(self, namespace: str, job: str, output: str) -> Sequence[str]:
        """Who writes to that output, and who of a job of that name doesn't say where to: "pod NAME", then "Job NAME".

        Args:
            namespace: of the job and its pods.
            job: its name; a job that was deleted and applied again meets what the old one left.
            output: as the pods' label has it.
        """
        places = (namespace, OUTPUT_LABEL, output), (namespace, JOB_LABEL, job)
        return sorted((name for place in places for name in self._names.get(place, {}).values()), reverse=True)


def _place(found: Mapping[str, Any]) -> _Place | None:
    labels = found["metadata"].get("labels") or {}
    if labels.get(MANAGED_BY) != MANAGER or labels.get(COMPONENT_LABEL) != TRAINER:
        return None
    # pods of an earlier version have no label of their output
    label = OUTPUT_LABEL if OUTPUT_LABEL in labels else JOB_LABEL
    return found["metadata"].get("namespace", ""), label, labels.get(label, "")
