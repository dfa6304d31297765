"""The trainer as a child process: started, listened to, stopped with a checkpoint."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import IO, Final

import psutil

from finetune_operator.local.children import Notify, module_command
from finetune_trainer.events import Event, FailureEvent, parse_event
from finetune_trainer.exit_codes import ExitCode

LOG: Final = "trainer.log"
"""What the trainer and its libraries say beside events."""

STOP_ON_EOF: Final = "FINETUNE_STOP_ON_EOF"
"""Environment: tells the trainer to stop with a checkpoint when its standard input ends, since then we are gone."""

COMMAND: Final = "FINETUNE_COMMAND"
"""Environment: the user's own command, for the report."""

STOPPING: Final = "stopping after this step; a checkpoint will be left (Ctrl-C again ends at once, without one)"
"""Said at the first request to stop."""

KILLED: Final = "ended at once; the same command goes on from the last complete checkpoint"
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
    with launch.log.open("ab") as log, _started(launch, log) as child, _signals_forwarded(child, inbox):
        reader = threading.Thread(target=_read, args=(child, inbox), daemon=True)
        reader.start()
        failed = False
        while (item := inbox.get()) is not None:
            if isinstance(item, Note):
                notify(item.text)
                continue
            event = parse_event(item.decode(errors="replace"))
            if event is None:
                log.write(item)
                log.flush()
                continue
            failed = failed or isinstance(event, FailureEvent)
            on_event(event)
        code = child.wait()
    if code and not failed:
        on_event(_died(code, launch.log))
    return code if code in set(ExitCode) else int(ExitCode.INTERNAL)


def _read(child: "subprocess.Popen[bytes]", inbox: Inbox) -> None:
    for line in child.stdout or ():
        inbox.put(line)
    inbox.put(None)


def _died(code: int, log: Path) -> FailureEvent:
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code} and no word of why"
    return FailureEvent(
        code=code if code in set(ExitCode) else int(ExitCode.INTERNAL),
        message=f"the trainer {how}; its log is {log}; the same command goes on from the last complete checkpoint",
    )


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


@contextmanager
def _signals_forwarded(child: "subprocess.Popen[bytes]", inbox: Inbox) -> Iterator[None]:
    asked = False

    def forward(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        del frame
        if asked:
            inbox.put(Note(KILLED))
            _kill(child.pid)
            return
        asked = True
        inbox.put(Note(STOPPING))
        child.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
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
