"""Which changes of what a job owns can make a difference to it: most of Jobs and pods only count what is known."""

from typing import Any

from finetune_operator.kube.kinds import JOBS, PODS, Kind, Object
from finetune_operator.lifecycle.observed import read_job, read_pod


def matters(kind: Kind, before: Object | None, after: Object) -> bool:
    """Whether a job is to be looked at for what an object of its has become.

    Args:
        kind: of the object.
        before: what it was; None of one that is new.
        after: what it is.
    """
    if before is None:
        return kind != PODS or _of_pod(after) != _NOTHING
    old, new = before["metadata"], after["metadata"]
    if any(old.get(name) != new.get(name) for name in ("uid", "labels", "ownerReferences")):
        return True
    if kind == JOBS:
        return read_job(before, ()) != read_job(after, ())
    return kind != PODS or _of_pod(before) != _of_pod(after)


_NOTHING = (False, None, "", None, False)


def _of_pod(found: Object) -> tuple[Any, ...]:
    """What is acted on as soon as it is seen; a node, or volumes that take long, are looked at from time to time."""
    pod = read_pod(found)
    return pod.running, pod.end, pod.obstacle, pod.gone_by, pod.disrupted
