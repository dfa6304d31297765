"""The held-out rows' loss while the model is trained: every so many steps, and what follows from it."""

import time
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_trainer.board import BOARD_FOLDER, Board
from finetune_trainer.checkpoints import step_of
from finetune_trainer.data.batches import batches
from finetune_trainer.events import HeldOutEvent, PhaseEvent
from finetune_trainer.history import History
from finetune_trainer.interrupts import StopFlag
from finetune_trainer.job_config import JobConfig
from finetune_trainer.objectives.measure import Measure
from finetune_trainer.progress import Emit
from finetune_trainer.ranks import Ranks
from finetune_trainer.stopping import Standing, judge


class Clock(Protocol):
    """Measures the speed of steps, and knows of a request to stop."""

    stop: StopFlag

    def passed_over(self, seconds: float) -> None:
        """Not count these seconds as a step's."""


class HeldOut(TrainerCallback):
    """Tells the loss on held-out rows: the objective's own."""

    def __init__(self, job: JobConfig, measure: Measure, history: History, ranks: Ranks, emit: Emit) -> None:
        self._every = job.training.evaluate_every_steps
        self._rule = job.training.early_stopping
        self._what = measure
        self.history = history
        self.ranks = ranks
        self.emit = emit
        self.board = Board(Path(job.output) / BOARD_FOLDER)
        self._trainer: Any = None
        self._clock: Clock | None = None
        self._points: list[HeldOutEvent] = []

    def follow(self, trainer: Trainer, clock: Clock) -> None:
        """Evaluate this trainer's model, in time that isn't the clock's."""
        self._trainer, self._clock = trainer, clock

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """What earlier sessions measured counts up to where this one begins."""
        del kwargs
        self.begin_from(state.global_step)
        if self.ranks.first:
            self.board.begin(state.global_step)
        if state.global_step and self._is_due(state) and not any(p.step == state.global_step for p in self._points):
            # a session that was asked to stop had no time for it
            self._look(args, state, control)

    def begin_from(self, step: int) -> None:
        """Take what was measured up to that step for known."""
        self._points = self.ranks.ask_first(lambda: [p for p in self.history.held_out() if p.step <= step])

    def best_until(self, checkpoint: Path | None) -> int | None:
        """Step with the lowest loss of a training that goes on from there; for the first rank alone."""
        if self._rule is None or checkpoint is None:
            return None
        return judge([p for p in self.history.held_out() if p.step <= step_of(checkpoint)], self._rule).best

    @property
    def standing(self) -> Standing | None:
        """What follows from what is known; None where training doesn't end by it."""
        return judge(self._points, self._rule) if self._rule is not None else None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Between two steps nothing is half done."""
        del kwargs
        if self._is_due(state):
            self._look(args, state, control)

    def _is_due(self, state: TrainerState) -> bool:
        last = state.global_step >= state.max_steps
        return self._every is not None and (last or state.global_step % self._every == 0)

    def _look(self, args: TrainingArguments, state: TrainerState, control: TrainerControl) -> None:
        began = time.monotonic()
        measured = self._measure(args.device)
        if measured is None:
            return
        loss, tokens = measured
        event = HeldOutEvent(
            step=state.global_step,
            steps=state.max_steps,
            epoch=float(state.epoch or 0.0),
            loss=loss,
            rows=self._what.rows,
            tokens=tokens,
            seconds=time.monotonic() - began,
        )
        self._tell(event)
        if self._clock is not None:
            self._clock.passed_over(event.seconds)
        standing = self.standing
        if standing is None:
            return
        if standing.best == event.step:
            # without its weights the lowest loss would be of no use
            control.should_save = True
        if standing.enough and event.step < state.max_steps:
            control.should_training_stop = True
            self.emit(PhaseEvent(phase="training", message=_enough(standing)))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """No step comes any more."""
        del args, state, control, kwargs
        self.board.close()

    def _tell(self, event: HeldOutEvent) -> None:
        self._points.append(event)
        if self.ranks.first:
            self.history.add(event)
            self.board.add(event)
        self.emit(event)

    def _measure(self, device: torch.device) -> tuple[float, int] | None:
        """The loss, and the number of answers' tokens; None where we are asked to stop meanwhile."""
        engine = self._trainer.model_wrapped
        engine.eval()
        try:
            with torch.no_grad():
                return self._mean_loss(engine, device)
        finally:
            engine.train()

    def _mean_loss(self, engine: Any, device: torch.device) -> tuple[float, int] | None:
        every = list(batches(self._what.lengths))
        found: dict[int, Any] = {}
        for first in range(0, len(every), self.ranks.size):
            if self._clock is not None and self.ranks.any(self._clock.stop.requested):
                return None
            # under ZeRO-3 ranks put each layer together for one another: where batches run out, one goes through again
            mine = min(first + self.ranks.rank, len(every) - 1)
            found[mine] = self._what.part(engine, every[mine], device)
        parts = {n: part for said in self.ranks.gather(found) for n, part in said.items()}
        return self._what.whole([parts[n] for n in sorted(parts)])


def _enough(standing: Standing) -> str:
    return (
        f"stopped early: the held-out loss was lowest at step {standing.best}, and has not fallen enough in "
        f"{standing.waited} evaluations"
    )
