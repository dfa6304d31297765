"""How rows of an optimizer step lie in its forward passes: end to end in lines, or one by one with the longest first.

The trainer draws a step's rows at random and lays them out as this does, but knows every length. A plan knows the
median, the 95th percentile, the longest row and the sum: it lays out a few steps of made-up rows that have the same.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import pairwise
from math import ceil
from typing import Final, NamedTuple

from finetune_operator.planner.deferred import Remembered
from finetune_operator.planner.facts import DatasetFacts

MOST_ROWS: Final = 1024
"""Made-up rows of a step at most; a larger step is so many times one of that size."""

LEAST_ROWS: Final = 128
"""Made-up rows of all steps together at least, or nearly."""


class Passes(NamedTuple):
    """What the busiest device goes through in an optimizer step."""

    times: float
    """Forward passes, on average over steps."""
    tokens: float
    """Tokens of one, padding included."""
    width: float
    """Tokens to which its lines are padded, on average over those tokens."""


class Lines:
    """The lines of an optimizer step."""

    def __init__(self, steps: Sequence[Sequence[int]], rows: int, times: float) -> None:
        """Keep them.

        Args:
            steps: tokens of each line of some steps, the fullest first.
            rows: in each of these.
            times: how often such a step goes into a real one.
        """
        self._steps, self._rows, self._times = steps, rows, times
        self.passes = Remembered(self._pass)
        """By the lines that go at once through a device, and the number of devices."""

    @property
    def rows_a_line(self) -> float:
        """Rows that lie on one, on average."""
        return self._rows * len(self._steps) / sum(map(len, self._steps))

    @property
    def rows(self) -> int:
        """Rows of a real step."""
        return round(self._rows * self._times)

    def _pass(self, shape: tuple[int, int]) -> Passes:
        at_once, ranks = shape
        count = tokens = squares = 0
        for lines in self._steps:
            passes = ceil(len(lines) / (at_once * ranks))
            count += passes
            # evenly filled; the first device has a pass's fullest line, and none has more lines
            bounds = [number * len(lines) // passes for number in range(passes + 1)]
            for begin, end in pairwise(bounds):
                width = lines[begin]
                held = width * -((begin - end) // ranks)
                tokens += held
                squares += held * width
        return Passes(self._times * count / len(self._steps), tokens / count, squares / tokens)


@lru_cache(maxsize=256)
def lay_out(data: DatasetFacts, batch: int, *, packed: bool) -> Lines:
    """The lines of a step of so many rows; each row is one by itself where they aren't packed."""
    whole = min(batch, data.rows)
    rows = min(whole, MOST_ROWS)
    drawn = _shuffled(_lengths(data, rows * max(1, LEAST_ROWS // rows)))
    lay = partial(fill_lines, capacity=data.longest) if packed else partial(sorted, reverse=True)
    return Lines([lay(drawn[begin : begin + rows]) for begin in range(0, len(drawn), rows)], rows, whole / rows)


def fill_lines(lengths: Sequence[int], capacity: int) -> list[int]:
    """Tokens of the lines that rows of such lengths fill by best fit, the longest first; the fullest line first.

    Args:
        lengths: tokens of each row.
        capacity: tokens of a line; no row has more.
    """
    # what is left of each line, ascending
    room: list[int] = []
    for length in sorted(lengths, reverse=True):
        place = bisect_left(room, length)
        left = room.pop(place) if place < len(room) else capacity
        insort(room, left - length)
    return [capacity - left for left in room]


def _lengths(data: DatasetFacts, count: int) -> list[int]:
    """So many rows, from the shortest to the longest, with the data's percentiles and mean: straight between them."""
    mean = data.tokens / data.rows
    upper = 0.45 * (data.p50 + data.p95) / 2 + 0.05 * (data.p95 + data.longest) / 2
    # what the shorter half has to have on average
    shortest = min(max(1.0, 4 * (mean - upper) - data.p50), float(data.p50))
    points = ((0.0, shortest), (0.5, data.p50), (0.95, data.p95), (1.0, data.longest))
    shares = [(number + 0.5) / count for number in range(count)]
    found = [
        low + (high - low) * (share - left) / (right - left)
        for (left, low), (right, high) in pairwise(points)
        for share in shares
        if left < share <= right
    ]
    scale = mean * count / sum(found)
    return [min(data.longest, max(1, round(length * scale))) for length in found]


def _shuffled(lengths: Sequence[int]) -> list[int]:
    """The same in an order as good as drawn, and always the same one."""
    keys, state = [], 1
    for _ in lengths:
        # the generator of Numerical Recipes
        state = (1_664_525 * state + 1_013_904_223) % 2**32
        keys.append(state)
    return [lengths[place] for place in sorted(range(len(lengths)), key=keys.__getitem__)]
