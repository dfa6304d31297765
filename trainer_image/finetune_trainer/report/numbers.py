"""Numbers for people: never without their unit."""

import math

from finetune_trainer.acceptance import show
from finetune_trainer.job_config import LOWER_IS_BETTER
from finetune_trainer.report.markdown import NONE
from finetune_trainer.scoring import wilson

_GIB = 1024**3


def memory(count: int) -> str:
    """Bytes of memory: "21.4 GiB", two digits below one."""
    value = count / _GIB
    return f"{value:.1f} GiB" if value >= 0.95 else f"{value:.2f} GiB"


def size(count: int) -> str:
    """Bytes of a file: "19.6 MB", "812 B"."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def duration(seconds: float) -> str:
    """Seconds: "45 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def count(number: float) -> str:
    """A count: "240", "4,884,480"."""
    return f"{number:,.0f}"


def ratio(measured: float, predicted: float) -> str:
    """Measured over predicted: "1.07"; a dash where one of them isn't known."""
    return f"{measured / predicted:.2f}" if predicted and math.isfinite(measured) else NONE


def share(part: float, whole: float) -> str:
    """A part in percent: "3.5%"."""
    return f"{part / whole:.2%}" if whole else NONE


def metric(name: str, value: float, rows: int) -> str:
    """A metric; shares with their count and 95 % interval."""
    if name in LOWER_IS_BETTER or math.isnan(value) or not rows:
        return show(name, value)
    low, high = wilson(value, rows)
    return f"{show(name, value)} ({round(value * rows)} of {rows}; {low:.1%} to {high:.1%})"


def change(name: str, before: float, after: float) -> str:
    """How a metric moved: points of a percentage, or a difference with its share."""
    if not (math.isfinite(before) and math.isfinite(after)):
        return NONE
    if name not in LOWER_IS_BETTER:
        return f"{100 * (after - before):+.1f} points"
    relative = f" ({(after - before) / before:+.0%})" if before else ""
    return f"{after - before:+.3g}{relative}"
