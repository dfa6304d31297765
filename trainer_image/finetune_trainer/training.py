"""TRL's SFT trainer on DeepSpeed, configured completely by job.json."""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from datasets import Dataset
from peft import PeftModel
from torch.utils.data import DataLoader, Sampler
from transformers import (
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.integrations.deepspeed import deepspeed_load_checkpoint
from trl import SFTConfig, SFTTrainer

from finetune_trainer import checkpoints
from finetune_trainer.answer_head import IGNORED
from finetune_trainer.answer_loss import SupervisedLoss
from finetune_trainer.checkpoints import Layout
from finetune_trainer.data.examples import Example
from finetune_trainer.division import Division, empty, innermost, is_divided
from finetune_trainer.eight_bits import keep_embeddings_wide
from finetune_trainer.events import CheckpointEvent, ResumeEvent, StepEvent, WarningEvent
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.held_out import HeldOut
from finetune_trainer.interrupts import StopFlag
from finetune_trainer.job_config import JobConfig, Optimizer, Precision
from finetune_trainer.memory import MemoryMeter
from finetune_trainer.memory_watch import MemoryWatch
from finetune_trainer.objectives.preference import PreferenceLoss
from finetune_trainer.objectives.prepare import preference_rows
from finetune_trainer.objectives.reward import RewardLoss, prepare_checkpointing
from finetune_trainer.objectives.rows import collate
from finetune_trainer.packed import PackedLoss, keeps_apart
from finetune_trainer.progress import Emit
from finetune_trainer.quantization import DTYPES, adapter_to
from finetune_trainer.ranks import Ranks
from finetune_trainer.redivision import take_up
from finetune_trainer.sampling import StepSampler, seed_of
from finetune_trainer.watchdog import Watchdog

OPTIMIZERS: Final[dict[Optimizer, str]] = {
    # one kernel for all tensors: torch's default makes a full-size temporary at each step
    "AdamW": "adamw_torch_fused",
    "AdamW8bit": "adamw_8bit",
}
"""Ours by transformers' names."""


class Watch(TrainerCallback):
    """Reports steps and checkpoints, keeps checkpoints whole, stops on request and on divergence."""

    def __init__(self, job: JobConfig, layout: Layout, held_out: HeldOut, meter: MemoryMeter, stop: StopFlag) -> None:
        self._job = job
        self.layout = layout
        self._history = held_out.history
        self.meter = meter
        self.stop = stop
        self.ranks = held_out.ranks
        self.emit = held_out.emit
        self.held_out = held_out
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
        self.stop.requested = self.ranks.any(self.stop.requested)
        if self.stop.requested:
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
            reward_accuracy=logs.get("rewards/accuracies"),
            reward_margin=logs.get("rewards/margins"),
        )
        self._tokens, self._clock = logs["num_tokens"], now
        self._tell(event)

    def resumed(self, event: ResumeEvent) -> None:
        """Keep and tell that training goes on from a checkpoint."""
        self._tell(event)

    def _tell(self, event: StepEvent | ResumeEvent) -> None:
        if self.ranks.first:
            self._history.add(event)
            if isinstance(event, StepEvent):
                self.held_out.board.add(event)
        self.emit(event)

    def passed_over(self, seconds: float) -> None:
        """Not count these seconds as a step's."""
        self._clock += seconds

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
        self.stop.has_checkpoint = True
        self.emit(CheckpointEvent(step=state.global_step, path=str(folder)))

    def _complete(self, folder: Path) -> None:
        checkpoints.mark_complete(folder, self.layout)
        standing = self.held_out.standing
        best = standing.best if standing is not None else None
        checkpoints.prune(folder.parent, self._job.training.checkpoints_kept, best)


_PLAIN: Any = Trainer


class _GoesOn:
    """Mixed in before a trainer: it goes on from checkpoints of any number of ranks and any ZeRO stage."""

    args: Any
    state: Any
    optimizer: Any
    lr_scheduler: Any
    layout: Layout
    """Of the checkpoints that it saves."""

    def _prepare_for_training(self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: Any) -> Any:
        anew = self._divided_otherwise(resume_from_checkpoint)
        found = None if anew else resume_from_checkpoint
        prepared = super()._prepare_for_training(max_steps, train_dataloader, found)  # type: ignore[misc]  # of what it is mixed into
        if not anew:
            return prepared
        trainer = cast("Any", self)
        take_up(trainer, Path(resume_from_checkpoint))
        trainer._load_optimizer_and_scheduler(resume_from_checkpoint)  # noqa: SLF001  transformers' own
        # where DeepSpeed loads a checkpoint, the optimizer's own state says it
        for group, rate in zip(self.optimizer.param_groups, self.lr_scheduler.get_last_lr(), strict=True):
            group["lr"] = rate
        return prepared

    def create_optimizer(self, model: Any = None) -> Any:
        """Transformers', the moments of embeddings in 32 bits whatever DeepSpeed steps on."""
        made: Any = super().create_optimizer(model)  # type: ignore[misc]  # likewise
        if self.args.optim == OPTIMIZERS["AdamW8bit"]:
            keep_embeddings_wide(made.param_groups, cast("Any", self).model)
        return made

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if not self._divided_otherwise(checkpoint):
            super()._load_rng_state(checkpoint)  # type: ignore[misc]  # likewise
            return
        # another number of ranks has no state to go on with: the same one at each resumption, and another on each rank
        set_seed(seed_of(self.args.seed, self.state.global_step, self.args.process_index))

    def _divided_otherwise(self, checkpoint: str | None) -> bool:
        return checkpoint is not None and checkpoints.layout_of(Path(checkpoint)) != self.layout


class _InOrder:
    """Mixed in before a trainer: rows in an order of ours, the same in a step on any number of ranks."""

    args: Any
    train_dataset: Any

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        del train_dataset
        lengths = self.row_lengths()
        together = self.args.per_device_train_batch_size * self.args.world_size
        per_step = together * self.args.gradient_accumulation_steps
        if self.args.world_size == 1:
            return StepSampler(lengths, 1, per_step, self.args.data_seed)
        # the last one fills up
        return StepSampler(lengths[:-1], together, per_step, self.args.data_seed)

    def row_lengths(self) -> list[int]:
        """Tokens of each row: what rows of a step are ordered by."""
        return [len(ids) for ids in self.train_dataset["input_ids"]]

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The trainer's, with an order for each epoch."""
        loader: Any = super().get_train_dataloader()  # type: ignore[misc]  # of what it is mixed into
        if self.args.world_size > 1:
            # a resumed training tells the epoch to what it finds here, and to nothing below it
            loader.set_sampler(loader.batch_sampler.batch_sampler.sampler)
        return cast("DataLoader[Any]", loader)


class _Trainer(_GoesOn, _InOrder, SupervisedLoss, SFTTrainer):  # type: ignore[misc]  # TRL has no types
    """TRL's."""


class _PackedTrainer(_GoesOn, PackedLoss, SupervisedLoss, SFTTrainer):  # type: ignore[misc]  # TRL has no types
    """TRL's, with several rows in a line."""


class _PreferenceTrainer(_GoesOn, PreferenceLoss, _InOrder, SFTTrainer):  # type: ignore[misc]  # TRL has no types
    """The same with the loss of DPO, ORPO or KTO."""


class _RewardTrainer(_GoesOn, RewardLoss, _InOrder, _PLAIN):  # type: ignore[misc]  # as TRL's
    """transformers', with the loss of a reward model."""


def _refuse_divergence(step: int, logs: dict[str, float], learning_rate: float) -> None:
    for key, name in (("loss", "loss"), ("grad_norm", "gradient norm")):
        if key in logs and not math.isfinite(float(logs[key])):
            raise TrainerError(
                ExitCode.DIVERGED,
                f"the {name} is {logs[key]} at step {step}; lower training.learningRate (it is {learning_rate:g}), "
                "and write another output.path",
            )


def train(  # noqa: PLR0913  all that training takes
    job: JobConfig,
    deepspeed: dict[str, Any],
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    watch: Watch,
    *,
    packed: bool,
    division: Division | None = None,
) -> SFTTrainer:
    """Train to the end, or to where we are asked to stop; from the newest complete checkpoint where there is one.

    Notes:
        A divided model is left to the training's engine once it has been asked for the last time.
    """
    resume = watch.ranks.ask_first(lambda: _checkpoint(job, watch))
    over = False
    if resume is not None:
        watch.held_out.begin_from(checkpoints.step_of(resume))
        standing = watch.held_out.standing
        # this training has ended here already: only its result is missing
        over = standing is not None and standing.enough
    args = arguments(job, deepspeed, len(examples), over=over)
    trainer = _trainer(job, args, model, tokenizer, examples, watch, packed=packed)
    trainer.layout = watch.layout
    watch.held_out.follow(trainer, watch)
    if job.quantization is not None:
        adapter_to(trainer.model, DTYPES[job.training.precision])
    if division is not None:
        division.leave(DTYPES[job.training.precision])
    if watch.ranks.first:
        # one device stands for all
        MemoryWatch(job, deepspeed, watch.meter, watch.emit).follow(trainer)
    # steps are told as events
    trainer.remove_callback(PrinterCallback)
    if resume is not None:
        watch.resumed(ResumeEvent(step=checkpoints.step_of(resume), path=str(resume)))
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    take_best(trainer, watch, checkpoint_root(job))
    return trainer


def packs(job: JobConfig, model: Any, examples: Sequence[Example], ranks: Ranks, emit: Emit) -> bool:
    """Whether rows are packed: as asked, where the model keeps rows of a line apart.

    Raises:
        TrainerError: MODEL, it doesn't, and nothing else will do.
    """
    asked = job.training.packing
    if asked == "Never" or job.objective != "SFT" or len(examples) == 1:
        return False
    inner = innermost(model)
    inner.eval()
    if not ranks.any(not keeps_apart(inner, examples[0].input_ids, examples[1].input_ids)):
        return True
    leak = f"in models of the family {inner.config.model_type} rows of one line would see one another"
    if asked == "BestFit":
        raise TrainerError(ExitCode.MODEL, f"training.packing: {leak}; write Auto or Never, and another output.path")
    emit(WarningEvent(message=f"rows aren't packed: {leak}; they go by length"))
    return False


def _trainer(  # noqa: PLR0913  all that a trainer is made of
    job: JobConfig,
    args: SFTConfig,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    watch: Watch,
    *,
    packed: bool,
) -> SFTTrainer:
    """The trainer of the job's objective, with its rows."""
    common = {
        "model": model,
        "args": args,
        "processing_class": tokenizer,
        # what is measured at a step is known to whoever keeps or ends there
        "callbacks": [Watchdog(), watch.held_out, watch],
    }
    if job.objective == "SFT":
        learnt = _PackedTrainer if packed else _Trainer
        supervised = learnt(**common, train_dataset=_dataset(examples, 1 if packed else watch.ranks.size))
        supervised.leave_out_prompts()
        return supervised
    rows = preference_rows(job, innermost(model), examples, watch.stop, watch.ranks, watch.emit)
    trainer: _PreferenceTrainer | _RewardTrainer
    if job.objective == "Reward":
        prepare_checkpointing(model, args)
        pad = model.config.get_text_config().pad_token_id
        trainer = _RewardTrainer(**common, train_dataset=rows, data_collator=partial(collate, pad=pad))
    else:
        trainer = _PreferenceTrainer(**common, train_dataset=rows, data_collator=collate)
    trainer.begin(job.objective, job.preference)
    return trainer


def take_best(trainer: Trainer, watch: Watch, root: Path) -> None:
    """Go back to the weights with the lowest held-out loss, where training may end by it."""
    standing = watch.held_out.standing
    if standing is None or standing.best is None or standing.best == trainer.state.global_step or watch.stop.requested:
        return
    folder = checkpoints.at(root, standing.best)
    fault = watch.ranks.ask_first(lambda: checkpoints.fault_of(folder))
    if fault is not None:
        raise TrainerError(
            ExitCode.INTERNAL,
            f"{folder}, with the lowest held-out loss, {fault}; write another output.path to train anew",
        )
    if checkpoints.layout_of(folder) != watch.layout:
        take_up(trainer, folder)
        return
    adapter = isinstance(trainer.model, PeftModel)
    load: Callable[..., None] = deepspeed_load_checkpoint
    load(trainer.model_wrapped, str(folder), load_module_strict=not adapter)


def _checkpoint(job: JobConfig, watch: Watch) -> Path | None:
    root = checkpoint_root(job)
    found = checkpoints.newest_complete(root, watch.emit)
    if found is not None:
        checkpoints.hold_layout(found, watch.layout)
        if checkpoints.layout_of(found) != watch.layout:
            dropout = job.adapter is not None and job.adapter.dropout > 0
            watch.emit(WarningEvent(message=checkpoints.tell_division(found, watch.layout, dropout=dropout)))
    if root.exists():
        checkpoints.prune(root, job.training.checkpoints_kept, watch.held_out.best_until(found))
    return found


def let_go(trainer: Trainer) -> None:
    """Take the engine apart: its hooks on the gradients keep the model alive where no collector of garbage sees it."""
    model: Any = trainer.model
    engine: Any = trainer.model_wrapped
    trainer.accelerator.free_memory()
    if is_divided(model):
        empty(model)
        # modules that DeepSpeed remembers have hooks of the engine
        engine.optimizer = engine.basic_optimizer = None


def layout_of(job: JobConfig, deepspeed: dict[str, Any]) -> Layout:
    """How this run's checkpoints are divided."""
    t, world = job.training, job.world.size
    return Layout(
        world=world,
        stage=deepspeed["zero_optimization"]["stage"],
        rows=t.micro_batch_size * t.gradient_accumulation * world,
        precision=t.precision,
        optimizer=t.optimizer,
    )


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


def arguments(job: JobConfig, deepspeed: dict[str, Any], rows: int, *, over: bool = False) -> SFTConfig:
    """The one translation of our contract into TRL's; whatever has a default that matters is written here.

    Args:
        job: the contract.
        deepspeed: DeepSpeed's configuration.
        rows: to be learnt from.
        over: no step is left to be taken.
    """
    t = job.training
    per_step = t.micro_batch_size * t.gradient_accumulation * job.world.size
    steps = max(1, math.ceil(math.ceil(rows / per_step) * t.epochs))
    return SFTConfig(
        output_dir=str(checkpoint_root(job)),
        num_train_epochs=0 if over else t.epochs,
        per_device_train_batch_size=t.micro_batch_size,
        gradient_accumulation_steps=t.gradient_accumulation,
        learning_rate=t.learning_rate,
        lr_scheduler_type=t.schedule,
        lr_scheduler_kwargs={} if t.schedule_cycles is None else {"num_cycles": t.schedule_cycles},
        warmup_steps=math.ceil(steps * t.warmup_share),
        weight_decay=t.weight_decay,
        max_grad_norm=t.max_grad_norm,
        optim=OPTIMIZERS[t.optimizer],
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
