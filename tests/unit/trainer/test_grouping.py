"""Rows by length within a step: which step a row is in never changes."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.grouping import by_length


def padded(order: Sequence[int], lengths: Sequence[int], micro_batch: int) -> int:
    """Tokens that micro-batches are padded to."""
    parts = [order[i : i + micro_batch] for i in range(0, len(order), micro_batch)]
    return sum(len(part) * max(lengths[row] for row in part) for part in parts)


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=60).flatmap(
        lambda lengths: st.tuples(st.just(lengths), st.permutations(range(len(lengths))))
    ),
    st.sampled_from([1, 2, 4]),
    st.integers(1, 4),
)
def test_each_step_has_its_rows_and_no_more_is_padded(
    drawn: tuple[list[int], list[int]], micro_batch: int, accumulation: int
) -> None:
    lengths, order = drawn
    step = micro_batch * accumulation
    found = list(by_length(order, lengths, step))
    for begin in range(0, len(order), step):
        assert sorted(found[begin : begin + step]) == sorted(order[begin : begin + step])
    assert padded(found, lengths, micro_batch) <= padded(order, lengths, micro_batch)


def test_short_and_long_rows_are_kept_apart() -> None:
    lengths = [10, 100] * 8
    order = list(range(16))
    assert padded(order, lengths, 4) == 1600
    assert padded(list(by_length(order, lengths, 8)), lengths, 4) == 880


def test_rows_of_one_length_stay_as_they_were_drawn() -> None:
    assert list(by_length([3, 1, 2, 0], [7, 7, 7, 7], 4)) == [3, 1, 2, 0]


def test_a_last_step_that_is_not_full_is_left_as_it_was_drawn() -> None:
    lengths = [1, 2, 1]
    assert list(by_length([0, 2, 1], lengths, 4)) == [0, 2, 1]
    assert padded([0, 2, 1], lengths, 2) < padded([1, 0, 2], lengths, 2)
