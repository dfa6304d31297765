"""A node object as facts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from finetune_operator.planner.cluster import labels as names
from finetune_operator.planner.cluster import reasons
from finetune_operator.planner.cluster.accelerators import Offers, read_offers
from finetune_operator.planner.cluster.objects import child, entries, name_of, text, texts
from finetune_operator.planner.cluster.quantities import read_milli, read_whole
from finetune_operator.planner.cluster.slices import read_taints
from finetune_operator.planner.cluster.taints import STATE, Taint
from finetune_operator.planner.processors import ASSUMED_FLAGS

MOST_BYTES: Final = 1 << 60
"""More RAM or disk than a node can have."""

MOST_CORES: Final = 8192
"""More logical processors than a node can have."""

DISK_UNTOLD: Final = "ephemeral storage isn't told, so that no way is turned down for lack of disk"
"""A note: some kubelets don't measure it."""

UNTOLD_DISK: Final = 1 << 50
"""Bytes that stand for a disk of which nothing is known: more than any run writes."""

ARM: Final = "CPU (ARM)"
"""Product of a 64-bit ARM processor."""

BAD_PRICE: Final = f"{names.PRICE} is no decimal and is ignored; write for example 2.90"
"""A note."""

_DECIMAL: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What a node is; what pods hold of it comes on top."""

    name: str
    labels: Mapping[str, str]
    reason: str
    """Why nothing is planned on it, whatever the job; empty where something may be."""
    taints: tuple[Taint, ...]
    offers: Offers
    cpu: int
    """Allocatable thousandths of a core."""
    memory: int
    storage: int
    nvme: bool
    price: float | None
    product: str
    """Of its processor."""
    flags: frozenset[str]
    """Its processor's instructions."""
    notes: tuple[str, ...]


def read_node(node: Any) -> NodeFacts:
    """A node's facts; one that can't be read has a reason and nothing else."""
    labels = texts(child(node, "metadata").get("labels"))
    allocatable = child(node, "status", "allocatable")
    cpu = read_milli(allocatable.get("cpu"))
    memory = read_whole(allocatable.get("memory"), MOST_BYTES)
    told = "ephemeral-storage" in allocatable
    storage = read_whole(allocatable["ephemeral-storage"], MOST_BYTES) if told else UNTOLD_DISK
    price, bad_price = _price(node, labels)
    architecture = text(child(node, "status", "nodeInfo").get("architecture")) or labels.get("kubernetes.io/arch", "")
    measured = {"cpu": cpu if cpu is not None and 1000 <= cpu <= 1000 * MOST_CORES else None}
    measured |= {"memory": memory or None, "ephemeral-storage": storage}
    return NodeFacts(
        name=name_of(node),
        labels=labels,
        reason=_cordoned(node) or _missing(node, measured) or _state(node, labels),
        taints=tuple(t for t in read_taints(child(node, "spec").get("taints")) if not t[0].startswith(STATE)),
        offers=read_offers(allocatable, labels),
        cpu=measured["cpu"] or 0,
        memory=memory or 0,
        storage=storage or 0,
        nvme=names.has_nvme(labels),
        price=price,
        product=ARM if architecture == "arm64" else "CPU",
        flags=names.cpu_flags(labels, architecture, ASSUMED_FLAGS),
        notes=(*((BAD_PRICE,) if bad_price else ()), *(() if told else (DISK_UNTOLD,))),
    )


def matches(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Whether a node has all labels that are selected."""
    return selector.items() <= labels.items()


def _missing(node: Any, measured: Mapping[str, int | None]) -> str:
    if not name_of(node):
        return reasons.unreadable("metadata.name")
    return next((reasons.unreadable(f"status.allocatable.{k}") for k, v in measured.items() if v is None), "")


def _cordoned(node: Any) -> str:
    return reasons.CORDONED if child(node, "spec").get("unschedulable") is True else ""


def _state(node: Any, labels: Mapping[str, str]) -> str:
    status = child(node, "status")
    conditions = entries(status.get("conditions"))
    if not any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions):
        return reasons.NOT_READY
    system = text(child(status, "nodeInfo").get("operatingSystem")) or labels.get("kubernetes.io/os", "linux")
    return "" if system == "linux" else reasons.NOT_LINUX


def _price(node: Any, labels: Mapping[str, str]) -> tuple[float | None, bool]:
    """The price of a device, and whether one is written that can't be used."""
    written: Any = labels.get(names.PRICE)
    if written is None:
        written = child(node, "metadata", "annotations").get(names.PRICE)
    if written is None:
        return None, False
    if not isinstance(written, str) or _DECIMAL.fullmatch(written) is None:
        return None, True
    return float(written), False
