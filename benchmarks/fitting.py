"""The memory model's empirical constants, fitted on half of the clusters by trying neighbours of each in turn."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from finetune_operator.planner import activations, reserved
from finetune_operator.units import MIB
from stacks import Case

EMPIRICAL: Final[tuple[tuple[Any, str, tuple[float, ...]], ...]] = (
    (activations, "SCORES_WORKING", (7, 9, 11, 13)),
    (activations, "AUTOCAST_WORKING", (5, 7, 9, 11, 13)),
    (activations, "AUTOCAST_FUSED_WORKING", (7, 9, 11, 13)),
    (activations, "WIDE_WORKING", (8, 10, 12, 14)),
    (reserved, "CACHED", (0, 128 * MIB, 256 * MIB, 512 * MIB)),
    (reserved, "CACHED_SHARE", (0.06, 0.08, 0.105, 0.13, 0.16)),
    (reserved, "LOGIT_BLOCKS", (0.5, 0.8, 1.0, 1.5, 2.0)),
    (reserved, "STREAM_SHARE", (0.0, 0.03, 0.05, 0.08)),
    (reserved, "STREAM_CACHED", (400 * MIB, 800 * MIB, 1200 * MIB, 1600 * MIB)),
    (reserved, "LIVE_CACHED", (2, 3, 4, 5)),
)
"""Where each is, and what is tried; every other number of the model is a count of bytes."""

ROUNDS: Final = 2
"""Times that each constant is gone through."""


class Scored(Protocol):
    """What is fitted on."""

    @property
    def error(self) -> float:
        """In per cent."""


def halves(cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """Every second cluster, in the order of their names; all rows of a cluster are on the same side."""
    order = {cluster: i for i, cluster in enumerate(sorted({c.cluster for c in cases}))}
    return [c for c in cases if order[c.cluster] % 2 == 0], [c for c in cases if order[c.cluster] % 2]


def fit(scores: Callable[[], Sequence[Scored]]) -> dict[str, float]:
    """Set every constant to the value with the least mean error, from the middle; they stay set in this process."""
    for module, name, values in EMPIRICAL:
        setattr(module, name, values[len(values) // 2])
    for _ in range(ROUNDS):
        for module, name, values in EMPIRICAL:
            errors = {v: _mean_error(module, name, v, scores) for v in values}
            setattr(module, name, min(errors, key=errors.__getitem__))
    return {f"{module.__name__.rsplit('.', 1)[-1]}.{name}": getattr(module, name) for module, name, _ in EMPIRICAL}


def _mean_error(module: Any, name: str, value: float, scores: Callable[[], Sequence[Scored]]) -> float:
    setattr(module, name, value)
    errors = [abs(s.error) for s in scores()]
    return sum(errors) / len(errors)
