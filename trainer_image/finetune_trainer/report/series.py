"""Curves as numbers: what is drawn over the steps. Pure."""

import math
from collections.abc import Sequence
from typing import Final

SMOOTHED_FROM: Final = 12
"""Points below which a smoothed curve would say less than the points themselves."""

WINDOWS: Final = 15
"""A smoothed curve looks over one of so many parts of the run."""


def smoothed(values: Sequence[float]) -> list[float]:
    """The line of least squares through a window around each point, at that point; what isn't finite is passed over.

    Notes:
        A mean would lag where only one side is there, and would bend the steep beginning of a loss.
    """
    half = max(2, len(values) // (2 * WINDOWS))
    points = [(float(i), v) for i, v in enumerate(values)]
    return [_line_at(float(i), points[max(0, i - half) : i + half + 1]) for i in range(len(values))]


def _line_at(place: float, points: Sequence[tuple[float, float]]) -> float:
    found = [(x, y) for x, y in points if math.isfinite(y)]
    if not found:
        return math.nan
    middle = sum(x for x, _ in found) / len(found)
    mean = sum(y for _, y in found) / len(found)
    spread = sum((x - middle) ** 2 for x, _ in found)
    slope = sum((x - middle) * (y - mean) for x, y in found) / spread if spread else 0.0
    return mean + slope * (place - middle)


def median(values: Sequence[float]) -> float:
    """The middle one of the finite values; NaN where there is none."""
    found = sorted(v for v in values if math.isfinite(v))
    if not found:
        return math.nan
    middle = len(found) // 2
    return found[middle] if len(found) % 2 else (found[middle - 1] + found[middle]) / 2


def spans_decades(values: Sequence[float]) -> bool:
    """Whether a linear axis would hide most of the values."""
    found = [v for v in values if math.isfinite(v)]
    return bool(found) and min(found) > 0 and max(found) > 50 * min(found)
