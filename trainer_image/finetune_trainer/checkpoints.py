"""Checkpoints that are complete or absent: a marker of our own, written last, says what must be there.

No torch here.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, NoReturn

from pydantic import Field, ValidationError

from finetune_trainer.events import WarningEvent
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.files import sha256_of, sync_tree, write_json
from finetune_trainer.job_config import Optimizer, Precision, StrictModel
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


class Layout(StrictModel):
    """How the state in a checkpoint is divided, and what it is the state of."""

    world: Annotated[int, Field(ge=1)]
    """Ranks that the optimizer's state is divided among."""
    stage: Annotated[int, Field(ge=0, le=3)]
    """Of ZeRO."""
    rows: Annotated[int, Field(ge=1)]
    """That a step learns from, on all ranks: steps are counted in them."""
    precision: Precision
    optimizer: Optimizer


class _Marker(StrictModel):
    step: int
    layout: Layout
    files: Annotated[dict[str, _File], Field(min_length=1)]
    """By path inside the checkpoint."""


def step_of(folder: Path) -> int:
    """The optimizer step that a checkpoint folder is named after."""
    return int(folder.name.removeprefix(_PREFIX))


def mark_complete(folder: Path, layout: Layout) -> None:
    """Declare a checkpoint whole, once all of it is on the disk."""
    paths = sorted(_files(folder))
    sync_tree(folder)
    files = {str(p.relative_to(folder)): _describe(p) for p in paths}
    marker = _Marker(step=step_of(folder), layout=layout, files=files)
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


def layout_of(folder: Path) -> Layout:
    """How a complete checkpoint is divided."""
    return _Marker.model_validate_json((folder / MARKER).read_bytes()).layout


def hold_layout(folder: Path, now: Layout) -> None:
    """Hold a complete checkpoint against the job that is to go on from it.

    Raises:
        TrainerError: OUTPUT_CONFLICT, what it would go on with is another training.
    """
    saved = layout_of(folder)
    if saved.rows != now.rows:
        # the same number of steps would have learnt from other rows
        _refuse(folder, f"with {saved.rows} rows a step, and this job has {now.rows}")
    if saved.precision is not now.precision:
        _refuse(folder, f"in {saved.precision}, and this job computes in {now.precision}")
    if saved.optimizer != now.optimizer:
        _refuse(folder, f"with the state of {saved.optimizer}, and this job steps by {now.optimizer}")
    if saved != now and now.precision is Precision.FP16:
        _refuse(
            folder,
            f"by {_divided(saved)}, and this job has {_divided(now)}: what FP16's gradients are scaled by is known "
            "to the former alone",
        )


def _refuse(folder: Path, why: str) -> NoReturn:
    raise TrainerError(
        ExitCode.OUTPUT_CONFLICT,
        f"{folder}: was saved {why}; go on with an option like the one before, or write another output.path to begin "
        "anew",
    )


def tell_division(folder: Path, now: Layout, *, dropout: bool) -> str:
    """What is said where a checkpoint is divided anew."""
    noise = (
        "; dropout is drawn anew, so that losses differ a little from those of an undisturbed run" if dropout else ""
    )
    before = _divided(layout_of(folder))
    return f"{folder.name} was saved by {before}; its state is divided anew for {_divided(now)}{noise}"


def _divided(layout: Layout) -> str:
    ranks = "1 rank" if layout.world == 1 else f"{layout.world} ranks"
    return f"{ranks} under ZeRO-{layout.stage}"


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
