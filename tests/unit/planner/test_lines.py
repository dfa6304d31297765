"""What a plan knows of a step's forward passes, against the trainer's own layout of rows whose lengths it knows."""

import random
from collections.abc import Callable
from dataclasses import replace
from math import ceil
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.planner.facts import DatasetFacts, evaluated_at_most
from finetune_operator.planner.lines import MOST_ROWS, Passes, fill_lines, lay_out
from finetune_trainer.packing import best_fit, passes

ROWS = 4000
Drawn = Callable[[random.Random], float]
DISTRIBUTIONS: dict[str, Drawn] = {
    "even": lambda r: r.uniform(50, 1000),
    "short-with-a-long-tail": lambda r: min(2048, r.lognormvariate(5, 0.8)),
    "bell": lambda r: max(1, r.gauss(400, 80)),
    "cut-off": lambda r: min(512, r.lognormvariate(6, 0.6)),
    "questions-and-documents": lambda r: r.uniform(40, 80) if r.random() < 0.7 else r.uniform(800, 1000),
    "one-length": lambda _: 300,
    "three-far-longer": lambda r: 4096 if r.random() < 0.0003 else r.uniform(100, 200),
}
SHAPES = [(16, 1, 1), (16, 2, 2), (64, 4, 1), (64, 1, 8), (8, 8, 1), (256, 4, 4)]


def drawn(name: str) -> list[int]:
    """Rows of such lengths, always the same."""
    generator = random.Random(7)  # noqa: S311  no secret
    return [round(DISTRIBUTIONS[name](generator)) for _ in range(ROWS)]


def known(lengths: list[int]) -> DatasetFacts:
    """What inspection tells of them."""
    ordered = sorted(lengths)
    return DatasetFacts(
        rows=len(ordered),
        tokens=sum(ordered),
        p50=ordered[len(ordered) // 2],
        p95=ordered[len(ordered) * 95 // 100],
        longest=ordered[-1],
        evaluated=evaluated_at_most(ordered[-1], 1),
    )


def level(length: int, rows: int = 1000) -> DatasetFacts:
    """Rows of one length."""
    return known([length] * rows)


def trained(lengths: list[int], batch: int, at_once: int, ranks: int, *, packed: bool) -> tuple[float, float]:
    """Forward passes of a step, and padded tokens of a step on the first rank, as the trainer lays out its rows."""
    order = list(range(len(lengths)))
    random.Random(3).shuffle(order)  # noqa: S311  no secret
    counts, tokens = [], []
    for begin in range(0, len(order) - batch + 1, batch):
        rows = order[begin : begin + batch]
        # unpacked, the longest rows come first
        alone = [(row,) for row in sorted(rows, key=lambda row: -lengths[row])]
        found = passes(best_fit(rows, lengths, max(lengths)) if packed else alone, at_once, ranks)
        counts.append(len(found))
        tokens.append(sum(len(r[0]) * max(sum(lengths[row] for row in line) for line in r[0]) for r in found))
    return fmean(counts), fmean(tokens)


def test_a_row_goes_where_it_leaves_the_least_room() -> None:
    assert fill_lines((6, 5, 4, 3, 2), 10) == [10, 10]
    assert fill_lines((8, 3, 8), 8) == [8, 8, 3]


@given(st.lists(st.integers(1, 64), min_size=1, max_size=60), st.integers(0, 64))
def test_lines_are_filled_as_the_trainer_fills_them(lengths: list[int], more: int) -> None:
    capacity = max(lengths) + more
    lines = best_fit(range(len(lengths)), lengths, capacity)
    assert fill_lines(lengths, capacity) == [sum(lengths[row] for row in line) for line in lines]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_packed_step_has_nearly_the_passes_and_tokens_that_it_will_have(
    name: str, shape: tuple[int, int, int]
) -> None:
    lengths, (batch, at_once, ranks) = drawn(name), shape
    count, tokens = trained(lengths, batch, at_once, ranks, packed=True)
    planned = lay_out(known(lengths), batch, packed=True).passes[at_once, ranks]
    assert planned.times == pytest.approx(count, rel=0.15)
    assert planned.times * planned.tokens == pytest.approx(tokens, rel=0.18 if name == "three-far-longer" else 0.09)


@pytest.mark.parametrize("name", [name for name in DISTRIBUTIONS if name != "three-far-longer"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_step_by_length_has_its_passes_and_nearly_its_tokens(name: str, shape: tuple[int, int, int]) -> None:
    lengths, (batch, at_once, ranks) = drawn(name), shape
    count, tokens = trained(lengths, batch, at_once, ranks, packed=False)
    planned = lay_out(known(lengths), batch, packed=False).passes[at_once, ranks]
    assert planned.times == count == batch // (at_once * ranks)
    assert planned.times * planned.tokens == pytest.approx(tokens, rel=0.17)


def test_few_rows_by_length_far_longer_than_others_are_planned_as_if_there_were_more() -> None:
    lengths = drawn("three-far-longer")
    _, tokens = trained(lengths, 16, 2, 2, packed=False)
    planned = lay_out(known(lengths), 16, packed=False).passes[2, 2]
    assert tokens < planned.times * planned.tokens < 3 * tokens


DATA = st.builds(
    lambda rows, points, mean: DatasetFacts(
        rows=rows,
        # between what such percentiles allow, or not quite
        tokens=max(rows, round(rows * (1 + mean * (points[2] - 1)))),
        p50=points[0],
        p95=points[1],
        longest=points[2],
        evaluated=evaluated_at_most(points[2], 1),
    ),
    st.integers(1, 5000),
    st.lists(st.integers(1, 9000), min_size=3, max_size=3).map(sorted),
    st.floats(0, 1),
)


@given(DATA, st.integers(1, 3000), st.integers(1, 8), st.integers(1, 8), st.booleans())
def test_passes_are_no_more_than_planned_and_lines_no_longer_than_the_longest_row(
    data: DatasetFacts,
    batch: int,
    at_once: int,
    ranks: int,
    packed: bool,  # noqa: FBT001  hypothesis gives it
) -> None:
    found: Passes = lay_out(data, batch, packed=packed).passes[at_once, ranks]
    rows = min(batch, data.rows)
    assert 0 < found.times <= ceil(rows / (at_once * ranks)) + rows / MOST_ROWS
    assert 0 < found.tokens <= at_once * data.longest
    assert 0 < found.width <= data.longest


def test_rows_of_the_longest_length_lie_alone_and_short_ones_together() -> None:
    assert lay_out(level(512), 16, packed=True).rows_a_line == 1
    longest = replace(level(128), longest=512)
    assert lay_out(longest, 64, packed=True).rows_a_line > 3
    assert lay_out(longest, 64, packed=False).rows_a_line == 1


def test_a_step_of_very_many_rows_is_so_many_of_the_most_that_are_laid_out() -> None:
    one, many = (lay_out(level(512, 10 * MOST_ROWS), MOST_ROWS * times, packed=True) for times in (1, 10))
    assert many.passes[4, 2].times == 10 * one.passes[4, 2].times == 10 * MOST_ROWS / 8
    assert many.rows == 10 * MOST_ROWS


def test_an_epoch_of_fewer_rows_than_a_step_asks_for_is_a_step_of_these() -> None:
    assert lay_out(level(512, 5), 16, packed=True).passes[1, 1].times == 5
