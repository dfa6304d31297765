"""Which taints keep a job's pods away."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from finetune_operator.planner.cluster.labels import is_accelerator
from finetune_operator.planner.cluster.objects import text

Taint = tuple[str, str, str]
"""Key, value and effect."""

STATE: Final = "node.kubernetes.io/"
"""Beginning of the taints by which Kubernetes repeats what a node's state says."""


def blocking(taints: Sequence[Taint], tolerations: Sequence[Mapping[str, Any]], *, devices: bool) -> Taint | None:
    """The first taint that keeps pods away.

    Args:
        taints: of the node or the device.
        tolerations: as a pod has them.
        devices: whether the pods ask for accelerators: a taint whose key is the name of such a resource keeps other
            pods off, and is theirs to tolerate.
    """
    for taint in taints:
        if not (devices and is_accelerator(taint[0])) and not any(_tolerates(t, taint) for t in tolerations):
            return taint
    return None


def describe(taint: Taint) -> str:
    """As kubectl writes it: key=value:effect."""
    key, value, effect = taint
    return f"{key}={value}:{effect}" if value else f"{key}:{effect}"


def _tolerates(toleration: Any, taint: Taint) -> bool:
    if not isinstance(toleration, Mapping):
        return False
    key, value, effect = taint
    operator = text(toleration.get("operator")) or "Equal"
    wanted = text(toleration.get("key"))
    if text(toleration.get("effect")) not in {"", effect}:
        return False
    if operator == "Exists":
        return wanted in {"", key}
    return operator == "Equal" and wanted == key and text(toleration.get("value")) == value
