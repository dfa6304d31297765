"""The trainer as a child process: started, listened to, stopped with a checkpoint."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import IO, Final

import psutil

from finetune_operator.local.children import Notify, module_command
from finetune_operator.local.output_folder import unwritable
from finetune_trainer.events import Event, FailureEvent, ResultEvent, parse_event
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.job_config import STOP_ON_EOF

LOG: Final = "trainer.log"
"""What the trainer and its libraries say beside events."""

STOPPING: Final = (
    "stopping after this step; a checkpoint will be left if training has begun (Ctrl-C again ends at once, without one)"
)
"""Said at the first request to stop."""

KILLED: Final = "ended at once; the same command goes on from the newest complete checkpoint, if there is one"
"""Said at the second."""


@dataclass(frozen=True, slots=True)
class Note:
    """One sentence for the user, out of a signal handler."""

    text: str


Inbox = SimpleQueue[bytes | Note | None]
"""Lines of the trainer, notes of a signal handler, None at the end: a handler may put into it at any moment, and may
not print, since what it interrupts may be printing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One start of the trainer."""

    command: Sequence[str]
    log: Path
    """Appended to: a resumed run's log is one file."""
    lock_fd: int
    """Inherited, so that the output folder is held until the trainer is gone."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beside our own."""


def launch_command(job_file: Path) -> tuple[str, ...]:
    """The command that trains the job of that file."""
    return module_command("finetune_trainer.launch", str(job_file))


def train(launch: Launch, on_event: Callable[[Event], None], notify: Notify) -> int:
    """Run the trainer to its end; its exit code.

    The first SIGINT or SIGTERM asks it to stop with a checkpoint, the second ends it.

    Args:
        launch: what to start.
        on_event: given each event as it comes.
        notify: told of requests to stop.
    """
    inbox: Inbox = SimpleQueue()
    told: int | None = None
    with (
        _opened(launch.log) as log,
        _started(launch, log) as child,
        _signals_forwarded(child, inbox) as stop,
    ):
        threading.Thread(target=_read, args=(child, inbox), daemon=True).start()
        while (item := inbox.get()) is not None:
            if isinstance(item, Note):
                notify(item.text)
                continue
            event = parse_event(item.decode(errors="replace"))
            if event is None:
                _log(log, item)
                continue
            if told is None and isinstance(event, FailureEvent | ResultEvent):
                told = event.code if isinstance(event, FailureEvent) else int(ExitCode.OK)
            on_event(event)
        code = child.wait()
    if told is not None:
        # after its result or its failure nothing that happens to the process changes what came out
        return told
    if code == 0:
        return code
    failure = _ended_on_request() if stop.asked and code < 0 else _died(code, launch.log)
    on_event(failure)
    return failure.code


def _ended_on_request() -> FailureEvent:
    return FailureEvent(code=int(ExitCode.INTERRUPTED), message=KILLED)


def _died(code: int, log: Path) -> FailureEvent:
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code} and no word of why"
    return FailureEvent(
        code=code if code in set(ExitCode) else int(ExitCode.INTERNAL),
        message=f"the trainer {how}; its log is {log}; the same command goes on from the last complete checkpoint",
    )


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        log = path.open("ab", buffering=0)
    except OSError as e:
        raise unwritable(path.parent.parent, e) from e
    with log:
        yield log


def _log(log: IO[bytes], line: bytes) -> None:
    # a full disk costs the log and not the run: the trainer finds out by itself whether it can still save
    with suppress(OSError):
        log.write(line)


def _read(child: "subprocess.Popen[bytes]", inbox: Inbox) -> None:
    for line in child.stdout or ():
        inbox.put(line)
    inbox.put(None)


@contextmanager
def _started(launch: Launch, log: IO[bytes]) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(
        launch.command,
        # a pipe that only we hold: the trainer reads its end when we are gone, even by SIGKILL
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        # a group of its own: the terminal's Ctrl-C comes to us alone, and we pass it on once
        process_group=0,
        pass_fds=(launch.lock_fd,),
        env={**os.environ, "PYTHONUNBUFFERED": "1", **launch.environment, STOP_ON_EOF: "1"},
    ) as child:
        try:
            yield child
        finally:
            # leaving early, by an error of ours: don't wait for hours of training
            if child.stdin is not None:
                child.stdin.close()


@dataclass(slots=True)
class _Stop:
    """Whether somebody has asked for the end."""

    asked: bool = False


@contextmanager
def _signals_forwarded(child: "subprocess.Popen[bytes]", inbox: Inbox) -> Iterator[_Stop]:
    stop = _Stop()

    def forward(number: int, frame: FrameType | None) -> None:
        del frame
        if stop.asked:
            inbox.put(Note(KILLED))
            _kill(child.pid)
            return
        stop.asked = True
        inbox.put(Note(STOPPING))
        child.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _kill(pid: int) -> None:
    """End a process and all below it: the launcher's ranks are in sessions of their own."""
    try:
        parent = psutil.Process(pid)
        family = [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
