"""What the reconciler asks of those above it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from finetune_operator.kube.kinds import Key, Kind, Object
from finetune_operator.lifecycle.transitions import Note
from finetune_operator.planner.capacity import Capacity
from finetune_operator.renderers.placement import Placement


class Hardware(Protocol):
    """What was seen last of nodes and pods."""

    def capacity(self, origin: str, selector: Mapping[str, str], tolerations: Sequence[Mapping[str, Any]]) -> Capacity:
        """What a job with that node selector and those tolerations can be planned on."""

    def promised(self, but: Key) -> Sequence[Placement]:
        """What admitted pods of jobs other than that one will hold that aren't bound yet, one entry a pod."""

    def writing(self, key: Key, output: str) -> Sequence[str]:
        """Pods and Jobs that may write to that output of that job: "pod NAME", then "Job NAME"."""


class Recorder(Protocol):
    """Tells people what happened, as Events; one that can't be written stops nothing."""

    async def record(self, regarding: Object, note: Note) -> None:
        """Write one Event about that object."""


class Notice(Protocol):
    """Takes in what is known anew."""

    def __call__(self, kind: Kind, change: str, obj: Object, /) -> object:
        """One object, as the API server has answered; change as a watch tells it."""
