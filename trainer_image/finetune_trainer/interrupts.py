"""Stopping on request: a flag that signals set and long loops look at. No torch here."""

import ctypes
import os
import signal
import sys
from types import FrameType
from typing import Final

from finetune_trainer.exit_codes import ExitCode, TrainerError

LAUNCHER: Final = "FINETUNE_LAUNCHER"
"""Environment of the ranks: the launcher's process id."""

_PR_SET_PDEATHSIG: Final = 1
"""prctl(2): the signal that a process gets when its parent ends."""


class StopFlag:
    """Set by SIGTERM and SIGINT, for the rest of the process's life."""

    def __init__(self) -> None:
        self.requested = False
        self.has_checkpoint = False
        """Training of this session has left a complete one."""

    def install(self) -> None:
        """Take over SIGTERM and SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._request)

    def _request(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.requested = True

    def check(self) -> None:
        """End here if asked to: for places where nothing would be lost.

        Raises:
            TrainerError: INTERRUPTED.
        """
        if self.requested:
            where = (
                "stopped on request; run the same command again to go on from the checkpoint"
                if self.has_checkpoint
                else "stopped on request before training: no checkpoint was needed; run the same command again"
            )
            raise TrainerError(ExitCode.INTERRUPTED, where)


def stop_with_launcher(stop: StopFlag) -> None:
    """Have us asked to stop when the launcher ends, even by SIGKILL: nobody would read the result or end us any more.

    Notes:
        Only Linux tells a process of its parent's end; elsewhere only a launcher already gone is noticed.
    """
    _ask_for_signal()
    launcher = os.environ.get(LAUNCHER)
    # it may have ended before the system knew what to do then; in a container its own id may well be 1
    if launcher is not None and os.getppid() != int(launcher):
        stop.requested = True


def _ask_for_signal() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
