"""Why a node isn't planned with, as it follows a count: "3 cordoned"."""

from typing import Final

CORDONED: Final = "cordoned"
NOT_READY: Final = "not ready"
NOT_SELECTED: Final = "without the labels that the job selects"
NOT_LINUX: Final = "not Linux"
NO_DEVICE: Final = "with GPUs of which none is offered to pods"
TIME_SLICED: Final = "with GPUs shared by time-slicing, where no share of the memory is a pod's own"
MPS: Final = "with GPUs shared by MPS, where a pod gets a part of a GPU's memory"
MIG_INVALID: Final = "with GPUs cut so that the MIG strategy doesn't offer them"
NO_MEMORY: Final = "with GPUs whose memory no label and no table tells"
POOL: Final = "with a resource pool whose newest slices aren't all there"
DEVICES_SHARED: Final = "with DRA devices that several claims may share"
TAINTED: Final = "tainted"


def unreadable(field: str) -> str:
    """For a node that lacks what every node has."""
    return f"unreadable ({field})"
