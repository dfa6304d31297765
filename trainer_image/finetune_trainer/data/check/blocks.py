"""A file in pieces that can be checked apart from one another, in order."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Final

from finetune_trainer.data import files
from finetune_trainer.data.json_lines import numbered, parse_line
from finetune_trainer.data.raw import RawRow
from finetune_trainer.data.readers import is_lines, read_rows
from finetune_trainer.events import RowFault

BLOCK_BYTES: Final = 1024**2
"""Of lines in one piece."""

BLOCK_ROWS: Final = 2048
"""Rows in one piece, of files that aren't lines."""


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Whole lines, not yet parsed: that is most of the work."""

    before: int
    """Lines before them."""
    data: bytes

    def rows(self, label: str) -> Iterator[RawRow | RowFault]:
        """What stands on the lines.

        Raises:
            TrainerError: DATA, a line is too long or cut off.
        """
        for number, line in numbered(BytesIO(self.data), label, self.before):
            yield parse_line(line, label, number)

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Rows that are parsed already."""

    parsed: tuple[RawRow | RowFault, ...]

    def rows(self, label: str) -> Iterator[RawRow | RowFault]:
        """The rows."""
        del label  # faults have it already
        return iter(self.parsed)

    @property
    def size(self) -> int:
        """Not known in bytes."""
        return 0


Block = LineBlock | RowBlock


def blocks(path: Path, label: str) -> Iterator[Block]:
    """The pieces of a file that has been found readable.

    Raises:
        TrainerError: DATA, it can't be read to its end.
    """
    if is_lines(path):
        return _line_blocks(path)
    return _row_blocks(path, label)


def _line_blocks(path: Path) -> Iterator[LineBlock]:
    before = 0
    with files.opened(path) as f:
        while data := f.read(BLOCK_BYTES):
            data += f.readline(files.MAX_ROW_BYTES + 1)
            yield LineBlock(before, data)
            before += data.count(b"\n")


def _row_blocks(path: Path, label: str) -> Iterator[RowBlock]:
    rows = read_rows(path, label)
    while parsed := tuple(islice(rows, BLOCK_ROWS)):
        yield RowBlock(parsed)
