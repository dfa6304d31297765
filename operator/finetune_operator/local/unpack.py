"""Files of a tar stream from elsewhere: those that are expected, and nothing that leads out of the folder."""

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final

from typing_extensions import override

from finetune_operator.exceptions import ClusterError
from finetune_operator.units import MIB

MOST_BYTES: Final = 512 * MIB
"""Of all files together: a report is smaller by far, and a disk isn't to be filled from elsewhere."""

MOST_FILES: Final = 256
"""Likewise."""

_COPY_BYTES: Final = 1 * MIB


class _Readable(io.RawIOBase):
    """Chunks as a file that is read forward."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held = b""

    @override
    def readable(self) -> bool:
        return True

    @override
    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._held) < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            self._held += chunk
        taken, self._held = (self._held, b"") if size < 0 else (self._held[:size], self._held[size:])
        return taken


def unpack(chunks: Iterable[bytes], folder: Path, files: Iterable[str], folders: Iterable[str]) -> list[str]:
    """Write the archive's files into a folder that holds none of them; their names in order.

    Args:
        chunks: the tar stream.
        folder: exists.
        files: names that are expected in it.
        folders: names of folders whose files are expected, too; not those of folders in them.

    Raises:
        ClusterError: the stream isn't an archive, is too big, or holds something else.
        OSError: a file can't be written.
    """
    allowed = (frozenset(files), frozenset(folders))
    written: list[str] = []
    left = MOST_BYTES
    try:
        with tarfile.open(fileobj=_Readable(chunks), mode="r|") as archive:
            for member in archive:
                left -= member.size
                _check(member, *allowed, left=left, count=len(written))
                source = archive.extractfile(member)
                if source is not None:
                    _write(source, folder / member.name)
                    written.append(member.name)
    except tarfile.TarError as e:
        raise ClusterError(f"the copy broke off, or isn't an archive ({e}); try again") from e
    return written


def _check(member: tarfile.TarInfo, files: frozenset[str], folders: frozenset[str], *, left: int, count: int) -> None:
    head, _, name = member.name.rpartition("/")
    expected = member.name in files or (head in folders and name not in {"", ".", ".."})
    if not member.isreg() or not expected or "\\" in name or "\0" in name:
        raise ClusterError(f"the copy holds {member.name!r}, which is no file of a report; nothing of it is kept")
    if left < 0 or count >= MOST_FILES:
        raise ClusterError(
            f"the copy holds more than {MOST_FILES} files or {MOST_BYTES // MIB} MiB, which is no report; nothing of "
            "it is kept"
        )


def _write(source: IO[bytes], path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    # x: never through a link or over a file that is there
    with path.open("xb") as target:
        for chunk in _blocks(source):
            target.write(chunk)


def _blocks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(_COPY_BYTES):
        yield chunk
