"""job.json: the spec and the chosen plan in the trainer's own terms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.spec import (
    TRAINED,
    WEIGHED,
    Accelerator,
    Contract,
    DataFormat,
    FineTuneJobSpec,
    JsonContract,
    Method,
    OnBadRow,
    Preference,
    Schedule,
    Training,
    WeightedSource,
)
from finetune_operator.api.status import Checkpointing
from finetune_operator.planner.architecture import Architecture, adapted_modules
from finetune_operator.planner.plan import Plan, PrecisionUsed
from finetune_trainer.job_config import (
    AcceptanceConfig,
    AdapterConfig,
    ContractConfig,
    DataConfig,
    DataFileConfig,
    EarlyStoppingConfig,
    JobConfig,
    JsonContractConfig,
    ModelConfig,
    ParentConfig,
    Precision,
    PredictionConfig,
    PreferenceConfig,
    QuantizationConfig,
    RowFormat,
    ShownConfig,
    TrainFileConfig,
    TrainingConfig,
    WorldConfig,
)
from finetune_trainer.job_config import Objective as TrainedObjective

ScheduleName = Literal["constant_with_warmup", "linear", "cosine", "cosine_with_restarts"]

SCHEDULES: Final[dict[Schedule, ScheduleName]] = {
    # what transformers calls constant has no warm-up
    Schedule.CONSTANT: "constant_with_warmup",
    Schedule.LINEAR: "linear",
    Schedule.COSINE: "cosine",
    Schedule.COSINE_WITH_RESTARTS: "cosine_with_restarts",
}
"""Our schedules by transformers' names."""

CYCLES: Final = 4
"""Cosine waves where the job doesn't say how many."""

STORAGE: Final[dict[PrecisionUsed, Literal["bfloat16", "float16", "float32"]]] = {
    PrecisionUsed.BF16: "bfloat16",
    PrecisionUsed.FP16: "float16",
    PrecisionUsed.FP32: "float32",
}
"""What 4-bit codes are stored in under ZeRO-3, which divides only tensors of the run's own precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where everything is for the process that trains; absolute paths."""

    model: str
    """Folder with config.json, safetensors and tokenizer."""
    model_description: str
    """What the user wrote as the model."""
    model_source: str | None
    """The folder or GGUF file that the user named; None for a model from the hub."""
    model_revision: str | None
    """The hub's commit, where the model is from there: a branch moves."""
    train: tuple[str, ...]
    """In the order of the job's sources."""
    evaluation: str | None
    output: str
    adapter: str | None = None
    """Folder of the adapter to go on from."""
    shown: ShownConfig | None = None
    """What a report names in place of paths in a pod."""


def render_data(spec: FineTuneJobSpec, train: Sequence[str], evaluation: str | None) -> DataConfig:
    """The data part of job.json; inspection is asked in the same terms."""
    data = spec.dataset
    fraction = data.evaluation.fraction
    return DataConfig(
        objective=_objective(spec),
        train=tuple(_train_file(path, source) for path, source in zip(train, data.train.files, strict=True)),
        evaluation=_file(evaluation, data.evaluation.format) if evaluation is not None else None,
        evaluation_fraction=float(fraction) if fraction is not None else None,
        max_length=data.max_length,
        seed=spec.training.seed,
        contract=_contract(data.contract),
    )


def render_job(job: FineTuneJob, plan: Plan, architecture: Architecture, places: Places) -> JobConfig:
    """The whole contract for one plan."""
    spec = job.spec
    return JobConfig(
        version=1,
        name=job.metadata.name,
        method=plan.method.value,
        objective=_objective(spec),
        model=ModelConfig(path=places.model, description=places.model_description),
        data=render_data(spec, places.train, places.evaluation),
        adapter=_adapter(spec, plan, architecture),
        parent=_parent(spec, places.adapter),
        quantization=_quantization(plan),
        preference=_preference(spec),
        training=_training(spec.training, plan),
        world=WorldConfig(
            accelerator=_accelerator(plan),
            nodes=plan.nodes,
            devices_per_node=plan.devices_per_node,
        ),
        acceptance=_acceptance(spec),
        prediction=PredictionConfig(
            option=plan.id,
            memory_bytes=plan.training.components(),
            phase_bytes=dict(plan.phases),
            tokens_per_second=plan.tokens_per_second.mid,
            trainable_parameters=plan.trainable_parameters,
            total_parameters=plan.total_parameters,
        ),
        output=places.output,
        shown=places.shown,
    )


def _file(path: str, row_format: DataFormat) -> DataFileConfig:
    return DataFileConfig(path=path, format=RowFormat(row_format.value))


def _train_file(path: str, source: WeightedSource) -> TrainFileConfig:
    return TrainFileConfig(path=path, format=RowFormat(source.format.value), weight=float(source.weight))


def _contract(contract: Contract) -> ContractConfig:
    output = contract.output
    return ContractConfig(
        answer_json=render_answer_contract(output.json_) if output is not None else None,
        unique_input="input" in contract.unique,
        fail_on_bad_row=contract.on_bad_row is OnBadRow.FAIL,
        max_bad_share=float(contract.max_bad_rows),
    )


def render_answer_contract(answer: JsonContract) -> JsonContractConfig:
    """What answers are held against, in a run and by a check of files."""
    return JsonContractConfig(required=answer.required, values=answer.values, json_schema=answer.json_schema)


def _objective(spec: FineTuneJobSpec) -> TrainedObjective:
    # a plan for the others reads its rows as SFT does
    return TRAINED.get(spec.objective, "SFT")


def _preference(spec: FineTuneJobSpec) -> PreferenceConfig | None:
    if spec.objective not in WEIGHED:
        return None
    chosen = spec.preference or Preference()
    return PreferenceConfig(
        beta=float(chosen.beta),
        desirable_weight=float(chosen.desirable_weight),
        undesirable_weight=float(chosen.undesirable_weight),
    )


def _parent(spec: FineTuneJobSpec, path: str | None) -> ParentConfig | None:
    source = spec.model.adapter
    if source is None or path is None:
        return None
    return ParentConfig(path=path, description=source.written)


def render_asked_parent(spec: FineTuneJobSpec, path: str | None) -> dict[str, Any] | None:
    """What an inspection holds an adapter to go on from against; None without one."""
    parent = _parent(spec, path)
    if parent is None or spec.method is None:
        return None
    asked = spec.adapter
    return {
        "parent": parent.model_dump(mode="json"),
        "method": spec.method.value,
        "objective": _objective(spec),
        "adapter": {
            "rank": asked.rank,
            "alpha": asked.alpha,
            "rank_stabilized": asked.rank_stabilized,
            "dropout": float(asked.dropout),
            "target_modules": list(asked.target_modules),
        },
    }


def _adapter(spec: FineTuneJobSpec, plan: Plan, architecture: Architecture) -> AdapterConfig | None:
    if plan.method is Method.FULL:
        return None
    adapter = spec.adapter
    targets = adapter.target_modules
    if architecture.expert_targets:
        # for these families PEFT takes all-linear, and names of theirs, to mean the routed experts too
        targets = tuple(m.name for m in adapted_modules(architecture, targets))
    return AdapterConfig(
        rank=adapter.rank,
        alpha=adapter.alpha,
        rank_stabilized=adapter.rank_stabilized,
        dropout=float(adapter.dropout),
        target_modules=targets,
    )


def _quantization(plan: Plan) -> QuantizationConfig | None:
    if plan.method is not Method.QLORA:
        return None
    # bytes as long as nobody divides the weights: it is what everything else expects
    storage = STORAGE[plan.precision] if plan.zero_stage == 3 else "uint8"
    return QuantizationConfig(kind="nf4", double=True, storage=storage)


def _training(training: Training, plan: Plan) -> TrainingConfig:
    return TrainingConfig(
        epochs=float(training.epochs),
        micro_batch_size=plan.micro_batch,
        gradient_accumulation=plan.accumulation,
        learning_rate=float(plan.learning_rate),
        schedule=SCHEDULES[training.schedule],
        schedule_cycles=_cycles(training),
        warmup_share=float(training.warmup),
        weight_decay=float(training.weight_decay),
        max_grad_norm=float(training.max_grad_norm),
        seed=training.seed,
        precision=Precision(plan.precision.value),
        optimizer=training.optimizer.value,
        gradient_checkpointing=plan.checkpointing is Checkpointing.FULL,
        packing=training.packing.value,
        evaluate_every_steps=_evaluated_every(training),
        early_stopping=_early_stopping(training),
        checkpoint_every_steps=training.checkpoint.every_steps,
        checkpoints_kept=training.checkpoint.keep,
    )


def _cycles(training: Training) -> int | None:
    return (training.cycles or CYCLES) if training.schedule is Schedule.COSINE_WITH_RESTARTS else None


def _evaluated_every(training: Training) -> int | None:
    if training.evaluate is not None:
        return training.evaluate.every_steps
    # what ends by evaluations has to have some
    return training.checkpoint.every_steps if training.early_stopping is not None else None


def _early_stopping(training: Training) -> EarlyStoppingConfig | None:
    rule = training.early_stopping
    return EarlyStoppingConfig(patience=rule.patience, threshold=float(rule.threshold)) if rule is not None else None


def _accelerator(plan: Plan) -> Literal["GPU", "CPU"]:
    return "CPU" if plan.node_class.device.accelerator is Accelerator.CPU else "GPU"


def _acceptance(spec: FineTuneJobSpec) -> AcceptanceConfig:
    rule = spec.acceptance
    return AcceptanceConfig(
        metric=spec.deciding_metric,
        minimum=float(rule.minimum) if rule.minimum is not None else None,
        maximum=float(rule.maximum) if rule.maximum is not None else None,
        must_not_regress=rule.must_not_regress,
    )
