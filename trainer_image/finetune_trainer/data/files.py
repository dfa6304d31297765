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
