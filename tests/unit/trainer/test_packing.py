"""Lines of rows: nothing lost, nothing too long, and never more than the plan has places for."""

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.packing import best_fit, passes

LENGTHS = st.lists(st.integers(1, 64), min_size=1, max_size=60)


def test_a_row_goes_where_it_leaves_the_least_room() -> None:
    #           0  1  2  3  4
    lengths = (6, 5, 4, 3, 2)
    assert best_fit(range(5), lengths, 10) == [(0, 2), (1, 3, 4)]


def test_rows_as_long_as_a_line_stand_alone() -> None:
    assert best_fit([2, 0], (8, 3, 8), 8) == [(0,), (2,)]


@given(LENGTHS)
def test_every_row_is_in_one_line_that_has_room_for_it(lengths: list[int]) -> None:
    capacity = max(lengths)
    lines = best_fit(range(len(lengths)), lengths, capacity)
    assert sorted(row for line in lines for row in line) == list(range(len(lengths)))
    filled = [sum(lengths[row] for row in line) for line in lines]
    assert max(filled) <= capacity
    assert filled == sorted(filled, reverse=True)
    # two lines that would go into one aren't two
    assert len(lines) == 1 or filled[-1] + filled[-2] > capacity


@given(LENGTHS, st.integers(1, 4), st.integers(1, 4))
def test_ranks_go_through_as_many_passes_and_never_more_than_unpacked(
    lengths: list[int], at_once: int, ranks: int
) -> None:
    lines = best_fit(range(len(lengths)), lengths, max(lengths))
    found = passes(lines, at_once, ranks)
    assert len(found) <= ceil(len(lengths) / (at_once * ranks))
    assert {len(each) for each in found} == {ranks}
    dealt = [line for each in found for rank in each for line in rank]
    assert sorted(line for line in dealt if line) == sorted(lines)
    assert all(1 <= len(rank) <= at_once for each in found for rank in each)
    # ranks wait for one another: none has two lines more than another
    assert all(max(map(len, each)) - min(map(len, each)) <= 1 for each in found)
