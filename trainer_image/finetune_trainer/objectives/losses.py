"""What objectives on judged answers ask for, a row at a time: losses to lower, and the rewards that they stand for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch.nn.functional import logsigmoid

from finetune_trainer.job_config import Objective, PreferenceConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The answers of a batch of rows; of pairs the chosen ones first and then, in the same order, the others."""

    log_probs: torch.Tensor
    """Summed over each answer's tokens, in nats."""
    tokens: torch.Tensor
    """Of each answer."""
    reference: torch.Tensor
    """As log_probs, of the model as it was when training began."""
    wanted: torch.Tensor
    """Of each row; True for pairs."""
    drift: torch.Tensor
    """How far the model has left its reference, in nats, at least 0: for KTO alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One value a row."""

    losses: torch.Tensor
    rewards: torch.Tensor
    """Of the answer; of pairs that of the chosen one less that of the other."""
    threshold: torch.Tensor
    """What a wanted answer's reward has to be above, and an unwanted one's below."""


def dpo(a: Answers, c: PreferenceConfig) -> Judged:
    """Rafailov et al. 2023: minus log sigmoid of beta times the difference of log ratios."""
    chosen, rejected = (a.log_probs - a.reference).chunk(2)
    margins = c.beta * (chosen - rejected)
    return Judged(losses=-logsigmoid(margins), rewards=margins.detach(), threshold=torch.zeros(()))


def orpo(a: Answers, c: PreferenceConfig) -> Judged:
    """Hong et al. 2024: the chosen answer's mean loss a token, less beta times log sigmoid of the log odds ratio."""
    means = a.log_probs / a.tokens.clamp(min=1)
    # odds are p / (1 - p); just below 0, where a blank row has 0 and 1 - p would have no logarithm
    chosen, rejected = means.clamp(max=-1e-6).chunk(2)
    log_odds = (chosen - rejected) - (torch.log(-torch.expm1(chosen)) - torch.log(-torch.expm1(rejected)))
    losses = -means.chunk(2)[0] - c.beta * logsigmoid(log_odds)
    return Judged(losses=losses, rewards=c.beta * (chosen - rejected).detach(), threshold=torch.zeros(()))


def kto(a: Answers, c: PreferenceConfig) -> Judged:
    """Ethayarajh et al. 2024: one minus the sigmoid of beta times the log ratio above, or below, the drift."""
    ratios = a.log_probs - a.reference
    away = torch.where(a.wanted, ratios - a.drift, a.drift - ratios)
    weights = torch.where(a.wanted, c.desirable_weight, c.undesirable_weight)
    losses = weights * (1 - torch.sigmoid(c.beta * away))
    return Judged(losses=losses, rewards=c.beta * ratios.detach(), threshold=c.beta * a.drift)


def reward(scores: torch.Tensor) -> Judged:
    """Minus log sigmoid of the chosen answer's score less the other's (Bradley and Terry 1952, Ouyang et al. 2022)."""
    chosen, rejected = scores.chunk(2)
    margins = chosen - rejected
    return Judged(losses=-logsigmoid(margins), rewards=margins.detach(), threshold=torch.zeros(()))


LOSSES: Final[dict[Objective, Callable[[Answers, PreferenceConfig], Judged]]] = {"DPO": dpo, "ORPO": orpo, "KTO": kto}
"""By objective, of those that go by log-probabilities."""
