"""Checkpoints that are complete or absent: a marker of our own, written last, says what must be there.

No torch here.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, ValidationError

from finetune_trainer.events import WarningEvent
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.files import sha256_of, sync_tree, write_json
from finetune_trainer.job_config import StrictModel
from finetune_trainer.progress import Emit

MARKER: Final = "complete.json"
"""Written last, atomically: transformers' own writes aren't atomic, so a folder proves nothing."""

DIGESTED_BYTES: Final = 64 * 1024**2
"""Files up to this size are held against their digest, larger ones against their size alone.

Every file is on the disk before the marker is, so that neither a kill nor a power cut leaves the right size with the
wrong content; what the digest finds beyond that is a file that was changed by hand, or a failing disk. Reading
hundreds of gigabytes again for that would delay every save and every resumption.
"""

_PREFIX: Final = "checkpoint-"


class _File(StrictModel):
    bytes: int
    sha256: str | None
    """None: too large to be read again."""


class _Marker(StrictModel):
    step: int
    world: int
    """Ranks that the optimizer's state is divided among."""
    files: Annotated[dict[str, _File], Field(min_length=1)]
    """By path inside the checkpoint."""


def step_of(folder: Path) -> int:
    """The optimizer step that a checkpoint folder is named after."""
    return int(folder.name.removeprefix(_PREFIX))


def mark_complete(folder: Path, world: int) -> None:
    """Declare a checkpoint of so many ranks whole, once all of it is on the disk."""
    paths = sorted(_files(folder))
    sync_tree(folder)
    marker = _Marker(step=step_of(folder), world=world, files={str(p.relative_to(folder)): _describe(p) for p in paths})
    write_json(folder / MARKER, marker.model_dump())


def fault_of(folder: Path) -> str | None:
    """What keeps a checkpoint from being used, as the rest of a sentence; None if it is whole."""
    try:
        marker = _Marker.model_validate_json((folder / MARKER).read_bytes())
    except (OSError, ValidationError):
        return "was not finished"
    if marker.step != step_of(folder):
        return f"was saved at step {marker.step}"
    for name, wanted in marker.files.items():
        path = folder / name
        if not path.is_file():
            return f"lacks {name}"
        if path.stat().st_size != wanted.bytes or (wanted.sha256 and sha256_of(path) != wanted.sha256):
            return f"has a damaged {name}"
    return None


def at(root: Path, step: int) -> Path:
    """The folder of that step's checkpoint, whether or not there is one."""
    return root / f"{_PREFIX}{step}"


def newest_complete(root: Path, emit: Emit) -> Path | None:
    """The checkpoint to go on from; each one passed over is said."""
    faults: list[tuple[Path, str]] = []
    found = None
    for folder in _checkpoints(root):
        fault = fault_of(folder)
        if fault is None:
            found = folder
            break
        faults.append((folder, fault))
    instead = f"going on from {found.name}" if found else "starting from the beginning"
    for folder, fault in faults:
        emit(WarningEvent(message=f"{folder.name} {fault}; {instead}"))
    return found


def hold_world(folder: Path, world: int) -> None:
    """Hold a complete checkpoint against the number of ranks that are to go on from it.

    Raises:
        TrainerError: OUTPUT_CONFLICT, it is of another number.
    """
    saved = _Marker.model_validate_json((folder / MARKER).read_bytes()).world
    if saved != world:
        raise TrainerError(
            ExitCode.OUTPUT_CONFLICT,
            f"{folder}: was saved by {_ranks(saved)}, and this job has {_ranks(world)}; choose an option with "
            f"{_ranks(saved)}, or write another output.path to begin anew",
        )


def _ranks(count: int) -> str:
    return "1 rank" if count == 1 else f"{count} ranks"


def prune(root: Path, keep: int, best: int | None = None) -> None:
    """Remove what is unfinished or damaged, and complete checkpoints beyond the newest `keep`, which is at least 1.

    Args:
        root: where they are.
        keep: how many.
        best: step of one that is kept beside them.

    Notes:
        A removal cut short leaves a checkpoint that lacks files, which nothing takes for whole.
    """
    folders = _checkpoints(root)
    whole = [f for f in folders if fault_of(f) is None]
    kept = [*whole[:keep], *(f for f in whole if step_of(f) == best)]
    for folder in folders:
        if folder not in kept:
            shutil.rmtree(folder)


def _checkpoints(root: Path) -> list[Path]:
    """All of them, newest first."""
    found = [p for p in root.glob(f"{_PREFIX}*") if p.is_dir() and p.name.removeprefix(_PREFIX).isdecimal()]
    return sorted(found, key=step_of, reverse=True)


def _files(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.is_file() and p != folder / MARKER)


def _describe(path: Path) -> _File:
    size = path.stat().st_size
    return _File(bytes=size, sha256=sha256_of(path) if size <= DIGESTED_BYTES else None)
