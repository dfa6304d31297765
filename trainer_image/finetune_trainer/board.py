"""The run's curves as TensorBoard reads them: one file a session, beside the result. No torch here."""

import time
from pathlib import Path
from typing import Any, Final

from finetune_trainer.events import HeldOutEvent, StepEvent

BOARD_FOLDER: Final = "tensorboard"
"""In the output folder."""


class Board:
    """Writes what is told of steps and evaluations; for the first rank alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def begin(self, step: int) -> None:
        """A session goes on after that step: what an earlier one wrote of later ones is to be passed over."""
        # deferred: whoever plans, inspects or evaluates writes no curves
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        self._folder.mkdir(parents=True, exist_ok=True)
        # no SummaryWriter: a queue is between it and the file, and a flush doesn't wait for what is there
        self._writer = EventsWriter(str(self._folder / "events"), f".{step}")
        self._write(step + 1, session_log=SessionLog(status=SessionLog.START))

    def add(self, event: StepEvent | HeldOutEvent) -> None:
        """Write a step's figures, or an evaluation's, to the disk."""
        if self._writer is None:
            raise RuntimeError("no session has begun")
        from tensorboardX.summary import scalar

        for name, value in figures(event).items():
            self._write(event.step, summary=scalar(name, value))

    def _write(self, step: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._writer.write_event(Event(wall_time=time.time(), step=step, **content))
        # a kill costs no point: there are 500 steps of a run at most, and one evaluation takes longer than this
        self._writer.flush()

    def close(self) -> None:
        """The session has no more to tell."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def figures(event: StepEvent | HeldOutEvent) -> dict[str, float]:
    """Values by the names that they have on the board."""
    if isinstance(event, HeldOutEvent):
        return {"held_out/loss": event.loss}
    some = {
        "train/gradient_norm": event.gradient_norm,
        "train/reward_accuracy": event.reward_accuracy,
        "train/reward_margin": event.reward_margin,
    }
    return {
        "train/loss": event.loss,
        "train/learning_rate": event.learning_rate,
        **{name: value for name, value in some.items() if value is not None},
        "train/tokens_per_second": event.tokens_per_second,
        "train/memory_bytes": float(event.memory_bytes),
    }
