"""What judged answers say of a model: shares of held-out rows. Pure, no torch."""

import math
from collections.abc import Sequence
from typing import Final

from finetune_trainer.evidence import JudgedAnswers
from finetune_trainer.job_config import PAIRED, Objective

TIE: Final = 0.5
"""What a row counts where neither answer is ahead: a toss of a coin would be right as often."""


def preference_metrics(
    objective: Objective, rows: Sequence[JudgedAnswers], before: Sequence[JudgedAnswers]
) -> dict[str, float]:
    """Shares of rows that the model judges rightly.

    Args:
        objective: what was asked for.
        rows: under the model.
        before: the same rows, in the same order, under the model as it was when training began.
    """
    found: dict[str, float] = {}
    if not rows:
        return found
    if objective == "Reward":
        leads = [r.scores[0] - r.scores[1] for r in rows]
        return {"loss": sum(map(_not_preferred, leads)) / len(leads), "preference-accuracy": _share(leads)}
    if objective in PAIRED:
        # by token, so that the length of an answer neither helps nor harms it
        leads = [r.log_probs[0] / r.tokens[0] - r.log_probs[1] / r.tokens[1] for r in rows]
        found["preference-accuracy"] = _share(leads)
    gains = [_gains(row, then) for row, then in zip(rows, before, strict=True)]
    if objective == "DPO":
        found["reward-accuracy"] = _share([chosen - rejected for chosen, rejected in gains])
    if objective == "KTO":
        # the answers' own is held against that of answers that belong elsewhere, as in training
        drift = max(0.0, sum(aside for _, aside in gains) / len(gains))
        found["reward-accuracy"] = _share(
            [(own - drift) * (1 if row.wanted else -1) for row, (own, _) in zip(rows, gains, strict=True)]
        )
    return found


def _gains(row: JudgedAnswers, before: JudgedAnswers) -> tuple[float, ...]:
    """How much likelier each answer has become."""
    return tuple(now - then for now, then in zip(row.log_probs, before.log_probs, strict=True))


def _not_preferred(lead: float) -> float:
    """Minus the logarithm of the sigmoid (Bradley and Terry 1952), also where its exponential has no room."""
    return max(-lead, 0.0) + math.log1p(math.exp(-abs(lead)))


def _share(leads: Sequence[float]) -> float:
    return sum(1.0 if lead > 0 else TIE if lead == 0 else 0.0 for lead in leads) / len(leads)
