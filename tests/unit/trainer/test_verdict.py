"""Shares of judged answers: by token, by gain, and ties as half a row."""

import pytest

from finetune_trainer.evidence import JudgedAnswers
from finetune_trainer.objectives.verdict import preference_metrics


def row(*log_probs: float, tokens: tuple[int, ...] = (1, 1), wanted: bool = True) -> JudgedAnswers:
    return JudgedAnswers(file="check.jsonl", line=1, wanted=wanted, log_probs=log_probs, tokens=tokens)


def test_an_answer_is_neither_helped_nor_harmed_by_its_length() -> None:
    rows = [row(-4, -3, tokens=(4, 1)), row(-3, -4, tokens=(1, 4))]
    assert preference_metrics("ORPO", rows, rows) == {"preference-accuracy": 0.5}


def test_before_training_nothing_has_gained_anything() -> None:
    rows = [row(-1, -2), row(-2, -1)]
    assert preference_metrics("DPO", rows, rows) == {"preference-accuracy": 0.5, "reward-accuracy": 0.5}
    assert preference_metrics("KTO", rows, rows) == {"reward-accuracy": 0.5}


def test_dpo_is_judged_by_what_was_gained() -> None:
    before = [row(-5, -1), row(-1, -5)]
    after = [row(-3, -1), row(-2, -5)]
    assert preference_metrics("DPO", after, before) == {"preference-accuracy": 0.5, "reward-accuracy": 0.5}
    assert preference_metrics("DPO", [row(-3, -1)] * 2, before)["reward-accuracy"] == pytest.approx(0.5)
    assert preference_metrics("DPO", [row(-4, -1), row(-0.5, -5)], before)["reward-accuracy"] == 1


def test_kto_holds_gains_against_those_of_answers_that_belong_elsewhere() -> None:
    before = [row(-9, -9), row(-9, -9, wanted=False)]
    # both have gained, and answers elsewhere have gained 3 on average
    after = [row(-5, -6), row(-7, -6, wanted=False)]
    assert preference_metrics("KTO", after, before) == {"reward-accuracy": 1}
    # a drift below 0 is none
    after = [row(-8, -99), row(-8, -99, wanted=False)]
    assert preference_metrics("KTO", after, before) == {"reward-accuracy": 0.5}
