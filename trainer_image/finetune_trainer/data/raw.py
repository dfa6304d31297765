"""One row as it was written, not yet understood."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRow:
    """One line's object."""

    line: int
    """Where it begins, from 1; of files without lines (Parquet, Arrow) the number of the row."""
    value: dict[str, Any]
