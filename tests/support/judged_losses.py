"""Losses on judged answers by their papers, in plain numbers, from what a finished run wrote down of held-out rows."""

import json
import math
from pathlib import Path
from statistics import fmean
from typing import Any, Final

BETA: Final = 0.5
"""What runs that are held against this weigh by."""


def judged_loss(objective: str, output: Path, subject: str = "tuned") -> float:
    """Of the result as it was read from the disk, or of the model before."""
    now, before = _judged(output, subject), _judged(output, "baseline")
    pairs = zip(now, before, strict=True)
    gains = [[a - b for a, b in zip(n["log_probs"], b["log_probs"], strict=True)] for n, b in pairs]
    match objective:
        case "Reward":
            return fmean(_softplus(n["scores"][1] - n["scores"][0]) for n in now)
        case "DPO":
            return fmean(_softplus(-BETA * (chosen - rejected)) for chosen, rejected in gains)
        case "ORPO":
            return fmean(_odds(*(p / t for p, t in zip(n["log_probs"], n["tokens"], strict=True))) for n in now)
        case _:
            drift = max(0.0, fmean(aside for _, aside in gains))
            signs = [1 if n["wanted"] else -1 for n in now]
            ahead = (sign * BETA * (own - drift) for sign, (own, _) in zip(signs, gains, strict=True))
            return fmean(1 - 1 / (1 + math.exp(-a)) for a in ahead)


def _judged(output: Path, subject: str) -> list[dict[str, Any]]:
    found = json.loads((output / ".finetune" / f"{subject}.json").read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = found["judged"]
    return rows


def _odds(chosen: float, rejected: float) -> float:
    odds = [math.log(math.exp(p) / (1 - math.exp(p))) for p in (chosen, rejected)]
    return -chosen + BETA * _softplus(odds[1] - odds[0])


def _softplus(value: float) -> float:
    return math.log1p(math.exp(value))
