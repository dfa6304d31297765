"""Ids of options: deterministic, speaking, and unique among the classes of one capacity."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from functools import cache
from itertools import count
from typing import Final

from finetune_operator.api.spec import Accelerator, Method
from finetune_operator.api.status import Offload
from finetune_operator.planner.capacity import NodeClass
from finetune_operator.units import GIB

SIZES: Final = (4, 6, 8, 10, 11, 12, 16, 20, 24, 32, 40, 48, 64, 80, 94, 96, 128, 141, 180, 192, 256, 288)
"""GiB by which GPUs are sold."""

SHORTFALL: Final = 0.1
"""A driver reports up to this share less than what is on the box: 22.5 of 24 GiB on an L4, 44.5 of 48 on an L40S."""

MAX_SLUG: Final = 40
"""Longest name of a product in an id, which has to stay under 80 characters."""


def marketing_size(memory: int) -> int:
    """GiB as on the box: 23.99 is 24, 79.6 is 80."""
    size = memory / GIB
    up = -int(-(size - 0.005) // 1)
    return next((s for s in SIZES if size - 0.005 <= s and s * (1 - SHORTFALL) <= size), max(1, up))


def class_order(node: NodeClass) -> tuple[object, ...]:
    """What classes are sorted by, so that nothing depends on the order in which they were found."""
    price = -1.0 if node.price_per_device_hour is None else node.price_per_device_hour
    device = node.device.accelerator.value, node.device.free, node.device.bf16, node.device.peak_flops
    amounts = node.devices_per_node, node.nodes, node.cores, node.ram, node.free_ram, node.disk
    return (*node.key, *device, *amounts, node.nvme, price, node.resource, node.free_devices, node.assumed)


def class_tags(classes: Sequence[NodeClass]) -> tuple[str, ...]:
    """What ids call each class: cpu or its memory; with its product, and then its own name, where that isn't enough.

    A class of all equal devices goes by its memory, whatever part of its nodes has more of something else. Classes that
    no name tells apart are numbered in the order of what they hold. The order of the classes doesn't
    matter: each gets the same tag in any.
    """
    whole = [i for i, c in enumerate(classes) if not c.part]
    short = [_short(c) for c in classes]
    product = [f"{s}-{slug(c.device.product)}" for s, c in zip(short, classes, strict=True)]
    named = [f"{s}-{slug(c.name)}" for s, c in zip(short, classes, strict=True)]
    taken = {*short, *product, *named}
    chosen: dict[int, str] = {}
    for index in sorted(range(len(classes)), key=lambda i: class_order(classes[i])):
        known = [t for t in (short, product) if index in whole and _alone([t[i] for i in whole], t[index])]
        known += [named] if _alone(named, named[index]) else []
        apart = (t[index] for t in known if t[index] not in chosen.values())
        chosen[index] = next(apart, "") or _numbered(short[index], {*taken, *chosen.values()})
    return tuple(chosen[i] for i in range(len(classes)))


def _numbered(short: str, taken: Collection[str]) -> str:
    return next(tag for tag in (f"{short}-{n}" for n in count(1)) if tag not in taken)


def slug(text: str) -> str:
    """Small letters, digits and dashes, without the maker's name."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return re.sub(r"^(nvidia|amd|tesla|intel)-(geforce-)?", "", words)[:MAX_SLUG].strip("-") or "unnamed"


def option_id(
    method: Method, sharding: tuple[int, Offload], counts: tuple[int, int], tag: str, kind: Accelerator
) -> str:
    """Such as lora-1x24g, full-z3-4x80g, full-z2-offload-1x80g, full-z3-2x8x80g, lora-cpu."""
    return f"{strategy_name(method, *sharding)}-{devices_name(counts, tag, kind)}"


def devices_name(counts: tuple[int, int], tag: str, kind: Accelerator) -> str:
    """The second half of an id: 1x24g, 2x8x80g, cpu."""
    nodes, devices = counts
    if kind is Accelerator.CPU:
        return f"{nodes}x{tag}" if nodes > 1 else tag
    return f"{nodes}x{devices}x{tag}" if nodes > 1 else f"{devices}x{tag}"


@cache
def strategy_name(method: Method, stage: int, offload: Offload) -> str:
    """The first half of an id: lora, full-z3, full-z2-offload."""
    parts = [method.value.lower()]
    if stage:
        parts.append(f"z{stage}")
    if offload is not Offload.NONE:
        parts.append("offload")
    return "-".join(parts)


def _short(node: NodeClass) -> str:
    return "cpu" if node.device.accelerator is Accelerator.CPU else f"{marketing_size(node.device.memory)}g"


def _alone(tags: Sequence[str], tag: str) -> bool:
    return Counter(tags)[tag] == 1
