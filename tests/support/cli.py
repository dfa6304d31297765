"""`finetune` as its users start it: a process of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from finetune_trainer.events import StepEvent
from finetune_trainer.history import History
from tests.support.plans import make_manifest

PROGRAM: Final = str(Path(sys.executable).with_name("finetune"))
"""As installed beside this Python."""

DEADLINE_SECONDS: Final = 180.0
"""Guards against hanging; a run of the tiny model takes some 20 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str


def environment(cache: Path) -> dict[str, str]:
    """Ours, with a cache of the test's own and one thread: a tiny model has no work for two."""
    own = {"FINETUNE_CACHE": str(cache), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return {**os.environ, **own}


def finetune(*arguments: str, cwd: Path, before: Sequence[str] = ()) -> Said:
    """Run a command to its end; `before` is what it is started through."""
    done = subprocess.run(
        [*before, PROGRAM, *arguments],
        cwd=cwd,
        env=environment(cwd / ".cache"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    return Said(code=done.returncode, out=done.stdout, err=done.stderr)


def start(*arguments: str, cwd: Path) -> "subprocess.Popen[str]":
    """Start a command and leave it running."""
    with (cwd / "run.log").open("a", encoding="utf-8") as log:
        return subprocess.Popen(
            [PROGRAM, *arguments],
            cwd=cwd,
            env=environment(cwd / ".cache"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
        )


def write_job(folder: Path, base: Path, **spec: Any) -> None:
    """job.yaml for data in the folder and that base model."""
    whole: dict[str, Any] = {
        "model": {"source": {"path": str(base)}},
        "dataset": {
            "train": {"source": {"path": "train.jsonl"}},
            "evaluation": {"source": {"path": "check.jsonl"}},
            "maxLength": 256,
        },
        "training": {"epochs": "8", "batchSize": 8, "learningRate": "3e-3", "checkpoint": {"everySteps": 10}},
    }
    (folder / "job.yaml").write_text(json.dumps(make_manifest(**whole | spec), indent=2), encoding="utf-8")


def wait_until(holds: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Look until something holds; the process must not end before."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert process.poll() is None, f"ended with {process.returncode} too early"
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def steps_of(output: Path) -> Sequence[StepEvent]:
    """Steps that a run has made so far."""
    return History(output / ".finetune" / "history.jsonl").steps()


def family(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The command, its launcher and its ranks."""
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def kill(members: Sequence[psutil.Process]) -> None:
    """SIGKILL to all of them, the ranks first; one that has ended meanwhile is none to wait for."""
    for member in reversed(members):
        with suppress(psutil.NoSuchProcess):
            member.kill()
