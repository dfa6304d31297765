"""What a file of a person holds: its values, where they stand, and what is wrong with them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from finetune_operator.api.base import Place, format_place
from finetune_operator.exceptions import InvalidManifestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong in a file."""

    line: int
    """From 1."""
    place: Place
    """The field; empty for the file as a whole."""
    sentence: str
    """What is wrong and what to write instead; follows the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document as plain values, and where they stand."""

    name: str
    """The file as the user wrote it."""
    value: Any
    lines: Mapping[Place, int]
    """Of every key and every entry of a list."""
    texts: Mapping[Place, str]
    """Every scalar as it is written: 2e-4 and not 0.0002."""
    faults: tuple[Fault, ...]
    """Of its form: keys written twice, aliases."""

    def line(self, place: Place) -> int:
        """The line of that place, or of the nearest one above it that is written."""
        return next(self.lines[place[:n]] for n in range(len(place), -1, -1) if place[:n] in self.lines)


def refusal(name: str, faults: Iterable[Fault]) -> InvalidManifestError:
    """One error for all faults of a file, a line each, in the file's order."""
    ordered = sorted(faults, key=lambda f: f.line)
    return InvalidManifestError("\n".join(_told(name, f) for f in ordered))


def _told(name: str, fault: Fault) -> str:
    place = f"{format_place(fault.place)}: " if fault.place else ""
    return f"{name}:{fault.line}: {_on_one_line(place + fault.sentence)}"


def _on_one_line(text: str) -> str:
    """What a file holds is quoted in sentences: line ends and invisible characters are shown and not printed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
