"""A program of the cluster as a process that can be ended and started again."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

GRACE_SECONDS: Final = 20.0
"""From SIGTERM to SIGKILL; an API server takes a few seconds to close its port."""

TOLD_LINES: Final = 5
"""How much of a log is repeated in an error."""


class Process:
    """One program with its log; nothing runs before `start`."""

    def __init__(self, name: str, command: Sequence[str | Path], log: Path, cwd: Path | None = None) -> None:
        self.name = name
        self.log = log
        self._command = [*_ends_with_us(), *(str(part) for part in command)]
        self._cwd = cwd or log.parent
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the running process, while it runs."""
        running = self._running
        return running.pid if running and running.poll() is None else None

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C ends it in our order and not at once."""
        with self.log.open("ab") as log:
            self._running = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._cwd,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise if it has ended.

        Raises:
            RuntimeError: with the end of its log.
        """
        if self.pid is None:
            said = "\n".join(self.log.read_text(errors="replace").splitlines()[-TOLD_LINES:])
            raise RuntimeError(f"{self.name} has ended:\n{said}")

    def stop(self, sent: int = signal.SIGTERM) -> None:
        """End it and wait until it is gone; with SIGKILL it has no last word."""
        if self._running is None:
            return
        self._running.send_signal(sent)
        try:
            self._running.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait()

    def pause(self) -> None:
        """Stop it where it is: connections stay open and nothing answers."""
        os.kill(self._need_pid(), signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self._need_pid(), signal.SIGCONT)

    def _need_pid(self) -> int:
        self.check()
        pid = self.pid
        assert pid is not None
        return pid


def _ends_with_us() -> list[str]:
    """A prefix by which a program dies when the thread that started it does, also by SIGKILL; Linux only."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        number: int = s.getsockname()[1]
    return number
