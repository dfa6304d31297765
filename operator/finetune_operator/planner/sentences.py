"""Numbers in sentences of the planner."""

from collections.abc import Sequence

from finetune_operator.units import GIB, gib


def pair(need: int, have: int) -> tuple[str, str]:
    """Two amounts, with as many digits as it takes to tell them apart."""
    if gib(need) != gib(have):
        return gib(need), gib(have)
    for digits in (2, 3, 4):
        texts = f"{need / GIB:.{digits}f} GiB", f"{have / GIB:.{digits}f} GiB"
        if texts[0] != texts[1]:
            return texts
    return f"{need} bytes", f"{have} bytes"


def plural(count: int, noun: str) -> str:
    """Such as 1 device, 4 devices."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def joined(words: Sequence[str]) -> str:
    """Such as: a; a or b; a, b or c."""
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def share(part: float, whole: float) -> str:
    """A percentage without digits behind the point, and one where it would be 0."""
    value = 100 * part / whole
    return f"{value:.0f}%" if value >= 1 else f"{value:.1f}%"
