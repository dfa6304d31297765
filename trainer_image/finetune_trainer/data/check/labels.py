"""Which values answers have, counted as long as there are few."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

MAX_VALUES: Final = 50
"""Different values of a field that is a label; with more of them it isn't one."""

MAX_FIELDS: Final = 32
"""Fields that are counted."""

MAX_CHARACTERS: Final = 40
"""Longest value that is a label."""

WHOLE: Final = "answer"
"""Stands for answers that are no objects."""


class Labels:
    """Counts of values by field; None for a field that has too many."""

    def __init__(self, fields: frozenset[str]) -> None:
        """Count these fields; where there are none, all that are found."""
        self._only = fields
        self.counts: dict[str, Counter[str] | None] = {}

    def add(self, answer: str, parsed: Mapping[str, Any] | None) -> None:
        """Count one answer's values."""
        for field, value in self._values(answer, parsed):
            counts = self.counts.get(field)
            if counts is None:
                if field in self.counts or len(self.counts) >= MAX_FIELDS:
                    continue
                counts = self.counts[field] = Counter()
            if len(value) > MAX_CHARACTERS:
                self.counts[field] = None
                continue
            counts[value] += 1
            if len(counts) > MAX_VALUES:
                self.counts[field] = None

    def merge(self, later: "Labels") -> None:
        """Count what another has counted."""
        for field, counts in later.counts.items():
            own = self.counts.setdefault(field, Counter())
            if own is None or counts is None:
                self.counts[field] = None
                continue
            own.update(counts)
            if len(own) > MAX_VALUES:
                self.counts[field] = None

    def _values(self, answer: str, parsed: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
        if parsed is None:
            parsed = _object(answer)
        if parsed is None:
            if not self._only:
                yield WHOLE, answer.strip()
            return
        for field, value in parsed.items():
            if (not self._only or field in self._only) and isinstance(value, str | bool | int):
                yield field, value if isinstance(value, str) else json.dumps(value)


def _object(answer: str) -> Mapping[str, Any] | None:
    if not answer.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
