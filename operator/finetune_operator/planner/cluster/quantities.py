"""Kubernetes quantities: "100m", "32Gi", "1e3", "2.5"."""

import re
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import Final

_QUANTITY: Final = re.compile(
    r"([+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,20})?|\.[0-9]{1,20}))(?:[eE]([+-]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i)?)"
)
"""API conventions, "Quantity"; longer numbers than any quantity can be are refused, so that none fills the memory."""

_SCALES: Final = {
    "": Decimal(1),
    **{unit: Decimal(10) ** power for unit, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)},
    **{f"{unit}i": Decimal(1024) ** (i + 1) for i, unit in enumerate("KMGTPE")},
}


def read_milli(value: object) -> int | None:
    """Thousandths of a quantity, rounded up as Kubernetes does; None where it is none."""
    if isinstance(value, str):
        return _parse(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _parse(str(value))
    return None


def read_whole(value: object, most: int) -> int | None:
    """A quantity from 0 to `most` in whole units, rounded down; None where it is none or beyond."""
    milli = read_milli(value)
    return milli // 1000 if milli is not None and 0 <= milli <= 1000 * most else None


@lru_cache(maxsize=8192)
def _parse(text: str) -> int | None:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    number, exponent, unit = match.groups()
    scale = Decimal(10) ** int(exponent) if exponent else _SCALES[unit or ""]
    return int((Decimal(number) * scale * 1000).to_integral_value(ROUND_CEILING))
