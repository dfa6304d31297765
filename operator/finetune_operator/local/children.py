"""The trainer's small programs as child processes: a request in, events out."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import IO, Final

from finetune_operator.exceptions import (
    DatasetInvalidError,
    FineTuneError,
    InvalidManifestError,
    ModelUnreadableError,
    OutputConflictError,
    StorageFullError,
)
from finetune_trainer.events import Event, FailureEvent, parse_event
from finetune_trainer.exit_codes import ExitCode

Notify = Callable[[str], None]
"""Takes one sentence that tells the user what is going on."""

ERRORS: Final[dict[int, type[FineTuneError]]] = {
    ExitCode.CONFIGURATION: InvalidManifestError,
    ExitCode.DATA: DatasetInvalidError,
    ExitCode.MODEL: ModelUnreadableError,
    ExitCode.OUTPUT_CONFLICT: OutputConflictError,
    ExitCode.STORAGE_FULL: StorageFullError,
}
"""The trainer's exit codes as our errors; the rest are plain FineTuneErrors that carry the code."""


def module_command(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a module of the trainer with this Python."""
    return (sys.executable, "-m", module, *arguments)


def converse(command: Sequence[str], request: str, on_event: Callable[[Event], None]) -> None:
    """Run a command, give it the request on standard input, and pass on its events as they come.

    Raises:
        FineTuneError: the command failed; its own sentence and code, or the last line of its standard error, all of
            which is in the error's details.
    """
    # files and not pipes: a child that ends without reading, or that writes much, blocks nobody
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as errors:
        asked.write(request.encode())
        asked.seek(0)
        failure, code = _listen(command, asked, errors, on_event)
        if code or failure:
            errors.seek(0)
            raise _error(command, code, failure, errors.read().decode(errors="replace"))


def _listen(
    command: Sequence[str], asked: IO[bytes], errors: IO[bytes], on_event: Callable[[Event], None]
) -> tuple[FailureEvent | None, int]:
    failure = None
    with subprocess.Popen(
        command, stdin=asked, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8", errors="replace"
    ) as child:
        try:
            for line in child.stdout or ():
                event = parse_event(line)
                if isinstance(event, FailureEvent):
                    failure = event
                elif event is not None:
                    on_event(event)
        except BaseException:
            # leaving early, by an error of the listener or Ctrl-C: nobody waits for the answer any more
            child.kill()
            raise
    return failure, child.returncode


def _error(command: Sequence[str], code: int, failure: FailureEvent | None, errors: str) -> FineTuneError:
    end = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    if failure is not None:
        error = ERRORS.get(failure.code, FineTuneError)(failure.message)
        error.exit_code = failure.code
    else:
        last = next((line for line in reversed(errors.splitlines()) if line.strip()), "it said nothing")
        error = FineTuneError(f"{' '.join(command[1:3])} {end}: {last.strip()}")
    error.details = f"{' '.join(command)} {end}\n{errors}".rstrip()
    return error
