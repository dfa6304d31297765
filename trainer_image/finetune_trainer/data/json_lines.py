"""JSON Lines: one object a line."""

from collections.abc import Iterator
from io import BufferedReader, BytesIO
from pathlib import Path

from finetune_trainer.data import files, strict_json
from finetune_trainer.data.raw import RawRow
from finetune_trainer.events import RowFault
from finetune_trainer.exit_codes import ExitCode, TrainerError


def read_lines(path: Path, label: str) -> Iterator[RawRow | RowFault]:
    """Rows of a file.

    Raises:
        TrainerError: DATA, it isn't one object a line, or is cut off.
    """
    found = False
    with files.opened(path) as f:
        for number, line in numbered(f, label):
            if not found:
                check_layout(path, line, f)
            found = True
            yield parse_line(line, label, number)


def numbered(f: BufferedReader | BytesIO, label: str, before: int = 0) -> Iterator[tuple[int, bytes]]:
    """Lines that aren't blank, numbered from 1 or after those before, the byte order mark taken off.

    Raises:
        TrainerError: DATA, one is longer than a row can be.
    """
    number = before
    while line := f.readline(files.MAX_ROW_BYTES + 1):
        number += 1
        if len(line) > files.MAX_ROW_BYTES:
            raise TrainerError(
                ExitCode.DATA,
                f"{label}:{number}: is longer than {files.MAX_ROW_BYTES // 1024**2} MiB; write one JSON object a line",
            )
        if number == 1:
            line = line.removeprefix(files.BOM)
        if line.strip():
            yield number, line


def check_layout(path: Path, first: bytes, rest: BufferedReader) -> None:
    """Hold the first line against what a file of JSON Lines begins with.

    Raises:
        TrainerError: DATA, it is an array, or an object over several lines.
    """
    begin = first.lstrip()
    if begin.startswith(b"["):
        raise TrainerError(
            ExitCode.DATA, f"{path}: is a JSON array; call it .json, or write its objects one a line, without [ and ]"
        )
    # an unfinished object that no other row follows goes on in the next line; before another row it is a broken row
    following = rest.peek(1).lstrip()
    if begin.startswith(b"{") and following and not following.startswith(b"{") and _is_unfinished(first):
        raise TrainerError(ExitCode.DATA, f"{path}: spreads an object over several lines; write one JSON object a line")


def parse_line(line: bytes, label: str, number: int) -> RawRow | RowFault:
    """The row on a line, or what is wrong with it.

    Raises:
        TrainerError: DATA, it is the last one and cut off.
    """
    try:
        value = strict_json.parse(line.decode().rstrip("\r\n"))
    except UnicodeDecodeError as e:
        _refuse_cut_off(line, label, number, unfinished=e.reason == "unexpected end of data")
        return RowFault(file=label, line=number, message=f"is not UTF-8 at byte {e.start + 1}; save the file as UTF-8")
    except ValueError as e:
        _refuse_cut_off(line, label, number, unfinished=isinstance(e, strict_json.UnfinishedError))
        return RowFault(file=label, line=number, message=str(e))
    return row_of(value, label, number)


def row_of(value: object, label: str, number: int) -> RawRow | RowFault:
    """A row's value, which has to be an object."""
    if isinstance(value, dict):
        return RawRow(line=number, value=value)
    message = f'is {strict_json.kind(value)}, not an object; write {{"instruction": …, "output": …}}'
    return RowFault(file=label, line=number, message=message)


def _is_unfinished(line: bytes) -> bool:
    try:
        strict_json.parse(line.decode(errors="replace"))
    except strict_json.UnfinishedError:
        return True
    except ValueError:
        return False
    return False


def _refuse_cut_off(line: bytes, label: str, number: int, *, unfinished: bool) -> None:
    # only the file's last line can lack its end; an unfinished object there means that rows after it are lost, too
    if line.endswith(b"\n") or not line.lstrip().startswith(b"{"):
        return
    if unfinished or not line.rstrip().endswith(b"}"):
        raise TrainerError(
            ExitCode.DATA,
            f"{label}:{number}: is cut off: the file ends in the middle of a row; copy the file again, or drop the row",
        )
