"""Ends a rank whose optimizer step doesn't end: a hang would hold its devices for as long as nobody looks."""

import faulthandler
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from statistics import median
from typing import Any, Final

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.progress import emit_failure

TIMES: Final = 20
"""A step that takes so many times the median of those before is taken for one that hangs."""

FLOOR_SECONDS: Final = 600.0
"""And it has to take at least this long: short steps may be delayed by others on the machine."""

LEAST_STEPS: Final = 3
"""Steps of this session that a median needs; the first ones compile kernels."""

TICK_SECONDS: Final = 1.0
"""Between two looks."""


class Watchdog(TrainerCallback):
    """Counts while a step is under way, and not while held-out rows are looked at or a checkpoint is written."""

    def __init__(self, end: Callable[[str], None] | None = None) -> None:
        self._end = end or end_process
        self._durations: deque[float] = deque(maxlen=100)
        self._under_way: int | None = None
        """The step; None between two."""
        self._closed = threading.Event()
        self._began = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin to look."""
        del args, state, control, kwargs
        threading.Thread(target=self._look, daemon=True).start()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A step is under way."""
        del args, control, kwargs
        self._began, self._under_way = time.monotonic(), state.global_step + 1

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """It has come to its end."""
        del args, state, control, kwargs
        self._under_way = None
        self._durations.append(time.monotonic() - self._began)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Nothing is left to look at."""
        del args, state, control, kwargs
        self._under_way = None
        self._closed.set()

    def _look(self) -> None:
        last, step, waited = time.monotonic(), self._under_way, 0.0
        while not self._closed.wait(TICK_SECONDS):
            now = time.monotonic()
            # a process that was stopped and goes on has not been waiting meanwhile
            passed, last = min(now - last, 2 * TICK_SECONDS), now
            waited = waited + passed if step == self._under_way else 0.0
            step = self._under_way
            if step is None or len(self._durations) < LEAST_STEPS:
                continue
            usual = median(list(self._durations))
            if waited > max(FLOOR_SECONDS, TIMES * usual):
                self._end(
                    f"step {step} has not ended in {waited:.0f} s, where steps take {usual:.2g} s: it hangs; run the "
                    "same command again: it goes on from the last complete checkpoint"
                )
                return


def end_process(sentence: str) -> None:
    """End this process from beside whatever hangs in it; where, the log says."""
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    os._exit(emit_failure(ExitCode.HUNG, sentence))
