"""Rows of an optimizer step laid end to end in lines, so that few forward passes hold little padding. No torch here.

A step learns from the rows that it was drawn, packed or not: only how they lie in its forward passes changes.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from math import ceil

Line = tuple[int, ...]
"""Rows that lie end to end; none in a line that only fills up."""


def best_fit(rows: Sequence[int], lengths: Sequence[int], capacity: int) -> list[Line]:
    """Lines by best fit, longest rows first (Johnson 1973: at most 11/9 of as few as possible); fullest lines first.

    Args:
        rows: to be laid out.
        lengths: tokens of each row, by its number.
        capacity: tokens of a line; no row has more.
    """
    lines: list[list[int]] = []
    # what is left of each line, ascending
    room: list[tuple[int, int]] = []
    for row in sorted(rows, key=lambda r: (-lengths[r], r)):
        place = bisect_left(room, (lengths[row], -1))
        if place == len(room):
            lines.append([])
            found = (capacity, len(lines) - 1)
        else:
            found = room.pop(place)
        left, line = found
        lines[line].append(row)
        insort(room, (left - lengths[row], line))
    return [tuple(lines[line]) for _, line in room]


def passes(lines: Sequence[Line], at_once: int, ranks: int) -> list[list[list[Line]]]:
    """The lines of each rank in each forward pass: as few passes as `at_once` lines a rank allow, evenly filled.

    Notes:
        Every rank goes through as many passes, since they wait for one another in each; one without a line has an empty
        one.
    """
    count = ceil(len(lines) / (at_once * ranks))
    found = []
    for number in range(count):
        some = lines[number * len(lines) // count : (number + 1) * len(lines) // count]
        found.append([list(some[rank::ranks]) or [()] for rank in range(ranks)])
    return found
