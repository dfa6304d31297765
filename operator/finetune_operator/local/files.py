"""Writing files so that they are complete or absent."""

import errno
import os
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Write beside the target, flush to the disk, then rename."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as f:
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have a folder's names on the disk: a rename alone doesn't outlive a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def is_full(error: OSError) -> bool:
    """Whether the disk, or the user's share of it, is what stood against a write."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def existing_parent(path: Path) -> Path:
    """The path itself or its nearest ancestor that exists."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
