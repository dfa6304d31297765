"""When enough is enough."""

import math

import pytest

from finetune_trainer.job_config import EarlyStoppingConfig
from finetune_trainer.stopping import Standing, judge
from tests.support.trainer_builders import make_held_out


@pytest.mark.parametrize(
    ("losses", "threshold", "expected"),
    [
        pytest.param([], 0.0, (None, 0, False), id="nothing-measured"),
        pytest.param([2.0, 1.0, 0.5], 0.0, (30, 0, False), id="falling"),
        pytest.param([2.0, 1.0, 1.1], 0.0, (20, 1, False), id="worse-once"),
        pytest.param([2.0, 1.0, 1.1, 1.0], 0.0, (20, 2, True), id="equal-is-no-better-and-the-first-is-kept"),
        pytest.param([2.0, 1.0, 1.1, 0.9], 0.0, (40, 0, False), id="better-again-in-time"),
        pytest.param([1.0, 0.95, 0.91], 0.1, (30, 2, True), id="too-little-by-little-and-still-the-best"),
        pytest.param([1.0, 0.95, 0.89], 0.1, (30, 0, False), id="much-since-the-last-that-counted"),
        pytest.param([1.0, math.nan, math.nan], 0.0, (10, 2, True), id="not-a-number"),
        pytest.param([math.nan, 1.0], 0.0, (20, 0, False), id="a-number-at-last"),
    ],
)
def test_patience_counts_evaluations_without_an_improvement(
    losses: list[float], threshold: float, expected: tuple[int | None, int, bool]
) -> None:
    points = [make_held_out(10 * (n + 1), loss) for n, loss in enumerate(losses)]
    best, waited, enough = expected
    found = judge(points, EarlyStoppingConfig(patience=2, threshold=threshold))
    assert found == Standing(best=best, waited=waited, enough=enough)
