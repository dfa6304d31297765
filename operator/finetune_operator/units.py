"""Bytes, durations and numbers: read from text strictly, printed for people."""

import re
from typing import Final, NewType

Bytes = NewType("Bytes", int)
"""A count of bytes."""

KIB: Final = 1024
"""Bytes in one KiB."""

MIB: Final = 1024**2
"""Bytes in one MiB."""

GIB: Final = 1024**3
"""Bytes in one GiB; GPU memory is always GiB here, never GB."""

_BINARY: Final = {"Ki": KIB, "Mi": MIB, "Gi": GIB, "Ti": 1024**4, "KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": 1024**4}
_QUANTITY: Final = re.compile(r"(?P<number>[0-9]{1,12}(?:\.[0-9]{1,12})?)\s*(?P<unit>[A-Za-z]*)")


def parse_memory(text: str) -> Bytes:
    """Bytes of a memory quantity such as "24GiB" or "24Gi".

    Raises:
        ValueError: no unit, a decimal unit (GB) or not a quantity at all; the message says what to write instead.
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'"{text}" is not a memory size; write for example "24GiB"')
    number, unit = match["number"], match["unit"]
    if unit in _BINARY:
        return Bytes(round(float(number) * _BINARY[unit]))
    if not unit:
        raise ValueError(f'"{text}" has no unit; write "{number}GiB"')
    if unit.upper() in {"GB", "G", "MB", "M", "TB", "T", "KB", "K"}:
        binary = f"{number}{unit[0].upper()}iB"
        raise ValueError(f'"{text}" is a decimal unit; memory is counted in binary units here: write "{binary}"')
    raise ValueError(f'"{text}" has the unknown unit {unit}; write for example "{number}GiB"')


def format_memory(count: int) -> str:
    """Bytes for a status field: "21.4GiB"; MiB below one GiB."""
    mebibytes = round(count / MIB)
    return f"{count / GIB:.1f}GiB" if mebibytes >= KIB else f"{mebibytes}MiB"


def gib(count: int) -> str:
    """Bytes for a sentence: "21.4 GiB"; two digits below one."""
    value = count / GIB
    return f"{value:.1f} GiB" if value >= 0.95 else f"{value:.2f} GiB"


_DURATION: Final = re.compile(r"(?:(?P<h>[0-9]+)h)?(?:(?P<m>[0-9]+)m)?(?:(?P<s>[0-9]+)s)?")


def parse_duration(text: str) -> int:
    """Seconds of a duration such as "2h15m", "90m" or "45s".

    Raises:
        ValueError: it is none; the message says what to write instead.
    """
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError(f'"{text}" is not a duration; write for example "2h15m"')
    return 3600 * int(match["h"] or 0) + 60 * int(match["m"] or 0) + int(match["s"] or 0)


def format_duration(seconds: float) -> str:
    """Seconds as a Go-style duration for a status field: "1h2m", "3m10s", "45s"."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m"
    return f"{minutes}m{left}s" if minutes else f"{left}s"


def human_duration(seconds: float) -> str:
    """Seconds for a table: "<1 s", "45 s", "22 min", "3.4 h", "2.1 d"."""
    if 0 < seconds < 0.5:
        return "<1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 36 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} d"


def human_count(count: float) -> str:
    """A count for a table: "950", "4.9 M", "7.6 B"."""
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        # what would be rounded up to the limit is written in its unit: 1.0 M, not 1000 k
        if count >= 0.9995 * limit:
            value = count / limit
            return f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}"
    return f"{count:.0f}"
