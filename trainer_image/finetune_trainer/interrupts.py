"""Stopping on request: a flag that signals set and long loops look at. No torch here."""

import signal
from types import FrameType

from finetune_trainer.exit_codes import ExitCode, TrainerError


class StopFlag:
    """Set by SIGTERM and SIGINT, for the rest of the process's life."""

    def __init__(self) -> None:
        self.requested = False

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
            raise TrainerError(ExitCode.INTERRUPTED, "stopped on request; run the same command again to go on")
