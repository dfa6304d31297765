"""Parquet and Arrow: rows of files by columns, some at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from finetune_trainer.data.raw import RawRow
from finetune_trainer.events import RowFault
from finetune_trainer.exit_codes import ExitCode, TrainerError

ROWS_AT_A_TIME: Final = 1024
"""Rows that are in memory together."""


def read_columns(path: Path, label: str) -> Iterator[RawRow | RowFault]:
    """Rows with their number, from 1.

    Raises:
        TrainerError: DATA, the file is damaged or of another kind.
    """
    number = 1
    with _translated(path):
        for batch in _batches(path):
            for value in _rows(batch):
                if value is None:
                    message = "holds text that is not UTF-8; write it as UTF-8"
                    yield RowFault(file=label, line=number, message=message)
                else:
                    # what one row hasn't got is null where columns are all rows'
                    yield RawRow(line=number, value={k: v for k, v in value.items() if v is not None})
                number += 1


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    # imported here: most files are JSON, and an inspection must not wait for it
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, EOFError) as e:
        first = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise TrainerError(
            ExitCode.DATA, f"{path}: is no {path.suffix.lower()} file that can be read ({first}); write it again"
        ) from e


def _batches(path: Path) -> Iterator[Any]:
    if path.suffix.lower() != ".parquet":
        yield from _arrow(path)
        return
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        # without threads: the order is the file's, and the memory that of one batch
        yield from file.iter_batches(batch_size=ROWS_AT_A_TIME, use_threads=False)


def _arrow(path: Path) -> Iterator[Any]:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        try:
            reader: Any = pa.ipc.open_file(source)
        except pa.ArrowInvalid:
            # the other layout, which data sets are cached in
            source.seek(0)
            batches: Iterator[Any] = iter(pa.ipc.open_stream(source))
        else:
            batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
        for batch in batches:
            for begin in range(0, batch.num_rows, ROWS_AT_A_TIME):
                yield batch.slice(begin, ROWS_AT_A_TIME)


def _rows(batch: Any) -> Iterator[dict[str, Any] | None]:
    """The batch's rows; None for one with text that is none."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for i in range(batch.num_rows):
            yield _row(batch.slice(i, 1))


def _row(batch: Any) -> dict[str, Any] | None:
    try:
        (value,) = batch.to_pylist()
    except UnicodeDecodeError:
        return None
    return dict(value)
