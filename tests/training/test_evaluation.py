"""Batches, padding and caches change nothing about a model's loss and answers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.training import evaluate_tiny


@pytest.fixture(scope="module")
def facts(tiny: Path) -> dict[str, Any]:
    """What the product and what the plainest computation found."""
    command = [sys.executable, "-W", "ignore", "-m", evaluate_tiny.__name__, str(tiny)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    # DeepSpeed says on standard output which device it has found
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("way", ["batched", "single", "pieces", "reversed"])
def test_the_loss_is_that_of_each_row_alone(facts: dict[str, Any], way: str) -> None:
    assert facts[way]["metrics"]["loss"] == pytest.approx(facts["naive_loss"], rel=1e-5)


def test_a_text_s_first_token_counts_in_no_batch(facts: dict[str, Any]) -> None:
    assert facts["texts"]["metrics"]["loss"] == pytest.approx(facts["naive_texts_loss"], rel=1e-5)


@pytest.mark.parametrize("way", ["batched", "single", "reversed"])
def test_answers_are_the_likeliest_tokens_up_to_a_stop_token(facts: dict[str, Any], way: str) -> None:
    assert facts[way]["answers"] == facts["naive_answers"]
    assert 0 < len(facts["naive_answers"]["3"]) < facts["limit"]
    assert any(len(answer) == facts["limit"] for answer in facts["naive_answers"].values())


def test_answers_come_in_the_rows_order(facts: dict[str, Any]) -> None:
    assert facts["batched"]["order"] == [1, 2, 3, 4]
    assert facts["reversed"]["order"] == [4, 3, 2, 1]


def test_texts_are_asked_nothing_and_have_the_loss_s_metrics_alone(facts: dict[str, Any]) -> None:
    assert facts["texts"]["order"] == []
    assert set(facts["texts"]["metrics"]) == {"loss", "perplexity"}


def test_progress_ends_with_all_rows_that_are_asked(facts: dict[str, Any]) -> None:
    assert facts["batched"]["ticks"][-1] == [4, 4]
    assert facts["single"]["ticks"] == [[n, 4] for n in range(1, 5)]
    assert facts["texts"]["ticks"] == []
