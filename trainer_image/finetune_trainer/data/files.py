"""Files of rows as bytes, unpacked where they are gzipped."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Final

from finetune_trainer.exit_codes import ExitCode, TrainerError

BOM: Final = b"\xef\xbb\xbf"
"""May stand before the first character of UTF-8."""

MAX_ROW_BYTES: Final = 16 * 1024**2
"""Longest row in bytes: no row of text is longer, and a file without ends must not fill the memory."""


FETCHED_FILE: Final = ".fetched.json"
"""In a folder that was fetched from the hub: where it is from."""


def files_of(path: str) -> tuple[str, ...]:
    """The path itself, or of a folder that was fetched from the hub all files in it, in the order of their names."""
    folder = Path(path)
    if not (folder / FETCHED_FILE).is_file():
        return (path,)
    return tuple(str(p) for p in sorted(folder.rglob("[!.]*")) if p.is_file())


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """The file's bytes.

    Raises:
        TrainerError: DATA, it is called .gz and isn't, or is cut off.
    """
    if path.suffix.lower() != ".gz":
        with path.open("rb") as f:
            yield f
        return
    try:
        with gzip.open(path, "rb") as packed:
            yield BufferedReader(packed)
    except gzip.BadGzipFile as e:
        raise TrainerError(ExitCode.DATA, f"{path}: is not gzipped, or is damaged ({e}); pack it again") from e
    except (EOFError, zlib.error) as e:
        raise TrainerError(ExitCode.DATA, f"{path}: is cut off or damaged ({e}); copy the file again") from e
