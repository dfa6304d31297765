"""When training has gone on for long enough, and which of its weights are the best. Pure, no torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from finetune_trainer.events import HeldOutEvent
from finetune_trainer.job_config import EarlyStoppingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the evaluations so far say."""

    best: int | None
    """Step of the lowest loss, the first of equal ones; None before there is one."""
    waited: int
    """Evaluations since the loss has fallen by more than the threshold."""
    enough: bool
    """Patience is at its end."""


def judge(points: Sequence[HeldOutEvent], rule: EarlyStoppingConfig) -> Standing:
    """Hold evaluations, in order, against the rule; a loss that isn't a number is never the best."""
    best: HeldOutEvent | None = None
    mark = float("inf")
    waited = 0
    for point in points:
        if not math.isnan(point.loss) and (best is None or point.loss < best.loss):
            best = point
        waited = 0 if point.loss < mark - rule.threshold else waited + 1
        mark = point.loss if waited == 0 else mark
    return Standing(best=best.step if best is not None else None, waited=waited, enough=waited >= rule.patience)
