"""Where a result can serve, and the device memory that this takes."""

from functools import lru_cache
from typing import Final

from finetune_operator.api.spec import Method
from finetune_operator.planner.architecture import Architecture
from finetune_operator.planner.recipe import NF4_DOUBLE_BYTES
from finetune_operator.planner.setting import DRIVER_CONTEXT
from finetune_operator.planner.workload import Workload
from finetune_operator.units import GIB, MIB

KEPT_TOKENS: Final = 8192
"""Tokens whose keys and values a small server keeps: a few conversations."""

HALF: Final = 2
"""Bytes of a weight, a key or a value in 16 bits, whatever the training's arithmetic."""


@lru_cache(maxsize=64)
def describe_serving(workload: Workload) -> str:
    """Such as: the adapter (77 MiB) on the base model in 16 bits, or merged into it: about 15.9 GiB."""
    whole = _size(served_bytes(workload.architecture, 0))
    if workload.method is Method.FULL:
        return f"a model of its own in 16 bits: about {whole}"
    adapter = f"the adapter ({_size(HALF * workload.trainable)}) on the base model"
    if workload.quantised:
        packed = _size(served_bytes(workload.architecture, workload.quantised))
        return f"{adapter} in 4 bits: about {packed}; in 16 bits, or merged into it: about {whole}"
    return f"{adapter} in 16 bits, or merged into it: about {whole}"


def served_bytes(architecture: Architecture, quantised: int) -> int:
    """Weights, so many of them in four bits, keys and values of a few conversations, and the driver's context."""
    cached = sum(
        g.count
        * (g.attention.key_width + g.attention.value_width)
        * min(g.attention.window or KEPT_TOKENS, KEPT_TOKENS)
        for g in architecture.groups
    )
    plain = architecture.total_parameters - quantised
    return HALF * (plain + cached) + round(quantised * NF4_DOUBLE_BYTES) + DRIVER_CONTEXT


def _size(count: int) -> str:
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{max(1, round(count / MIB))} MiB"
