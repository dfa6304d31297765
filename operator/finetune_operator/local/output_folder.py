"""Whose an output folder is, and holding it while a run lasts."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from finetune_operator.api.resource import FineTuneJob
from finetune_operator.exceptions import FineTuneError, OutputConflictError, StorageFullError
from finetune_operator.local.children import Notify
from finetune_operator.local.files import is_full, write_atomically
from finetune_operator.local.inventory import read_free_disk
from finetune_operator.local.record import (
    STATUS_FILE,
    Record,
    differences,
    normalise,
    read_record,
    read_repeat,
)
from finetune_operator.units import Bytes, gib
from finetune_trainer.job_config import STATE_FOLDER

LOCK: Final = "lock"
"""Locked while a run lasts, by the command line and by the trainer that it started."""

OWNER: Final = "owner.json"
"""Who holds the lock; beside it, since a lock that fails to open can't say."""

STOPPING_SECONDS: Final = 60.0
"""How long a trainer may take to stop whose command line is gone: a step and a checkpoint."""

_POLL_SECONDS: Final = 0.1
_SHOWN_FILES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An output folder that is ours until the run ends."""

    folder: Path
    lock_fd: int
    """Inherited by the trainer: the folder stays held until both are gone."""


def examine(output: Path, job: FineTuneJob, folder: Path, option: str | None) -> Record | None:
    """The run in the folder that this job goes on with; None where the folder is new or empty. Writes nothing.

    Args:
        output: the output folder.
        job: what is to be run.
        folder: of the job file.
        option: the one that the user names, if any.

    Raises:
        OutputConflictError: the folder holds something else.
    """
    if output.exists() and not output.is_dir():
        raise OutputConflictError(f"spec.output.path: {output} is a file; write the path of a folder")
    record = read_record(output)
    if record is None:
        _only_ours(output)
        return None
    _in_place(output, record)
    _same_job(output, record, job, folder)
    if not (goes_on_as_begun(record, option) or _may_be_divided_anew(record, option)):
        raise OutputConflictError(
            f"spec.output.path: {output} holds a run of option {record.option}, and {option} is asked for; write "
            f"another output.path, or go on with --option {record.option}",
        )
    return record


def goes_on_as_begun(record: Record, option: str | None) -> bool:
    """Whether the record's own option is meant."""
    return option in {None, "recommended", record.option}


def _may_be_divided_anew(record: Record, option: str | None) -> bool:
    """Whether it is the same method on other devices, with something left to do."""
    return option is not None and record.result is None and _method_of(option) == _method_of(record.option)


def _method_of(option: str) -> str:
    return option.partition("-")[0]


def _in_place(output: Path, record: Record) -> None:
    """The rendered job names its folder: elsewhere it would train into the place where it was begun."""
    begun = json.loads(record.job_file.read_text(encoding="utf-8"))["output"]
    if begun != str(output):
        raise OutputConflictError(
            f"spec.output.path: {output} holds a run that was begun as {begun}; move it back there, or write another "
            "output.path",
        )


def check_result(output: Path) -> None:
    """Hold a complete run against what is still there of it.

    Raises:
        OutputConflictError: the result is gone.
    """
    if not any(output.glob("*.safetensors")):
        raise OutputConflictError(
            f"spec.output.path: {output} holds a complete run whose result is gone (no .safetensors); write another "
            "output.path, or remove that folder",
        )


def _only_ours(output: Path) -> None:
    # a status beside our folder is of a run that was cut off while it was begun
    ours = {STATE_FOLDER, STATUS_FILE} if (output / STATE_FOLDER).is_dir() else {STATE_FOLDER}
    foreign = sorted(p.name for p in output.iterdir() if p.name not in ours) if output.is_dir() else []
    if foreign:
        shown = ", ".join(foreign[:_SHOWN_FILES]) + (", …" if len(foreign) > _SHOWN_FILES else "")
        raise OutputConflictError(
            f"spec.output.path: {output} has files that are not of a run ({shown}); write another output.path, or "
            "empty the folder",
        )


def _same_job(output: Path, record: Record, job: FineTuneJob, folder: Path) -> None:
    new = normalise(job, folder)
    repeat = read_repeat(record)
    if repeat is not None and normalise(repeat, folder) == new:
        return
    found = differences(record.spec, new)
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise OutputConflictError(
            f"spec.output.path: {output} belongs to another job ({found[0]}{more}); write another output.path, or "
            "remove that folder",
        )


@contextmanager
def claim(output: Path, notify: Notify, patience_seconds: float = STOPPING_SECONDS) -> Iterator[Claim]:
    """Hold the folder, created where it has to be; empty folders that we created are removed again.

    Raises:
        OutputConflictError: another run holds it, or it can't be written to.
        StorageFullError: there is no space for it.
    """
    state = output / STATE_FOLDER
    created = [p for p in (state, output, *output.parents) if not p.exists()]
    fd = _open_lock(output, created)
    try:
        _lock(fd, output, notify, patience_seconds)
        try:
            _write_owner(output)
            yield Claim(folder=output, lock_fd=fd)
        finally:
            # while we hold it: nobody else can have begun anything there
            _tidy(state, created)
    finally:
        # closed and not unlocked: the trainer may still hold it
        os.close(fd)


def _open_lock(output: Path, created: list[Path]) -> int:
    state = output / STATE_FOLDER
    try:
        state.mkdir(parents=True, exist_ok=True)
        return os.open(state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as e:
        _remove_empty(created)
        raise unwritable(output, e) from e


def unwritable(output: Path, error: OSError) -> FineTuneError:
    """What keeps a run from writing to its folder, for the user."""
    if is_full(error):
        return StorageFullError(
            f"spec.output.path: {output} is on a disk that is full; free some, or write a path on another disk",
        )
    return OutputConflictError(
        f"spec.output.path: {output} can't be written to ({error.strerror}); write a path of yours",
    )


def check_space(output: Path, need: Bytes) -> None:
    """Hold the free disk against what the run will write.

    Raises:
        StorageFullError: need and have.
    """
    have = read_free_disk(output)
    if have < need:
        raise StorageFullError(
            f"spec.output.path: {output} is on a disk with {gib(have)} free, and the run writes up to {gib(need)} "
            "(checkpoints and result); free some, lower training.checkpoint.keep, or write a path on another disk",
        )


def _lock(fd: int, output: Path, notify: Notify, patience_seconds: float) -> None:
    begun, told = time.monotonic(), False
    while not _try_lock(fd, output):
        owner = read_owner(output)
        if owner is not None and _is_alive(owner):
            raise OutputConflictError(
                f"spec.output.path: {output} is being written to by process {owner['pid']}; wait for it, follow it "
                f"with `finetune status {output}`, or stop it with `kill {owner['pid']}`",
            )
        waited = time.monotonic() - begun
        if waited > patience_seconds:
            raise OutputConflictError(
                f"spec.output.path: {output} is still held by a trainer whose command line is gone; wait until it has "
                "written its checkpoint, then run the same command again",
            )
        # not at once: who has just taken the lock needs a moment to write its name
        if waited > _POLL_SECONDS and not told:
            notify(f"the trainer of an earlier run is still stopping; waiting up to {patience_seconds:.0f} s")
            told = True
        time.sleep(_POLL_SECONDS)
    if not _is_in_place(fd, output / STATE_FOLDER / LOCK):
        raise OutputConflictError(f"spec.output.path: {output} was given back just now; run the same command again")


def _is_in_place(fd: int, path: Path) -> bool:
    """The lock we hold is the one that others will find: its file may have been removed while we waited."""
    return path.exists() and os.path.samestat(os.fstat(fd), path.stat())


def _try_lock(fd: int, output: Path) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as e:
        raise unwritable(output, e) from e
    return True


def _write_owner(output: Path) -> None:
    me = psutil.Process()
    owner = {"pid": me.pid, "started": me.create_time()}
    try:
        write_atomically(output / STATE_FOLDER / OWNER, json.dumps(owner) + "\n")
    except OSError as e:
        raise unwritable(output, e) from e


def read_owner(output: Path) -> dict[str, Any] | None:
    """Who holds the folder, if it left its name: `pid`, and `started` since pids are used again."""
    try:
        owner: Any = json.loads((output / STATE_FOLDER / OWNER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    known = isinstance(owner, dict) and isinstance(owner.get("pid"), int) and isinstance(owner.get("started"), float)
    return owner if known and owner["pid"] > 0 else None


def is_held(output: Path) -> bool:
    """Whether a command is at work in the folder."""
    owner = read_owner(output)
    return owner is not None and _is_alive(owner)


def _is_alive(owner: dict[str, Any]) -> bool:
    try:
        return bool(abs(psutil.Process(owner["pid"]).create_time() - owner["started"]) < 1)
    except psutil.NoSuchProcess:
        return False


def _tidy(state: Path, created: list[Path]) -> None:
    """Take our name away, and leave nothing behind of a claim in which no run was begun."""
    (state / OWNER).unlink(missing_ok=True)
    if created and state.is_dir() and not any(p.name != LOCK for p in state.iterdir()):
        (state / LOCK).unlink()
        _remove_empty(created)


def _remove_empty(folders: list[Path]) -> None:
    """Those that exist, innermost first, up to the first that holds something."""
    for folder in folders:
        if folder.exists():
            if any(folder.iterdir()):
                return
            folder.rmdir()
