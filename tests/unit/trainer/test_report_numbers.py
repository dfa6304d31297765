import math

import pytest

from finetune_trainer.report import numbers
from finetune_trainer.report.charts import scientific
from finetune_trainer.report.series import median, smoothed, spans_decades

GIB = 1024**3


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0.00 GiB"), (GIB // 2, "0.50 GiB"), (GIB, "1.0 GiB"), (86 * GIB, "86.0 GiB")]
)
def test_memory_is_in_gib(count: int, text: str) -> None:
    assert numbers.memory(count) == text


@pytest.mark.parametrize(("count", "text"), [(812, "812 B"), (19_588_456, "19.6 MB"), (5 * 10**12, "5000.0 GB")])
def test_a_file_has_a_size(count: int, text: str) -> None:
    assert numbers.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3600, "1 h 0 min"),
        (90_061, "25 h 1 min"),
    ],
)
def test_a_duration_is_in_two_units_at_most(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("measured", "predicted", "text"), [(107, 100, "1.07"), (1, 0, "-"), (math.nan, 1, "-"), (math.inf, 1, "-")]
)
def test_measured_is_held_against_predicted(measured: float, predicted: float, text: str) -> None:
    assert numbers.ratio(measured, predicted) == text


def test_a_part_without_a_whole_has_no_share() -> None:
    assert (numbers.share(1, 40), numbers.share(1, 0)) == ("2.50%", "-")


@pytest.mark.parametrize(
    ("name", "value", "rows", "text"),
    [
        ("json-valid", 58 / 60, 60, "96.7% (58 of 60; 88.6% to 99.1%)"),
        ("json-valid", 0.0, 60, "0.0% (0 of 60; 0.0% to 6.0%)"),
        ("json-valid", math.nan, 60, "not a number"),
        ("loss", 2.345, 60, "2.35"),
        ("perplexity", 14.2, 0, "14.2"),
    ],
)
def test_a_share_has_its_interval(name: str, value: float, rows: int, text: str) -> None:
    assert numbers.metric(name, value, rows) == text


@pytest.mark.parametrize(
    ("name", "before", "after", "text"),
    [
        ("json-valid", 0.03, 1.0, "+97.0 points"),
        ("json-valid", 1.0, 0.5, "-50.0 points"),
        ("loss", 2.0, 1.0, "-1 (-50%)"),
        ("loss", 0.0, 1.0, "+1"),
        ("loss", math.nan, 1.0, "-"),
        ("loss", 1.0, math.inf, "-"),
    ],
)
def test_a_change_has_its_sign_and_unit(name: str, before: float, after: float, text: str) -> None:
    assert numbers.change(name, before, after) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (2e-4, "2e-4"), (1.75e-4, "1.75e-4"), (1e-5, "1e-5"), (0.1, "1e-1"), (3.0, "3e0")]
)
def test_a_learning_rate_is_written_as_in_a_job(value: float, text: str) -> None:
    assert scientific(value) == text


def test_a_straight_line_is_its_own_smoothed_curve() -> None:
    line = [3.0 - 0.1 * i for i in range(100)]
    assert smoothed(line) == pytest.approx(line)


def test_smoothing_takes_ripples_away_and_passes_over_gaps() -> None:
    values = [1.0 + (0.5 if i % 2 else -0.5) for i in range(200)]
    values[50] = math.nan
    curve = smoothed(values)
    assert len(curve) == len(values)
    assert max(abs(v - 1.0) for v in curve) < 0.35
    assert max(abs(v - 1.0) for v in curve[10:-10]) < 0.15


@pytest.mark.parametrize("values", [[], [math.nan], [math.nan] * 50])
def test_where_there_are_no_figures_nothing_is_smoothed(values: list[float]) -> None:
    assert all(math.isnan(v) for v in smoothed(values))
    assert math.isnan(median(values))


@pytest.mark.parametrize(("values", "middle"), [([3.0, 1.0, 2.0], 2.0), ([4.0, 1.0, math.inf, 2.0, 3.0], 2.5)])
def test_a_median_is_of_the_finite_values(values: list[float], middle: float) -> None:
    assert median(values) == middle


@pytest.mark.parametrize(
    ("values", "expected"), [([1.0, 50.0], False), ([1.0, 51.0], True), ([0.0, 100.0], False), ([], False)]
)
def test_an_axis_is_logarithmic_where_values_span_decades(values: list[float], *, expected: bool) -> None:
    assert spans_decades(values) is expected
