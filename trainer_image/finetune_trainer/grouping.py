"""Rows of similar length beside each other, each in the optimizer step that it was drawn for. No torch here."""

from collections.abc import Iterator, Sequence


def by_length(order: Sequence[int], lengths: Sequence[int], per_step: int) -> Iterator[int]:
    """The rows of each step with the longest first, so that little is padded in its micro-batches.

    A step learns from the same rows in any order, and with the weight of their tokens: nothing but time changes. What
    needs most memory comes first, and fails there or nowhere.

    Args:
        order: rows as they were drawn.
        lengths: tokens of each row.
        per_step: rows of an optimizer step.
    """
    for begin in range(0, len(order), per_step):
        rows = order[begin : begin + per_step]
        # of a last step that isn't full, the part that isn't a whole micro-batch may be better off with the long rows
        yield from sorted(rows, key=lambda row: -lengths[row]) if len(rows) == per_step else rows
