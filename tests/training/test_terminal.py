"""`finetune run` at a terminal: it asks, shows a live bar, and Ctrl-C stops it with a checkpoint."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from finetune_operator.cli.errors import SELECTION_NEEDED
from finetune_trainer.exit_codes import ExitCode
from tests.support.cli import DEADLINE_SECONDS, PROGRAM, environment, write_job
from tests.support.training_jobs import write_data

CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""Colours and movements of the cursor."""

CTRL_C: Final = "\x03"
"""What the key sends; the terminal makes a signal of it for whoever it is controlling."""

TAKE_TERMINAL: Final = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
"""Makes standard input the controlling terminal of its session, and becomes the command."""

PROMPT: Final = "Which option (lora-cpu, dora-cpu, full-cpu, none):"


class Terminal:
    """A command under a pseudo-terminal, and the person in front of it."""

    def __init__(self, process: "subprocess.Popen[bytes]", keyboard: int) -> None:
        self._process = process
        self._keyboard = keyboard
        self._unread = ""
        self.screen = ""
        """Everything that was shown, without colours."""

    def see(self, text: str) -> None:
        """Wait for a text that wasn't there at the last look."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while text not in self._unread:
            assert self._read(deadline), f"ended without {text!r}:\n{self.screen}"
        self._unread = self._unread.partition(text)[2]

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._keyboard, keys.encode())

    def end(self) -> int:
        """Read on to the end; the exit code."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self._read(deadline):
            pass
        return self._process.wait(timeout=DEADLINE_SECONDS)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._keyboard], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"waited too long:\n{self.screen}"
        try:
            found = os.read(self._keyboard, 65_536)
        except OSError:
            # how Linux says that nobody has the other end open any more
            return False
        text = CONTROL.sub("", found.decode(errors="replace"))
        self._unread += text
        self.screen += text
        return bool(found)


@contextmanager
def terminal(*arguments: str, cwd: Path, columns: int = 110) -> Iterator[Terminal]:
    """Start `finetune` at a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    known = {name: value for name, value in environment(cwd / ".cache").items() if name != "COLUMNS"}
    process = subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, PROGRAM, *arguments],
        cwd=cwd,
        env=known | {"TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_it_asks_until_the_answer_is_one_of_those_listed_and_none_starts_nothing(tiny: Path, tmp_path: Path) -> None:
    write_data(tmp_path)
    write_job(tmp_path, tiny)
    with terminal("run", "job.yaml", cwd=tmp_path) as person:
        person.see(PROMPT)
        person.type("lora\n")
        person.see("'lora' is not one of")
        person.see(PROMPT)
        # there is no default
        person.type("\n")
        person.see(PROMPT)
        person.type("none\n")
        assert person.end() == SELECTION_NEEDED, person.screen
    assert "error: no option was chosen; nothing has been started" in person.screen
    assert not (tmp_path / "out").exists()


def test_ctrl_c_in_training_leaves_a_checkpoint(tiny: Path, tmp_path: Path) -> None:
    write_data(tmp_path)
    # more steps than a fast machine makes between two looks at the bar
    write_job(tmp_path, tiny, training={"epochs": "1000", "batchSize": 8})
    with terminal("run", "job.yaml", cwd=tmp_path) as person:
        person.see(PROMPT)
        person.type("lora-cpu\n")
        person.see("step ")
        person.see("/8000 · ")
        person.type(CTRL_C)
        person.see("stopping after this step; a checkpoint will be left")
        assert person.end() == ExitCode.INTERRUPTED, person.screen
    assert "stopped on request; run the same command again to go on" in person.screen
    assert "error" not in person.screen
    assert list((tmp_path / "out" / "checkpoints").glob("checkpoint-*/complete.json"))


def test_nothing_is_broken_in_the_middle_at_80_columns(tiny: Path, tmp_path: Path) -> None:
    write_data(tmp_path)
    write_job(tmp_path, tiny)
    with terminal("plan", "job.yaml", cwd=tmp_path, columns=80) as person:
        assert person.end() == ExitCode.OK, person.screen
    lines = person.screen.splitlines()
    assert max(len(line) for line in lines) <= 80
    rows = [line for line in lines if line.startswith(("★ lora-cpu  ", "  full-cpu  "))]
    assert len(rows) == 2
    assert all(line.rstrip().endswith("%)") for line in rows)
