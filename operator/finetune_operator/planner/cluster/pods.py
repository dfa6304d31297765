"""What live pods hold of their node."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from finetune_operator.planner.cluster.labels import is_accelerator
from finetune_operator.planner.cluster.objects import child, entries, text
from finetune_operator.planner.cluster.quantities import read_milli

FINISHED: Final = frozenset({"Succeeded", "Failed"})
"""Phases of a pod that holds nothing any more."""

PLAIN: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
"""Resources that count, beside accelerators."""


class Usage(NamedTuple):
    """What one pod holds."""

    node: str
    devices: tuple[tuple[str, int], ...]
    """Resource and count."""
    holds_devices: bool
    """By resources or by claims: a pod that ends some day; others are taken to stay."""
    cpu: int
    """Thousandths of a core."""
    memory: int
    storage: int
    readable: bool
    """No request was left out because it is no quantity."""


def read_usage(pod: Any) -> Usage | None:
    """What a pod holds; None where it isn't on a node, or is finished."""
    spec = child(pod, "spec")
    node = text(spec.get("nodeName"))
    if not node or text(child(pod, "status").get("phase")) in FINISHED:
        return None
    bad: list[str] = []
    total = _total(spec, bad)
    devices = tuple((name, milli // 1000) for name, milli in total.items() if name not in PLAIN and milli >= 1000)
    return Usage(
        node=node,
        devices=devices,
        holds_devices=bool(devices) or bool(spec.get("resourceClaims")),
        cpu=total.get("cpu", 0),
        memory=total.get("memory", 0) // 1000,
        storage=total.get("ephemeral-storage", 0) // 1000,
        readable=not bad,
    )


def _total(spec: Mapping[str, Any], bad: list[str]) -> dict[str, int]:
    """Requests as the scheduler counts them.

    Containers and sidecars run together; another init container runs beside the sidecars before it. What the pod asks
    for as a whole replaces what its containers add up to, and the overhead of its runtime class comes on top.
    """
    total: dict[str, int] = {}
    for container in entries(spec.get("containers")):
        _add(total, _requests(container, bad))
    starting = entries(spec.get("initContainers"))
    if starting:
        total = _with_init(total, starting, bad)
    for name, milli in _requests(spec, bad).items():
        if name in PLAIN:
            total[name] = milli
    _add(total, _counted(child(spec, "overhead"), bad))
    return total


def _with_init(total: dict[str, int], starting: Sequence[Mapping[str, Any]], bad: list[str]) -> dict[str, int]:
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in starting:
        asked = _requests(container, bad)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, asked)
            asked = {}
        for name in {*asked, *sidecars}:
            peak[name] = max(peak.get(name, 0), asked.get(name, 0) + sidecars.get(name, 0))
    _add(total, sidecars)
    return {name: max(total.get(name, 0), peak.get(name, 0)) for name in {*total, *peak}}


def _requests(container: Mapping[str, Any], bad: list[str]) -> dict[str, int]:
    resources = child(container, "resources")
    # a limit alone is a request, too
    return {**_counted(child(resources, "limits"), bad), **_counted(child(resources, "requests"), bad)}


def _counted(quantities: Mapping[str, Any], bad: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, value in quantities.items():
        if name in PLAIN or is_accelerator(name):
            milli = read_milli(value)
            if milli is None or milli < 0:
                bad.append(name)
            else:
                found[name] = milli
    return found


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, milli in more.items():
        total[name] = total.get(name, 0) + milli
