"""Rows from files of every kind, one after another; every fault with its place."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from finetune_trainer.data.columns import read_columns
from finetune_trainer.data.files import opened
from finetune_trainer.data.json_array import read_array
from finetune_trainer.data.json_lines import read_lines
from finetune_trainer.data.raw import RawRow
from finetune_trainer.data.tables import read_table
from finetune_trainer.events import RowFault
from finetune_trainer.exit_codes import ExitCode, TrainerError

LINES: Final = (".jsonl", ".ndjson")
"""Suffixes of JSON Lines: one object a line."""

ARRAY: Final = ".json"
"""Of a file with one array of objects, or with one object a line after all."""

COLUMNS: Final = (".parquet", ".arrow", ".feather")
"""Of files that pyarrow reads, by columns."""

PACKED: Final = ".gz"
"""A second suffix that a file of text may have."""

_Reader = Callable[[Path, str], Iterator[RawRow | RowFault]]

KINDS: Final[Mapping[str, str]] = {
    "JSON Lines": ".jsonl",
    "JSON": ".json",
    "CSV": ".csv",
    "Parquet": ".parquet",
    "Arrow": ".arrow",
}
"""What can be read, by the suffix that is told."""


def read_rows(path: Path, label: str) -> Iterator[RawRow | RowFault]:
    """Every row of a file in order, or what is wrong with it; blank lines are skipped.

    Raises:
        TrainerError: DATA, where the file as a whole can't be used: missing, a folder, another format, empty, cut off.
    """
    found = False
    try:
        check_file(path)
        for row in _reader_of(path)(path, label):
            found = True
            yield row
    except OSError as e:
        raise TrainerError(ExitCode.DATA, f"{path}: can't be read: {e.strerror or e}") from e
    if not found:
        raise TrainerError(ExitCode.DATA, f"{path}: is empty; write one JSON object a line")


def suffix_of(path: Path) -> str:
    """What tells the kind of file: its last suffix, or the one before .gz."""
    name = path.name.lower()
    return Path(name.removesuffix(PACKED)).suffix


def is_lines(path: Path) -> bool:
    """Whether a file is one object a line: by its suffix, and .json by how it begins."""
    suffix = suffix_of(path)
    if suffix != ARRAY:
        return suffix in LINES
    with opened(path) as f:
        begin = f.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    return not begin.startswith(b"[")


def check_file(path: Path) -> None:
    """Hold a path against what can be read.

    Raises:
        TrainerError: DATA, it is no file, or none of a kind that is known.
    """
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if _is_known(p))
        hint = f"name a file in it, such as {path / inside[0]}" if inside else "name a .jsonl file"
        raise TrainerError(ExitCode.DATA, f"{path}: is a folder; {hint}")
    if not path.exists():
        raise TrainerError(ExitCode.DATA, f"{path}: there is no such file; check the path, it counts from the job file")
    if not path.is_file():
        raise TrainerError(ExitCode.DATA, f"{path}: is no regular file; name a .jsonl file")
    if not _is_known(path):
        what = f"has the suffix {path.suffix}" if path.suffix else "has no suffix"
        kinds = ", ".join(f"{kind} ({suffix})" for kind, suffix in KINDS.items())
        raise TrainerError(
            ExitCode.DATA, f"{path}: {what}; rows are read from {kinds}; the first three may be gzipped (.gz)"
        )


def _is_known(path: Path) -> bool:
    suffix = suffix_of(path)
    packed = path.name.lower().endswith(PACKED)
    return suffix in (*LINES, ARRAY, *_SEPARATORS) or (suffix in COLUMNS and not packed)


def _reader_of(path: Path) -> _Reader:
    suffix = suffix_of(path)
    if suffix in COLUMNS:
        return read_columns
    if suffix in _SEPARATORS:
        return _read_table
    return read_lines if is_lines(path) else read_array


def _read_table(path: Path, label: str) -> Iterator[RawRow | RowFault]:
    return read_table(path, label, _SEPARATORS[suffix_of(path)])


_SEPARATORS: Final[Mapping[str, str]] = {".csv": ",", ".tsv": "\t"}
