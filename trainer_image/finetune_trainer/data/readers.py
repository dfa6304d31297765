"""JSON Lines from a file, one object a line; every fault with its place."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

from finetune_trainer.data import strict_json
from finetune_trainer.events import RowFault
from finetune_trainer.exit_codes import ExitCode, TrainerError

SUFFIXES: Final = (".jsonl", ".ndjson", ".json")
"""Suffixes of files that may hold JSON Lines; .json counts when its content is one object a line."""

MAX_LINE_BYTES: Final = 16 * 1024**2
"""Longest line in bytes: no row of text is longer, and a file without line ends must not fill the memory."""

_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRow:
    """One line's object, not yet understood."""

    line: int
    """From 1."""
    value: dict[str, Any]


def read_rows(path: Path, label: str) -> Iterator[RawRow | RowFault]:
    """Every row of a file in order, or what is wrong with its line; blank lines are skipped.

    Raises:
        TrainerError: DATA, where the file as a whole can't be used: missing, a folder, another format, empty, cut off.
    """
    found = False
    try:
        _check_file(path)
        with path.open("rb") as f:
            for number, line in _lines(f, label):
                if not found:
                    _check_layout(path, line, f)
                found = True
                yield _parse(line, label, number)
    except OSError as e:
        raise TrainerError(ExitCode.DATA, f"{path}: can't be read: {e.strerror}") from e
    if not found:
        raise TrainerError(ExitCode.DATA, f"{path}: is empty; write one JSON object a line")


def _check_file(path: Path) -> None:
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix in SUFFIXES)
        hint = f"name a file in it, such as {path / inside[0]}" if inside else "name a .jsonl file"
        raise TrainerError(ExitCode.DATA, f"{path}: is a folder; {hint}")
    if not path.exists():
        raise TrainerError(ExitCode.DATA, f"{path}: there is no such file; check the path, it counts from the job file")
    if not path.is_file():
        raise TrainerError(ExitCode.DATA, f"{path}: is no regular file; name a .jsonl file")
    if path.suffix.lower() not in SUFFIXES:
        what = f"has the suffix {path.suffix}" if path.suffix else "has no suffix"
        raise TrainerError(
            ExitCode.DATA,
            f"{path}: {what}; rows are read from JSON Lines: write one JSON object a line into a .jsonl file",
        )


def _lines(f: BufferedReader, label: str) -> Iterator[tuple[int, bytes]]:
    """Lines that aren't blank, numbered from 1, the byte order mark taken off."""
    number = 0
    while line := f.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise TrainerError(
                ExitCode.DATA,
                f"{label}:{number}: is longer than {MAX_LINE_BYTES // 1024**2} MiB; write one JSON object a line",
            )
        if number == 1:
            line = line.removeprefix(_BOM)
        if line.strip():
            yield number, line


def _check_layout(path: Path, first: bytes, rest: BufferedReader) -> None:
    begin = first.lstrip()
    if begin.startswith(b"["):
        raise TrainerError(ExitCode.DATA, f"{path}: is a JSON array; write its objects one a line, without [ and ]")
    # an unfinished object that no other row follows goes on in the next line; before another row it is a broken row
    following = rest.peek(1).lstrip()
    if begin.startswith(b"{") and following and not following.startswith(b"{") and _is_unfinished(first):
        raise TrainerError(ExitCode.DATA, f"{path}: spreads an object over several lines; write one JSON object a line")


def _is_unfinished(line: bytes) -> bool:
    try:
        strict_json.parse(line.decode(errors="replace"))
    except strict_json.UnfinishedError:
        return True
    except ValueError:
        return False
    return False


def _parse(line: bytes, label: str, number: int) -> RawRow | RowFault:
    try:
        value = strict_json.parse(line.decode().rstrip("\r\n"))
    except UnicodeDecodeError as e:
        _refuse_cut_off(line, label, number, unfinished=e.reason == "unexpected end of data")
        return RowFault(file=label, line=number, message=f"is not UTF-8 at byte {e.start + 1}; save the file as UTF-8")
    except ValueError as e:
        _refuse_cut_off(line, label, number, unfinished=isinstance(e, strict_json.UnfinishedError))
        return RowFault(file=label, line=number, message=str(e))
    if not isinstance(value, dict):
        message = f'is {strict_json.kind(value)}, not an object; write {{"instruction": …, "output": …}}'
        return RowFault(file=label, line=number, message=message)
    return RawRow(line=number, value=value)


def _refuse_cut_off(line: bytes, label: str, number: int, *, unfinished: bool) -> None:
    # only the file's last line can lack its end; an unfinished object there means that rows after it are lost, too
    if line.endswith(b"\n") or not line.lstrip().startswith(b"{"):
        return
    if unfinished or not line.rstrip().endswith(b"}"):
        raise TrainerError(
            ExitCode.DATA,
            f"{label}:{number}: is cut off: the file ends in the middle of a row; copy the file again, or drop the row",
        )
