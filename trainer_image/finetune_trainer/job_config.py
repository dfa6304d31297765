"""job.json: the contract that renderers write and the trainer reads. No torch here.

Nothing in it is optional with a default elsewhere: what isn't written here doesn't happen.
"""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from finetune_trainer.exit_codes import ExitCode, TrainerError

JOB_FILE: Final = "job.json"
"""Name of this contract's file."""

DEEPSPEED_FILE: Final = "deepspeed.json"
"""DeepSpeed's own configuration, beside job.json."""

STATE_FOLDER: Final = ".finetune"
"""In the output folder: what a resumed run has to know again."""

RESULT_FILE: Final = "result.json"
"""In the state folder: what came out, once the run is complete."""

BASELINE_FILE: Final = "baseline.json"
"""In the state folder: what the base model was judged to be, in the run's arithmetic."""

DATA_REPORT_FILE: Final = "data_report.json"
"""In the output folder: every fault of the rows, where the report lists ten."""

STOP_ON_EOF: Final = "FINETUNE_STOP_ON_EOF"
"""Environment: with "1", the end of standard input means that whoever started the trainer is gone, and it stops."""

COMMAND: Final = "FINETUNE_COMMAND"
"""Environment: the user's own command, for the report."""

LOWER_IS_BETTER: Final = frozenset({"loss", "perplexity"})
"""Metrics that are worse when they grow; all others are shares of rows, 0 to 1."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
"""A number that can be computed with."""

Count = Annotated[int, Field(ge=0)]
"""Of bytes, rows or parameters."""


class StrictModel(BaseModel):
    """Unknown keys are an error: a setting that nobody reads would lie.

    Notes:
        A measured NaN is written as NaN, which is no standard JSON but comes back as what it was.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, ser_json_inf_nan="constants")


class RowFormat(StrEnum):
    """Shape of a dataset's rows; Auto finds it over many rows."""

    AUTO = "Auto"
    ALPACA = "Alpaca"
    SHAREGPT = "ShareGPT"
    MESSAGES = "Messages"
    PROMPT_COMPLETION = "PromptCompletion"
    TEXT = "Text"
    PREFERENCE = "Preference"
    """Two answers, of which one is preferred: DPO and ORPO learn from them."""
    UNPAIRED = "Unpaired"
    """Answers that are wanted or not: KTO learns from them."""


class Precision(StrEnum):
    """Arithmetic of the forward and backward pass."""

    BF16 = "BF16"
    FP16 = "FP16"
    FP32 = "FP32"


Objective = Literal["SFT", "DPO", "ORPO", "KTO", "Reward"]
"""What the loss asks for."""

Optimizer = Literal["AdamW", "AdamW8bit"]
"""The second one's moments are in 8 bits, by bitsandbytes."""

Method = Literal["Full", "LoRA", "QLoRA", "DoRA"]
"""How weights are trained."""

PAIRED: Final[frozenset[Objective]] = frozenset({"DPO", "ORPO", "Reward"})
"""Objectives that learn from two answers of which one is preferred."""

REFERENCED: Final[frozenset[Objective]] = frozenset({"DPO", "KTO"})
"""Objectives that compare with the model as it was when training began."""

WEIGHED: Final[frozenset[Objective]] = frozenset({"DPO", "ORPO", "KTO"})
"""Objectives that weigh by `preference`."""


PREFERENCE_METRICS: Final = frozenset({"preference-accuracy", "reward-accuracy"})
"""Metrics of judged answers."""


class ModelConfig(StrictModel):
    """The base model."""

    path: str
    """Folder with config.json, safetensors and tokenizer."""
    description: str
    """What the user wrote, for the report: a path, a GGUF file or a hub id with its revision."""


class ShownConfig(StrictModel):
    """Model and result as who isn't in the pod names them: where they are mounted there is of no use to anybody."""

    model: str
    """Hub id, or the path below its volume's root."""
    revision: str | None
    """Of a hub id."""
    output: str
    """Path below its volume's root."""
    where: str
    """Which volumes those are, in one line."""


class DataFileConfig(StrictModel):
    """One file of rows."""

    path: str
    format: RowFormat


class TrainFileConfig(DataFileConfig):
    """One of the files to learn from."""

    weight: Annotated[Finite, Field(gt=0)]
    """How often its rows are there in an epoch: 2 is each row twice, 0.5 every other row, chosen by content and seed;
    1.5 each row once and every other one a second time."""


class JsonContractConfig(StrictModel):
    """What the answer's JSON object must hold."""

    required: tuple[str, ...]
    values: dict[str, tuple[str, ...]]
    json_schema: dict[str, Any] | None
    """A JSON schema that the whole answer has to meet; None where there is none."""


class ContractConfig(StrictModel):
    """What every row must hold."""

    answer_json: JsonContractConfig | None
    unique_input: bool
    fail_on_bad_row: bool
    max_bad_share: Annotated[float, Field(ge=0, le=1)]


class DataConfig(StrictModel):
    """Rows for training and for evaluation."""

    objective: Objective
    """What rows are read for: it decides which formats there may be."""
    train: Annotated[tuple[TrainFileConfig, ...], Field(min_length=1)]
    """Files of which the rows follow one another."""
    evaluation: DataFileConfig | None
    """None: `evaluation_fraction` of the training rows is held out, before weights count."""
    evaluation_fraction: Annotated[float, Field(gt=0, lt=1)] | None
    max_length: Annotated[int, Field(ge=1)]
    """Tokens."""
    seed: Count
    """Of the split."""
    contract: ContractConfig

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.evaluation is None) == (self.evaluation_fraction is None):
            raise ValueError("write exactly one of evaluation and evaluation_fraction")
        return self

    @property
    def sources(self) -> tuple[DataFileConfig, ...]:
        """All that rows are read from."""
        return (*self.train, *((self.evaluation,) if self.evaluation is not None else ()))


class AdapterConfig(StrictModel):
    """The adapter: LoRA's matrices, and for DoRA a magnitude for each of their outputs."""

    rank: Annotated[int, Field(ge=1)]
    alpha: Annotated[int, Field(ge=1)]
    rank_stabilized: bool
    """Its output is multiplied by alpha / sqrt(rank), as rsLoRA does (Kalajdzievski 2023), and not by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)]
    target_modules: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of linear modules, or the single name all-linear."""


class ParentConfig(StrictModel):
    """The adapter that training goes on from."""

    path: str
    """Folder with adapter_config.json and adapter_model.safetensors."""
    description: str
    """What the user wrote."""


class QuantizationConfig(StrictModel):
    """How the frozen base model is rounded when it is loaded; what is computed with is the run's precision."""

    kind: Literal["nf4"]
    """16 levels that suit normally distributed weights, one scale for every 64."""
    double: bool
    """The scales are rounded, too: 0.4 bits a weight less."""
    storage: Literal["uint8", "bfloat16", "float16", "float32"]
    """Type of the tensors that the 4-bit codes lie in; ZeRO-3 divides only those of the run's own precision."""


class EarlyStoppingConfig(StrictModel):
    """When training ends before its last step; the result is then, as at the end, what had the lowest held-out loss."""

    patience: Annotated[int, Field(ge=1)]
    """Evaluations without an improvement after which it ends."""
    threshold: Annotated[Finite, Field(ge=0)]
    """By how much the loss has to fall to count as an improvement."""


class TrainingConfig(StrictModel):
    """Hyperparameters, all solved."""

    epochs: Annotated[Finite, Field(gt=0)]
    micro_batch_size: Annotated[int, Field(ge=1)]
    """Rows a device and a forward pass."""
    gradient_accumulation: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[Finite, Field(gt=0)]
    schedule: Literal["constant_with_warmup", "linear", "cosine", "cosine_with_restarts"]
    """By transformers' names: its `constant` has no warm-up."""
    schedule_cycles: Annotated[int, Field(ge=2)] | None
    """Of cosine_with_restarts, and of no other."""
    warmup_share: Annotated[float, Field(ge=0, lt=1)]
    """Of all steps."""
    weight_decay: Annotated[Finite, Field(ge=0)]
    max_grad_norm: Annotated[Finite, Field(ge=0)]
    """Gradients are scaled down to this norm; 0: never."""
    seed: Count
    precision: Precision
    optimizer: Optimizer
    gradient_checkpointing: bool
    packing: Literal["Auto", "BestFit", "Never"]
    """Whether rows lie end to end in lines as long as the longest; Auto: where the model keeps them apart."""
    evaluate_every_steps: Annotated[int, Field(ge=1)] | None
    """Between two looks at the held-out rows' loss, of which there is one at the end, too; None: none at all."""
    early_stopping: EarlyStoppingConfig | None
    """The checkpoint with the lowest loss is kept beside the newest ones."""
    checkpoint_every_steps: Annotated[int, Field(ge=1)]
    checkpoints_kept: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _cycles_where_they_are_counted(self) -> Self:
        if (self.schedule == "cosine_with_restarts") != (self.schedule_cycles is not None):
            raise ValueError("schedule_cycles belongs to cosine_with_restarts, and to no other schedule")
        return self

    @model_validator(mode="after")
    def _stopped_by_something(self) -> Self:
        if self.early_stopping is not None and self.evaluate_every_steps is None:
            raise ValueError("early_stopping needs evaluate_every_steps")
        return self


class PreferenceConfig(StrictModel):
    """What DPO, ORPO and KTO weigh by."""

    beta: Annotated[Finite, Field(gt=0)]
    """Of DPO and KTO how dearly the model pays for leaving its reference; of ORPO the weight of the odds ratio."""
    desirable_weight: Annotated[Finite, Field(gt=0)]
    """Of KTO: of the loss on wanted answers."""
    undesirable_weight: Annotated[Finite, Field(gt=0)]
    """Likewise on the others."""


class WorldConfig(StrictModel):
    """Ranks that must be there before the first step."""

    accelerator: Literal["GPU", "CPU"]
    nodes: Annotated[int, Field(ge=1)]
    devices_per_node: Annotated[int, Field(ge=1)]

    @property
    def size(self) -> int:
        """Number of ranks."""
        return self.nodes * self.devices_per_node


class AcceptanceConfig(StrictModel):
    """The decision rule."""

    metric: str
    minimum: Annotated[float, Field(ge=0, le=1)] | None
    """For shares."""
    maximum: Finite | None
    """For loss and perplexity. With neither, the metric has to become better than the base model's."""
    must_not_regress: tuple[str, ...]

    @model_validator(mode="after")
    def _direction(self) -> Self:
        wrong = "minimum" if self.metric in LOWER_IS_BETTER else "maximum"
        if getattr(self, wrong) is not None:
            raise ValueError(f"{wrong} is the wrong way round for {self.metric}")
        return self


class PredictionConfig(StrictModel):
    """What the planner said, to be held against what happens."""

    option: str
    memory_bytes: dict[str, Count]
    """Bytes a device by component, in training; they add up to the prediction."""
    phase_bytes: dict[str, Count]
    """Bytes a device in each phase that is measured."""
    tokens_per_second: Annotated[Finite, Field(ge=0)]
    """Over all devices."""
    trainable_parameters: Count
    total_parameters: Count


class JobConfig(StrictModel):
    """The whole contract."""

    version: Literal[1]
    name: str
    method: Method
    objective: Objective
    model: ModelConfig
    data: DataConfig
    adapter: AdapterConfig | None
    """None for Full."""
    parent: ParentConfig | None
    """None: a fresh adapter, or all weights of the base model."""
    quantization: QuantizationConfig | None
    """Of the base model, for QLoRA alone."""
    preference: PreferenceConfig | None
    """For DPO, ORPO and KTO alone."""
    training: TrainingConfig
    world: WorldConfig
    acceptance: AcceptanceConfig
    prediction: PredictionConfig
    output: str
    """Folder of the result; checkpoints are in its `checkpoints`."""
    shown: ShownConfig | None
    """For the report; None where its reader finds model and result at these paths."""

    @model_validator(mode="after")
    def _adapter_where_it_is_trained(self) -> Self:
        if (self.method == "Full") != (self.adapter is None):
            raise ValueError(f"adapter must be {'given' if self.adapter is None else 'null'} for {self.method}")
        if self.parent is not None and self.adapter is None:
            raise ValueError("parent is an adapter to go on from, and Full trains none")
        return self

    @model_validator(mode="after")
    def _rows_for_the_objective(self) -> Self:
        if self.data.objective != self.objective:
            raise ValueError(
                f"data.objective is {self.data.objective} and objective is {self.objective}; they must agree"
            )
        if (self.objective in WEIGHED) != (self.preference is not None):
            raise ValueError(
                f"preference must be {'given' if self.preference is None else 'null'} for {self.objective}"
            )
        return self

    @model_validator(mode="after")
    def _quantized_where_it_is_meant(self) -> Self:
        if (self.method == "QLoRA") != (self.quantization is not None):
            raise ValueError(
                f"quantization must be {'given' if self.quantization is None else 'null'} for {self.method}"
            )
        return self


def load_job(path: Path) -> JobConfig:
    """The contract from its file.

    Raises:
        TrainerError: the file can't be read or doesn't hold the contract.
    """
    try:
        return JobConfig.model_validate_json(path.read_bytes())
    except OSError as e:
        raise TrainerError(ExitCode.CONFIGURATION, f"{path}: can't be read: {e.strerror}") from e
    except ValidationError as e:
        raise TrainerError(ExitCode.CONFIGURATION, f"{path}: {first_fault(e)}") from e


def load_deepspeed(path: Path) -> dict[str, Any]:
    """DeepSpeed's configuration from its file.

    Raises:
        TrainerError: the file can't be read or isn't a JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except OSError as e:
        raise TrainerError(ExitCode.CONFIGURATION, f"{path}: can't be read: {e.strerror}") from e
    except ValueError as e:
        raise TrainerError(ExitCode.CONFIGURATION, f"{path}: is not JSON ({e}); render the job again") from e
    if not isinstance(value, dict):
        raise TrainerError(ExitCode.CONFIGURATION, f"{path}: is not a JSON object; render the job again")
    return value


def first_fault(error: ValidationError) -> str:
    """What is wrong with a contract's text, and where, in one line."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    place = ".".join(str(part) for part in faults[0]["loc"])
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{place}: {faults[0]['msg']}{more}" if place else f"{faults[0]['msg']}{more}"
