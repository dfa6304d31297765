"""Telling whoever started us how far we are. No torch here."""

import os
import sys
from collections.abc import Callable

from finetune_trainer.events import Event, FailureEvent, format_event
from finetune_trainer.exit_codes import ExitCode

Emit = Callable[[Event], None]
"""Takes an event and passes it on."""


def emit(event: Event) -> None:
    """Write the event on standard output, at once."""
    try:
        sys.stdout.write(format_event(event) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever listened is gone; we are about to be asked to stop, and until then the checkpoint matters more
        _discard_output()


def emit_failure(code: ExitCode, message: str) -> int:
    """Tell the failure and return its code."""
    emit(FailureEvent(code=int(code), message=" ".join(message.split())))
    return int(code)


def _discard_output() -> None:
    # under the file object, so that what it still holds, and what libraries print, goes the same way
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
