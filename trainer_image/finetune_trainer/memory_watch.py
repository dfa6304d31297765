"""Marks the phases of optimizer steps for the meter, weighs the tensors of the first ones, and tells what came out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_trainer.events import MEMORY_FILE, PHASES, TOGETHER, MemoryEvent, MemoryPhase
from finetune_trainer.files import write_atomically
from finetune_trainer.job_config import STATE_FOLDER, JobConfig
from finetune_trainer.live_tensors import weigh
from finetune_trainer.memory import STEP_PHASES, MemoryMeter
from finetune_trainer.progress import Emit

WEIGHED_STEPS: Final = 2
"""Steps of a session in which tensors are weighed: the optimizer's state comes with the first, and then all stay as
large as they are."""

TOLD_AGAIN: Final = 1.02
"""Growth of the peak below which nothing is told again."""

_EXACT: Final = ("weights", "optimizer")
"""As large in every phase."""

_MIXED: Final[dict[MemoryPhase, tuple[str, ...]]] = {
    "forward": ("activations", "logits", "gathered"),
    "backward": ("gradients", "activations", "logits", "buckets", "gathered"),
    "step": ("gradients", "buckets"),
}
"""What the rest of a phase's peak can be: it comes and goes within, and no counter tells it apart."""

_BEGUN: Final = ("gradients", "buckets")
"""What is there when the forward pass begins, and stays until it ends: accumulated gradients."""


class MemoryWatch(TrainerCallback):
    """Follows one training."""

    def __init__(self, job: JobConfig, deepspeed: dict[str, Any], meter: MemoryMeter, emit: Emit) -> None:
        self._job = job
        self._stage = int(deepspeed["zero_optimization"]["stage"])
        self._meter = meter
        self._emit = emit
        self._kept = read_memory(job)
        self._told = 0
        self._looked = 0
        self._steps = 0
        self._idle = 0
        self._tensors: dict[str, int] = {}
        self._begun: dict[str, int] = {}
        self._trainer: Any = None
        self._attached: _Attached | None = None

    def follow(self, trainer: Trainer) -> None:
        """Listen to this trainer's engine, which is there once training begins."""
        self._trainer = trainer
        trainer.add_callback(self)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """All before this was preparation."""
        del args, state, control, kwargs
        self._meter.end("preparing")
        self._idle = self._meter.now()
        self._attached = _Attached(self._trainer.model_wrapped, self._meter, self._weigh)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """The optimizer's state is there from the first step on."""
        del args, control, kwargs
        self._steps += 1
        # each look comes when the run is twice as long as at the last: a peak that creeps is told a handful of times
        if self._steps < max(WEIGHED_STEPS, 2 * self._looked):
            return
        self._looked = self._steps
        if self._meter.highest() > TOLD_AGAIN * self._told:
            self._tell(state.global_step)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Since the step's end only the checkpoint was written."""
        del args, state, control, kwargs
        self._meter.end("saving")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The last word."""
        del args, control, kwargs
        if self._attached is not None:
            # whoever holds the trainer would hold the model, too
            self._attached.detach()
            self._attached = self._trainer = None
        if self._meter.highest() > self._told or self._kept is None:
            self._tell(state.global_step)

    def _weigh(self, engine: Any, moment: str) -> None:
        if self._steps >= WEIGHED_STEPS:
            return
        found = weigh(engine, self._job.world.accelerator)
        if moment == "begun":
            self._begun = {n: max(found[n], self._begun.get(n, 0)) for n in _BEGUN}
        elif moment == "gradients":
            self._tensors |= found
        else:
            # the gradients are gone by now
            self._tensors |= {n: found[n] for n in ("weights", "optimizer", "gathered")}

    def _tell(self, step: int) -> None:
        phases = self._meter.phases()
        found = [p for p in STEP_PHASES if p in phases]
        peak: MemoryPhase = max(found, key=lambda p: phases[p]) if found else "preparing"
        planned = self._job.prediction.phase_bytes
        event = MemoryEvent(
            step=step,
            predicted=self._job.prediction.memory_bytes,
            measured=phases[peak],
            measured_by=self._meter.measured_by,
            peak=peak,
            phases=phases,
            predicted_phases={p: planned[p] for p in PHASES if p in planned},
            components=self._components(peak, phases[peak]) if found else {},
            tensors={n: b for n, b in self._tensors.items() if b},
            idle=self._idle,
            device=self._meter.device(),
        )
        self._told = event.measured
        if self._kept is None or (found and event.measured >= self._kept.measured):
            # an earlier session's peak stands where it was higher
            self._kept = event
            _keep(self._job, event, self._emit)

    def _components(self, peak: MemoryPhase, measured: int) -> dict[str, int]:
        exact = {n: self._tensors.get(n, 0) for n in _EXACT}
        if peak == "forward":
            exact |= self._begun
        if peak == "step":
            exact["gathered"] = self._tensors.get("gathered", 0)
        outside = self._meter.outside()
        context = {"context": outside} if outside else {}
        rest = measured - sum(exact.values()) - outside
        names = [*self._mixed(peak), *([] if context else ["context"])]
        # a CPU's process can have less resident than its tensors are large
        found = exact | {TOGETHER.join(names): max(0, rest)} | context
        return {n: b for n, b in found.items() if b}

    def _mixed(self, peak: MemoryPhase) -> list[str]:
        stages = {"buckets": 1, "gathered": 3}
        return [n for n in _MIXED[peak] if self._stage >= stages.get(n, 0)]


class _Attached:
    """Listens to an engine: where a pass begins, and where the optimizer steps."""

    def __init__(self, engine: Any, meter: MemoryMeter, weigh: Callable[[Any, str], None]) -> None:
        self._engine = engine
        self._meter = meter
        self._weigh = weigh
        self._phase: MemoryPhase | None = None
        self._hook = engine.register_forward_pre_hook(self._forward)
        # the engine is a module of torch's, whose methods an attribute of the object stands before
        self._backward, self._step = engine.backward, engine.step
        engine.backward, engine.step = self._on_backward, self._on_step

    def detach(self) -> None:
        self._hook.remove()
        del self._engine.backward, self._engine.step

    def _enter(self, phase: MemoryPhase | None) -> None:
        if self._phase is not None:
            self._meter.end(self._phase)
        self._meter.begin()
        self._phase = phase

    def _forward(self, *passed: Any) -> None:
        del passed
        if not self._engine.training:
            # held-out rows between two steps: no part of what a plan predicts
            return
        self._weigh(self._engine, "begun")
        self._enter("forward")

    def _on_backward(self, *args: Any, **kwargs: Any) -> Any:
        self._enter("backward")
        return self._backward(*args, **kwargs)

    def _on_step(self, *args: Any, **kwargs: Any) -> Any:
        self._weigh(self._engine, "gradients")
        self._enter("step")
        done = self._step(*args, **kwargs)
        self._enter(None)
        self._weigh(self._engine, "stepped")
        return done


def conclude(job: JobConfig, meter: MemoryMeter, emit: Emit) -> MemoryEvent:
    """The whole run's memory, told a last time, with the phases that came after training."""
    kept = read_memory(job)
    if kept is None:
        raise RuntimeError("no training has told its memory")
    phases = kept.phases | {p: max(b, kept.phases.get(p, 0)) for p, b in meter.phases().items()}
    event = kept.model_copy(update={"phases": phases})
    _keep(job, event, emit)
    return event


def read_memory(job: JobConfig) -> MemoryEvent | None:
    """The last word on memory; None before there is one."""
    path = _path(job)
    if not path.is_file():
        return None
    try:
        return MemoryEvent.model_validate_json(path.read_bytes())
    except ValidationError:
        # of another version: measured anew
        return None


def _keep(job: JobConfig, event: MemoryEvent, emit: Emit) -> None:
    write_atomically(_path(job), event.model_dump_json(indent=2) + "\n")
    emit(event)


def _path(job: JobConfig) -> Path:
    return Path(job.output) / STATE_FOLDER / MEMORY_FILE
