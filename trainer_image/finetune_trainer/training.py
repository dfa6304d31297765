"""TRL's SFT trainer on DeepSpeed, configured completely by job.json."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from datasets import Dataset
from torch.utils.data import DataLoader, Sampler
from transformers import (
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from trl import SFTConfig, SFTTrainer

from finetune_trainer import checkpoints
from finetune_trainer.data.examples import Example
from finetune_trainer.events import CheckpointEvent, ResumeEvent, StepEvent
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.history import History
from finetune_trainer.interrupts import StopFlag
from finetune_trainer.job_config import JobConfig, Precision
from finetune_trainer.memory import MemoryMeter
from finetune_trainer.memory_watch import MemoryWatch
from finetune_trainer.progress import Emit
from finetune_trainer.quantization import DTYPES, adapter_to
from finetune_trainer.ranks import Ranks
from finetune_trainer.sampling import EvenSampler

IGNORED = -100
"""Label of tokens that the loss isn't on."""


class Watch(TrainerCallback):
    """Reports steps and checkpoints, keeps checkpoints whole, stops on request and on divergence."""

    def __init__(
        self, job: JobConfig, history: History, meter: MemoryMeter, stop: StopFlag, ranks: Ranks, emit: Emit
    ) -> None:
        self._job = job
        self._history = history
        self.meter = meter
        self._stop = stop
        self.ranks = ranks
        self.emit = emit
        self._clock = time.monotonic()
        self._first_step = 0
        self._began = self._clock
        self._tokens = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock at the step that this session begins with."""
        del args, control, kwargs
        self._first_step = state.global_step
        self._began = self._clock = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Between two steps state is consistent: the one place to stop with a checkpoint."""
        del args, state, kwargs
        # a signal may have reached one rank before this step's end and another after it
        self._stop.requested = self.ranks.any(self._stop.requested)
        if self._stop.requested:
            control.should_save = True
            control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Tell the step."""
        del args, control, kwargs
        if logs is None or "loss" not in logs:
            return
        _refuse_divergence(state.global_step, logs, self._job.training.learning_rate)
        now = time.monotonic()
        event = StepEvent(
            step=state.global_step,
            steps=state.max_steps,
            epoch=float(state.epoch or 0.0),
            loss=float(logs["loss"]),
            learning_rate=float(logs["learning_rate"]),
            gradient_norm=float(logs["grad_norm"]) if "grad_norm" in logs else None,
            tokens_per_second=(logs["num_tokens"] - self._tokens) / (now - self._clock),
            remaining_seconds=self._seconds_left(state, now),
            memory_bytes=self.meter.highest(),
        )
        self._tokens, self._clock = logs["num_tokens"], now
        self._tell(event)

    def resumed(self, event: ResumeEvent) -> None:
        """Keep and tell that training goes on from a checkpoint."""
        self._tell(event)

    def _tell(self, event: StepEvent | ResumeEvent) -> None:
        if self.ranks.first:
            self._history.add(event)
        self.emit(event)

    @property
    def seconds(self) -> float:
        """Seconds of this session's training."""
        return time.monotonic() - self._began

    def _seconds_left(self, state: TrainerState, now: float) -> float:
        done = max(1, state.global_step - self._first_step)
        return (now - self._began) / done * (state.max_steps - state.global_step)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Everything of the checkpoint is on the disk: say so, then let go of old ones."""
        del control, kwargs
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        # every rank has written its part
        self.ranks.wait()
        self.ranks.ask_first(lambda: self._complete(folder))
        self._stop.has_checkpoint = True
        self.emit(CheckpointEvent(step=state.global_step, path=str(folder)))

    def _complete(self, folder: Path) -> None:
        checkpoints.mark_complete(folder, self.ranks.size)
        checkpoints.prune(folder.parent, self._job.training.checkpoints_kept)


class _Trainer(SFTTrainer):  # type: ignore[misc]  # TRL has no types
    """TRL's, with rows dealt out among ranks so that a step learns from those that one rank would take."""

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int] | None:
        if self.args.world_size == 1:
            found: Sampler[int] | None = super()._get_train_sampler(train_dataset)
            return found
        together = self.args.per_device_train_batch_size * self.args.world_size
        return EvenSampler(len(self.train_dataset) - 1, together, self.args.data_seed)

    def get_train_dataloader(self) -> DataLoader[Any]:
        loader: Any = super().get_train_dataloader()
        if self.args.world_size > 1:
            # a resumed training tells the epoch to what it finds here, and to nothing below it
            loader.set_sampler(loader.batch_sampler.batch_sampler.sampler)
        return cast("DataLoader[Any]", loader)


def _refuse_divergence(step: int, logs: dict[str, float], learning_rate: float) -> None:
    for key, name in (("loss", "loss"), ("grad_norm", "gradient norm")):
        if key in logs and not math.isfinite(float(logs[key])):
            raise TrainerError(
                ExitCode.DIVERGED,
                f"the {name} is {logs[key]} at step {step}; lower training.learningRate (it is {learning_rate:g}), "
                "and write another output.path",
            )


def train(
    job: JobConfig,
    deepspeed: dict[str, Any],
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    watch: Watch,
) -> SFTTrainer:
    """Train to the end, or to where we are asked to stop; from the newest complete checkpoint where there is one."""
    resume = watch.ranks.ask_first(lambda: _checkpoint(job, watch.emit))
    trainer = _Trainer(
        model=model,
        args=arguments(job, deepspeed, len(examples)),
        train_dataset=_dataset(examples, watch.ranks.size),
        processing_class=tokenizer,
        callbacks=[watch],
    )
    if job.quantization is not None:
        adapter_to(trainer.model, DTYPES[job.training.precision])
    if watch.ranks.first:
        # one device stands for all
        MemoryWatch(job, deepspeed, watch.meter, watch.emit).follow(trainer)
    # steps are told as events
    trainer.remove_callback(PrinterCallback)
    if resume is not None:
        watch.resumed(ResumeEvent(step=checkpoints.step_of(resume), path=str(resume)))
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    return trainer


def _checkpoint(job: JobConfig, emit: Emit) -> Path | None:
    root = checkpoint_root(job)
    found = checkpoints.newest_complete(root, emit)
    if found is not None:
        checkpoints.hold_world(found, job.world.size)
    if root.exists():
        checkpoints.prune(root, job.training.checkpoints_kept)
    return found


def let_go(trainer: SFTTrainer) -> None:
    """Take the engine apart: its hooks on the gradients keep the model alive where no collector of garbage sees it."""
    trainer.accelerator.free_memory()


def checkpoint_root(job: JobConfig) -> Path:
    """Where checkpoints are."""
    return Path(job.output) / "checkpoints"


def _dataset(examples: Sequence[Example], world: int) -> Dataset:
    inputs = [list(e.input_ids) for e in examples]
    labels = [
        [t if answer else IGNORED for t, answer in zip(e.input_ids, e.answer_mask, strict=True)] for e in examples
    ]
    if world > 1:
        # the row that the sampler fills up with
        inputs.append([0, 0])
        labels.append([IGNORED, IGNORED])
    return Dataset.from_dict({"input_ids": inputs, "labels": labels})


def arguments(job: JobConfig, deepspeed: dict[str, Any], rows: int) -> SFTConfig:
    """The one translation of our contract into TRL's; whatever has a default that matters is written here."""
    t = job.training
    per_step = t.micro_batch_size * t.gradient_accumulation * job.world.size
    steps = max(1, math.ceil(math.ceil(rows / per_step) * t.epochs))
    return SFTConfig(
        output_dir=str(checkpoint_root(job)),
        num_train_epochs=t.epochs,
        per_device_train_batch_size=t.micro_batch_size,
        gradient_accumulation_steps=t.gradient_accumulation,
        learning_rate=t.learning_rate,
        lr_scheduler_type=t.schedule,
        warmup_steps=math.ceil(steps * t.warmup_share),
        weight_decay=t.weight_decay,
        max_grad_norm=t.max_grad_norm,
        # one kernel for all tensors: torch's default makes a full-size temporary at each step
        optim="adamw_torch_fused",
        seed=t.seed,
        data_seed=t.seed,
        # a token's weight doesn't depend on the rank that its row is on
        average_tokens_across_devices=True,
        bf16=t.precision is Precision.BF16,
        fp16=t.precision is Precision.FP16,
        use_cpu=job.world.accelerator == "CPU",
        activation_checkpointing=t.gradient_checkpointing,
        deepspeed=deepspeed,
        # rows are already tokenised, cut and labelled: by the same code that inspected them
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=job.data.max_length,
        packing=False,
        logging_strategy="steps",
        # every point of a curve that a person could tell apart, and no more
        logging_steps=max(1, steps // 500),
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=t.checkpoint_every_steps,
        save_total_limit=None,  # ours keeps and removes: transformers doesn't know which are whole
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=job.world.accelerator == "GPU",
    )
