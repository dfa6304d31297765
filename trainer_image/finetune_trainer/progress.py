"""Telling whoever started us how far we are. No torch here."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from finetune_trainer.events import Event, FailureEvent, format_event
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.files import write_atomically
from finetune_trainer.interrupts import LAUNCHER
from finetune_trainer.termination import leave

FAILURES: Final = "FINETUNE_FAILURES"
"""Environment of several ranks: the folder that each leaves its failure in, for the launcher to tell the first."""

Emit = Callable[[Event], None]
"""Takes an event and passes it on."""


class LeftFailure(BaseModel):
    """What one of several ranks ended with."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    code: int
    message: str
    time: float
    """Seconds since the epoch."""


def emit(event: Event) -> None:
    """Write the event on standard output, at once, and leave it where a process's last word is read."""
    leave(event)
    try:
        sys.stdout.write(format_event(event) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever listened is gone; we are about to be asked to stop, and until then the checkpoint matters more
        _discard_output()


def emit_failure(code: ExitCode, message: str) -> int:
    """Tell the failure, or leave it for the launcher to tell, and return its code."""
    sentence = " ".join(message.split())
    folder = os.environ.get(FAILURES)
    # a launcher that is gone tells nothing any more
    if folder is None or os.environ.get(LAUNCHER) != str(os.getppid()):
        emit(FailureEvent(code=int(code), message=sentence))
    else:
        left = LeftFailure(code=int(code), message=sentence, time=time.time())
        write_atomically(Path(folder) / f"{os.environ['RANK']}.json", left.model_dump_json())
    return int(code)


def left_failures(folder: Path) -> dict[int, LeftFailure]:
    """What ranks have left there, by rank."""
    return {int(p.stem): LeftFailure.model_validate_json(p.read_bytes()) for p in folder.glob("*.json")}


def stay_silent(event: Event) -> None:
    """Take an event of a rank that another one speaks for."""
    del event


def _discard_output() -> None:
    # under the file object, so that what it still holds, and what libraries print, goes the same way
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
