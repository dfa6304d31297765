"""CSV and TSV: a line of names, then a row a line, or over several where a cell is quoted."""

import csv
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

from finetune_trainer.data import files, strict_json
from finetune_trainer.data.raw import RawRow
from finetune_trainer.events import RowFault
from finetune_trainer.exit_codes import ExitCode, TrainerError

JSON_COLUMNS: Final = ("messages", "conversations", "tools", "label")
"""Columns whose cells are JSON; all others are text as it stands."""


def read_table(path: Path, label: str, separator: str) -> Iterator[RawRow | RowFault]:
    """Rows by the names of the first line.

    Raises:
        TrainerError: DATA, the names are unusable, a cell is too long, or a quote is never closed.
    """
    # the longest cell is Python's to know, for all tables at once
    csv.field_size_limit(files.MAX_ROW_BYTES)
    with files.opened(path) as f:
        yield from _Table(f, label, separator).rows()


class _Table:
    def __init__(self, f: BufferedReader, label: str, separator: str) -> None:
        self._f = f
        self._label = label
        self._bad = 0
        """The last line that isn't UTF-8."""
        self._number = 0
        self._reader = csv.reader(self._lines(), delimiter=separator, strict=True)

    def rows(self) -> Iterator[RawRow | RowFault]:
        names = self._names()
        if names is None:
            return
        while True:
            line = self._reader.line_num + 1
            try:
                cells = next(self._reader, None)
            except csv.Error as e:
                yield self._fault(line, self._explain(e, line))
                continue
            if cells is None:
                return
            if cells:
                yield self._row(names, cells, line)

    def _names(self) -> Sequence[str] | None:
        try:
            names = next((cells for cells in self._reader if cells), None)
        except csv.Error as e:
            raise self._error(self._reader.line_num, self._explain(e, self._reader.line_num)) from e
        if names is None:
            return None
        blank = [i + 1 for i, name in enumerate(names) if not name.strip()]
        if blank:
            raise self._error(self._reader.line_num, f"column {blank[0]} has no name; write one in the first line")
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise self._error(self._reader.line_num, f"two columns have the name {twice[0][:40]}; keep one of them")
        return names

    def _row(self, names: Sequence[str], cells: Sequence[str], line: int) -> RawRow | RowFault:
        if line <= self._bad <= self._reader.line_num:
            return self._fault(self._bad, "is not UTF-8; save the file as UTF-8")
        if len(cells) != len(names):
            return self._fault(
                line, f"has {len(cells)} cells where the first line has {len(names)}; quote cells that hold commas"
            )
        value: dict[str, Any] = dict(zip(names, cells, strict=True))
        for column in JSON_COLUMNS:
            if value.get(column):
                try:
                    value[column] = _cell(column, value[column])
                except ValueError as e:
                    return self._fault(line, f"{column} {e}")
        return RawRow(line=line, value=value)

    def _lines(self) -> Iterator[str]:
        while line := self._f.readline(files.MAX_ROW_BYTES + 1):
            self._number += 1
            if len(line) > files.MAX_ROW_BYTES:
                raise self._error(self._number, f"is longer than {files.MAX_ROW_BYTES // 1024**2} MiB")
            if self._number == 1:
                line = line.removeprefix(files.BOM)
            try:
                yield line.decode()
            except UnicodeDecodeError:
                self._bad = self._number
                yield line.decode(errors="replace")

    def _explain(self, error: csv.Error, line: int) -> str:
        if "unexpected end of data" in str(error):
            raise self._error(line, "opens a quote that is never closed; close it, or double a quote that is meant")
        if "field larger" in str(error):
            raise self._error(line, f"has a cell of more than {files.MAX_ROW_BYTES // 1024**2} MiB; close its quote")
        return f"is not CSV: {error}; double a quote that is meant"

    def _fault(self, line: int, message: str) -> RowFault:
        return RowFault(file=self._label, line=line, message=message)

    def _error(self, line: int, message: str) -> TrainerError:
        return TrainerError(ExitCode.DATA, f"{self._label}:{line}: {message}")


def _cell(column: str, text: str) -> Any:
    # spreadsheets write True and FALSE
    return strict_json.parse(text.lower() if column == "label" else text)
