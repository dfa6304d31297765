"""A JSON array of objects, read one object after another: the whole of it is never in memory."""

import codecs
import json
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Final, NoReturn

from finetune_trainer.data import files, strict_json
from finetune_trainer.data.json_lines import row_of
from finetune_trainer.data.raw import RawRow
from finetune_trainer.events import RowFault
from finetune_trainer.exit_codes import ExitCode, TrainerError

PIECE: Final = 1024**2
"""Bytes that are read at a time."""

_BLANK: Final = " \t\r\n"
_PLAIN: Final = json.JSONDecoder(parse_int=str, parse_constant=str)
"""Finds where an object ends, whatever the standard says of what is in it."""


def read_array(path: Path, label: str) -> Iterator[RawRow | RowFault]:
    """The array's objects, each with the line that it begins on.

    Raises:
        TrainerError: DATA, with the line, where the array isn't JSON: what follows a fault can't be told apart.
    """
    with files.opened(path) as f:
        yield from _Array(f, label).rows()


class _Array:
    """Text of which the beginning is forgotten once it is read."""

    def __init__(self, f: BufferedReader, label: str) -> None:
        self._f = f
        self._label = label
        self._decode = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._line = 1
        self._ended = False

    def rows(self) -> Iterator[RawRow | RowFault]:
        if self._next().startswith("\ufeff"):
            self._at += 1
        self._take("[", "a JSON array of rows begins with [")
        if self._next() == "]":
            self._at += 1
        else:
            yield from self._elements()
        if self._next():
            self._refuse("something follows the end of the array; take it out")

    def _elements(self) -> Iterator[RawRow | RowFault]:
        while True:
            self._next()
            yield self._element()
            if self._next() == "]":
                self._at += 1
                return
            self._take(",", "rows of an array are parted by commas")

    def _element(self) -> RawRow | RowFault:
        line, end = self._line, self._end()
        text = self._text[self._at : end]
        self._skip(end)
        try:
            value = strict_json.parse(text)
        except ValueError as e:
            return RowFault(file=self._label, line=line, message=str(e))
        return row_of(value, self._label, line)

    def _end(self) -> int:
        """Where the value that begins here ends."""
        while True:
            begin = self._at
            try:
                end = _PLAIN.raw_decode(self._text, self._at)[1]
            except json.JSONDecodeError as e:
                if not self._more():
                    self._refuse_value(e, e.pos - begin)
            except RecursionError as e:
                raise TrainerError(
                    ExitCode.DATA, f"{self._label}:{self._line}: nests too deeply; write flatter objects"
                ) from e
            else:
                # a number may go on behind what has been read
                if end < len(self._text) or not self._more():
                    return end

    def _next(self) -> str:
        """The next character that isn't blank; empty at the end of the file."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BLANK:
                self._line += self._text[self._at] == "\n"
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _take(self, character: str, rule: str) -> None:
        found = self._next()
        if not found:
            self._refuse("is cut off: the file ends in the middle of the array; copy the file again")
        if found != character:
            self._refuse(f"is not JSON: {found!r} where {character!r} belongs: {rule}")
        self._at += 1

    def _skip(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end

    def _more(self) -> bool:
        """Read on, as much again as an unfinished row has already; whether there was anything."""
        if self._ended:
            return False
        rest = self._text[self._at :]
        if len(rest) > files.MAX_ROW_BYTES:
            self._refuse(f"is longer than {files.MAX_ROW_BYTES // 1024**2} MiB, or isn't JSON; write smaller rows")
        piece = self._f.read(max(PIECE, len(rest)))
        self._ended = not piece
        try:
            self._text, self._at = rest + self._decode.decode(piece, final=self._ended), 0
        except UnicodeDecodeError as e:
            line = self._line + rest.count("\n") + piece[: e.start].count(b"\n")
            raise TrainerError(ExitCode.DATA, f"{self._label}:{line}: is not UTF-8; save the file as UTF-8") from e
        return not self._ended or len(self._text) > len(rest)

    def _refuse_value(self, error: json.JSONDecodeError, position: int) -> NoReturn:
        position += self._at
        if position >= len(self._text.rstrip()) or error.msg.startswith("Unterminated string"):
            self._refuse("is cut off: the file ends in the middle of a row; copy the file again")
        self._skip(position)
        self._refuse(f"is not JSON: {error.msg.removesuffix(' at')}; mend it: rows behind it can't be told apart")

    def _refuse(self, what: str) -> NoReturn:
        raise TrainerError(ExitCode.DATA, f"{self._label}:{self._line}: {what}")
