"""The trainer's own entry point in a forked process that has torch imported already: seconds less a run."""

import multiprocessing
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from finetune_trainer.events import Event, parse_event
from finetune_trainer.exit_codes import ExitCode, TrainerError

ENVIRONMENT: Final = {
    "RANK": "0",
    "WORLD_SIZE": "1",
    "LOCAL_RANK": "0",
    "MASTER_ADDR": "127.0.0.1",
    "OMP_NUM_THREADS": "1",
}
"""What torch's launcher gives to the only rank."""

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
    log = job_file.parent / "rank.log"
    pid = os.fork()
    if pid == 0:
        _child(job_file, port, log)
    _, status = os.waitpid(pid, 0)
    text = log.read_text(encoding="utf-8", errors="replace")
    events = tuple(e for line in text.splitlines() if (e := parse_event(line)) is not None)
    return Outcome(code=os.waitstatus_to_exitcode(status), events=events, output=text)


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


def _child(job_file: Path, port: int, log: Path) -> None:
    code = 70
    try:
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
        # as in a process of its own: the libraries' warnings of each other are not ours to fail on
        warnings.resetwarnings()
        os.environ.update(ENVIRONMENT | {"MASTER_PORT": str(port)})
        sys.argv = ["finetune_trainer", str(job_file)]
        from finetune_trainer.__main__ import main

        code = main()
    except BaseException:  # noqa: BLE001  a forked child must never come back into pytest
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
