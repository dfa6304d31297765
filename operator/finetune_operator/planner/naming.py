"""Ids of options: deterministic, speaking, and unique among the classes of one capacity."""

import re
from collections import Counter
from collections.abc import Sequence
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


def class_tags(classes: Sequence[NodeClass]) -> tuple[str, ...]:
    """What ids call each class: cpu or its memory; with its product, and then its own name, where that isn't enough."""
    short = [_short(c) for c in classes]
    product = [f"{s}-{slug(c.device.product)}" for s, c in zip(short, classes, strict=True)]
    named = [f"{s}-{slug(c.name)}" for s, c in zip(short, classes, strict=True)]
    numbered = [f"{s}-{i}" for i, s in enumerate(short, start=1)]
    chosen = [
        next((option[i] for option in (short, product, named) if _alone(option, i)), numbered[i])
        for i in range(len(classes))
    ]
    return tuple(chosen)


def slug(text: str) -> str:
    """Small letters, digits and dashes, without the maker's name."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return re.sub(r"^(nvidia|amd|tesla|intel)-(geforce-)?", "", words)[:MAX_SLUG].strip("-") or "unnamed"


def option_id(
    method: Method, sharding: tuple[int, Offload], counts: tuple[int, int], tag: str, kind: Accelerator
) -> str:
    """Such as lora-1x24g, full-z3-4x80g, full-z2-offload-1x80g, full-z3-2x8x80g, lora-cpu."""
    stage, offload = sharding
    nodes, devices = counts
    parts = [method.value.lower()]
    if stage:
        parts.append(f"z{stage}")
    if offload is not Offload.NONE:
        parts.append("offload")
    if kind is Accelerator.CPU:
        parts.append(f"{nodes}x{tag}" if nodes > 1 else tag)
    else:
        parts.append(f"{nodes}x{devices}x{tag}" if nodes > 1 else f"{devices}x{tag}")
    return "-".join(parts)


def _short(node: NodeClass) -> str:
    return "cpu" if node.device.accelerator is Accelerator.CPU else f"{marketing_size(node.device.memory)}g"


def _alone(tags: Sequence[str], index: int) -> bool:
    return Counter(tags)[tags[index]] == 1
