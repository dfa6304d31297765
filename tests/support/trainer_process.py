"""The trainer's own entry point in a forked process that has torch imported already: seconds less a run."""

import multiprocessing
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from finetune_trainer.events import Event, FailureEvent, StepEvent, parse_event
from finetune_trainer.exit_codes import ExitCode, TrainerError

ENVIRONMENT: Final = {
    "MASTER_ADDR": "127.0.0.1",
    "OMP_NUM_THREADS": "1",
}
"""What torch's launcher gives to every rank."""

DEADLINE_SECONDS: Final = 300.0
"""Guards against hanging."""

GRACE_SECONDS: Final = 5.0
"""How long ranks may take to end by themselves once another one has been killed."""

E = TypeVar("E")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run of the trainer ended, and what it said."""

    code: int
    events: tuple[Event, ...]
    output: str
    """Everything it wrote, events and the libraries' own words."""

    def of(self, kind: type[E]) -> list[E]:
        """Events of one kind in order."""
        return [e for e in self.events if isinstance(e, kind)]


def import_stack() -> None:
    """Import once what every run needs; before this no tensor may have been touched, or the children's threads hang."""
    import deepspeed  # noqa: F401
    import torch  # noqa: F401

    import finetune_trainer.run  # noqa: F401


def run_rank(job_file: Path, port: int) -> Outcome:
    """One rank of that job, to its end."""
    pid, log = _start(job_file, port)
    _, status = os.waitpid(pid, 0)
    text, events = _said(log)
    return Outcome(code=os.waitstatus_to_exitcode(status), events=events, output=text)


def run_ranks(job_files: Sequence[Path], port: int) -> Outcome:
    """One rank for each of these files, to their ends: the events of the first, and the code of the first that failed.

    Notes:
        Nobody watches over them: where one fails, the others have to notice by themselves.
    """
    started = [_start(job_file, port, rank, len(job_files)) for rank, job_file in enumerate(job_files)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid, _ in started]
    said = [_said(log) for _, log in started]
    code = next((c for c in codes if c), 0)
    return Outcome(code=code, events=said[0][1], output="".join(text for text, _ in said))


def kill_rank(job_file: Path, port: int, after_step: int) -> int:
    """One rank of that job, killed once it has told a step; how it ended."""
    pid, log = _start(job_file, port)
    ended, status = os.waitpid(pid, os.WNOHANG)
    while not ended:
        if any(isinstance(e, StepEvent) and e.step >= after_step for e in _said(log)[1]):
            os.kill(pid, signal.SIGKILL)
            ended, status = os.waitpid(pid, 0)
        else:
            time.sleep(0.02)
            ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status)


class Ranks:
    """The ranks of a job under way, to be killed or asked to stop."""

    def __init__(self, job_file: Path, port: int, world: int) -> None:
        self._started = [_start(job_file, port, rank, world) for rank in range(world)]
        self._left = {pid for pid, _ in self._started}
        self.codes: list[int] = []
        """Of those that have ended, in that order; a signal's is negative."""

    def events(self) -> tuple[Event, ...]:
        """What the first rank has told so far."""
        return _said(self._started[0][1])[1]

    def failures(self) -> list[FailureEvent]:
        """What all ranks ended with."""
        return [e for _, log in self._started for e in _said(log)[1] if isinstance(e, FailureEvent)]

    def alive(self) -> bool:
        """Whether one of them still runs."""
        for pid in tuple(self._left):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._left.remove(pid)
                self.codes.append(os.waitstatus_to_exitcode(status))
        return bool(self._left)

    def wait_for(self, holds: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> bool:
        """Look until something holds, they have all ended, or time is up; whether it holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            if not self.alive() or time.monotonic() > deadline:
                return holds()
            time.sleep(0.001)
        return True

    def stop(self) -> bool:
        """Ask all of them to stop, as a launcher does; whether they did."""
        self._signal(self._left, signal.SIGTERM)
        return self.wait_for(lambda: not self._left)

    def kill(self, victim: int) -> bool:
        """Kill one, and then the others as a launcher does: asked first, and killed where they can't answer."""
        pid = self._started[victim][0]
        hit = self.alive() and pid in self._left
        self._signal({pid}, signal.SIGKILL)
        self._signal(self._left, signal.SIGTERM)
        if not self.wait_for(lambda: not self._left, GRACE_SECONDS):
            self._signal(self._left, signal.SIGKILL)
            self.wait_for(lambda: not self._left)
        return hit

    def _signal(self, whom: set[int], number: signal.Signals) -> None:
        for pid in whom & self._left:
            os.kill(pid, number)


def _start(job_file: Path, port: int, rank: int = 0, world: int = 1) -> tuple[int, Path]:
    log = job_file.parent / f"rank{rank}.log"
    log.write_bytes(b"")
    place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_PORT": str(port)}
    pid = os.fork()
    if pid == 0:
        _child(job_file, ENVIRONMENT | place, log)
    return pid, log


def _said(log: Path) -> tuple[str, tuple[Event, ...]]:
    text = log.read_text(encoding="utf-8", errors="replace")
    return text, tuple(e for line in text.splitlines() if (e := parse_event(line)) is not None)


def failure_in_fork(work: Callable[..., None], *arguments: Any) -> tuple[ExitCode, str] | None:
    """What refuses the work, done in a process of its own: this one must not touch a tensor."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return pool.submit(_failure_of, work, arguments).result()


def _failure_of(work: Callable[..., None], arguments: Sequence[Any]) -> tuple[ExitCode, str] | None:
    warnings.resetwarnings()
    try:
        work(*arguments)
    except TrainerError as e:
        return e.code, e.message
    return None


def _child(job_file: Path, environment: Mapping[str, str], log: Path) -> None:
    code = 70
    try:
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
        # as in a process of its own: the libraries' warnings of each other are not ours to fail on
        warnings.resetwarnings()
        os.environ.update(environment)
        sys.argv = ["finetune_trainer", str(job_file)]
        from finetune_trainer.__main__ import main

        code = main()
    except BaseException:  # noqa: BLE001  a forked child must never come back into pytest
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
