"""What a user writes under `spec`. A field is here only when it works."""

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from finetune_operator.api.base import (
    ApiModel,
    Contradiction,
    DecimalString,
    DurationString,
    Matching,
    OptionId,
    Place,
    refusal,
    refuse,
    within,
)


def _path(text: str) -> str:
    if "\0" in text or any(len(part.encode()) > MAX_PATH_PART for part in text.split("/")):
        raise refusal(f"is no path: a part of it is longer than {MAX_PATH_PART} bytes, or has a NUL in it")
    return text


def _printable(text: str) -> str:
    if not text.isprintable():
        raise refusal("has characters that can't be printed; write it without line ends and control characters")
    return text


MAX_PATH_PART: Final = 255
"""Bytes of one part of a path that file systems take at most."""

Path = Annotated[str, StringConstraints(min_length=1), AfterValidator(_path)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]


class Method(StrEnum):
    """How weights are trained."""

    FULL = "Full"
    LORA = "LoRA"
    QLORA = "QLoRA"
    DORA = "DoRA"


class Objective(StrEnum):
    """What the loss asks for."""

    SFT = "SFT"
    DPO = "DPO"
    ORPO = "ORPO"
    KTO = "KTO"
    REWARD = "Reward"
    GRPO = "GRPO"


class DataFormat(StrEnum):
    """Shape of a dataset's rows."""

    AUTO = "Auto"
    ALPACA = "Alpaca"
    SHAREGPT = "ShareGPT"
    MESSAGES = "Messages"
    PROMPT_COMPLETION = "PromptCompletion"
    TEXT = "Text"


class OnBadRow(StrEnum):
    """What happens to a malformed row."""

    SKIP = "Skip"
    FAIL = "Fail"


class Schedule(StrEnum):
    """Learning-rate schedule after warm-up."""

    CONSTANT = "Constant"
    LINEAR = "Linear"
    COSINE = "Cosine"


class PrecisionChoice(StrEnum):
    """Arithmetic asked for; Auto takes what the device does best."""

    AUTO = "Auto"
    BF16 = "BF16"
    FP16 = "FP16"
    FP32 = "FP32"


class Accelerator(StrEnum):
    """Kinds of device that training runs on."""

    GPU = "GPU"
    CPU = "CPU"


def _exactly_one(model: ApiModel, *names: str) -> Iterator[Contradiction]:
    given = [n for n in names if getattr(model, n) is not None]
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        yield Contradiction((), f"holds {found}; write exactly one of {', '.join(names)}")


RepoId = Annotated[
    str, Matching(r"[\w.-]+/[\w.-]+", "is not owner/name of a repository", "HuggingFaceTB/SmolLM2-135M-Instruct")
]
"""A repository on the hub."""


class HubSource(ApiModel):
    """A repository on the Hugging Face hub."""

    repo: RepoId
    """owner/name."""
    revision: Annotated[str, Matching(r"[\w./-]+", "is not a branch, tag or commit", "main")] = "main"
    """Branch, tag or commit; a commit makes the run repeatable."""


class ModelSource(ApiModel):
    """Where the base model is; exactly one field. Paths are relative to the job file."""

    path: Path | None = None
    """A folder with config.json, safetensors and a tokenizer."""
    gguf: Path | None = None
    """A GGUF file; unpacked once into bf16 safetensors."""
    hub: HubSource | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        refuse(_exactly_one(self, "path", "gguf", "hub"))
        return self


class Model(ApiModel):
    """The base model."""

    source: ModelSource


class DataSource(ApiModel):
    """Where rows are; relative to the job file."""

    path: Path


class WeightedSource(ApiModel):
    """One of several files to learn from."""

    path: Path
    format: DataFormat = DataFormat.AUTO
    weight: Annotated[
        DecimalString, within(lambda x: 0 < x <= 1000, 'is not above 0 and at most 1000; write for example "2"')
    ] = "1"
    """How often its rows are there in an epoch: 2 is each row twice, 0.5 every other row."""


class TrainData(ApiModel):
    """Rows to learn from: one file, or several with weights."""

    source: DataSource | None = None
    sources: Annotated[tuple[WeightedSource, ...], Field(min_length=1)] | None = None
    format: DataFormat = DataFormat.AUTO
    """Of the source; each of several has its own."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        refuse((*_exactly_one(self, "source", "sources"), *self._format_of_several(), *self._file_twice()))
        return self

    @property
    def files(self) -> tuple[WeightedSource, ...]:
        """All files, however they are written."""
        if self.source is not None:
            return (WeightedSource(path=self.source.path, format=self.format),)
        return self.sources or ()

    def _format_of_several(self) -> Iterator[Contradiction]:
        if self.source is None and self.format is not DataFormat.AUTO:
            yield Contradiction(("format",), "is for a single source; write it beside the path of each of the sources")

    def _file_twice(self) -> Iterator[Contradiction]:
        paths = [s.path for s in self.sources or ()]
        for index, path in enumerate(paths):
            if path in paths[:index]:
                sentence = f"{path} is there already; name it once, with the weight of both"
                yield Contradiction(("sources", index, "path"), sentence)


class EvaluationData(ApiModel):
    """Held-out rows: a source of their own, or a fraction taken out of the training rows."""

    source: DataSource | None = None
    format: DataFormat = DataFormat.AUTO
    """Of the source; a fraction has the format of the training rows."""
    fraction: (
        Annotated[DecimalString, within(lambda x: 0 < x < 1, 'is not between 0 and 1; write for example "0.1"')] | None
    ) = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        refuse((*_exactly_one(self, "source", "fraction"), *self._format_of_nothing()))
        return self

    def _format_of_nothing(self) -> Iterator[Contradiction]:
        if self.source is None and self.format is not DataFormat.AUTO:
            yield Contradiction(("format",), "is for a source, and there is none; write it under dataset.train")


class JsonContract(ApiModel):
    """What the answer's JSON object must hold."""

    required: tuple[Name, ...] = ()
    """Keys that must be there."""
    values: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Allowed values by key."""
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    """A JSON schema that the whole answer has to meet."""

    @model_validator(mode="after")
    def _values_not_empty(self) -> Self:
        sentence = "is empty; list the allowed values or remove the key"
        refuse(Contradiction(("values", key), sentence) for key, allowed in self.values.items() if not allowed)
        return self


class OutputContract(ApiModel):
    """What an answer must be."""

    json_: JsonContract = Field(alias="json")


class Contract(ApiModel):
    """What every row must hold; rows that break it are reported by file and line."""

    output: OutputContract | None = None
    unique: tuple[Literal["input"], ...] = ()
    """`input`: two rows with the same input are a fault of the second."""
    on_bad_row: OnBadRow = OnBadRow.SKIP
    max_bad_rows: Annotated[
        DecimalString, within(lambda x: x <= 1, 'is more than all rows: it is a share of them; for 5 % write "0.05"')
    ] = "0.05"
    """Share of bad rows above which the run is refused."""


class Dataset(ApiModel):
    """The data."""

    train: TrainData
    evaluation: EvaluationData
    max_length: Annotated[int, Field(ge=16, le=1_048_576)] = 2048
    """Longest row in tokens; longer ones are reported and skipped."""
    contract: Contract = Contract()


ALL_LINEAR: Final = "all-linear"
"""Stands for every linear module but the output layer."""


class Adapter(ApiModel):
    """The adapter of LoRA, QLoRA and DoRA."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 16
    alpha: Annotated[int, Field(ge=1, le=4096)] = 32
    dropout: Annotated[
        DecimalString, within(lambda x: x < 1, 'would drop everything; write a share below 1 such as "0.05"')
    ] = "0"
    target_modules: Annotated[tuple[Name, ...], Field(min_length=1)] = (ALL_LINEAR,)
    """Names of linear modules, or all-linear alone."""

    @model_validator(mode="after")
    def _all_or_some(self) -> Self:
        if ALL_LINEAR in self.target_modules and len(self.target_modules) > 1:
            refuse([Contradiction(("targetModules",), f"names {ALL_LINEAR} and others; write one or the other")])
        return self


class Checkpoint(ApiModel):
    """When state is saved for resuming."""

    every_steps: Annotated[int, Field(ge=1)] = 200
    keep: Annotated[int, Field(ge=1, le=100)] = 2


class Training(ApiModel):
    """Hyperparameters."""

    epochs: Annotated[
        DecimalString, within(lambda x: 0 < x <= 10_000, 'is not above 0 and at most 10000; write for example "3"')
    ] = "3"
    batch_size: Annotated[int, Field(ge=1, le=1_048_576)] = 16
    """Rows an optimizer step, over all devices."""
    learning_rate: (
        Annotated[DecimalString, within(lambda x: 0 < x < 1, 'is not between 0 and 1; write for example "2e-4"')] | None
    ) = None
    """Absent: 1e-5 for Full, 2e-4 for an adapter; the plan states it."""
    schedule: Schedule = Schedule.COSINE
    warmup: Annotated[
        DecimalString, within(lambda x: x < 1, 'is not a share of all steps, below 1; write for example "0.03"')
    ] = "0.03"
    """Share of all steps."""
    weight_decay: Annotated[DecimalString, within(lambda x: x <= 1, 'is above 1; write for example "0.01"')] = "0"
    max_grad_norm: Annotated[
        DecimalString, within(lambda x: 0 < x <= 1e6, 'is not above 0 and at most 1e6; write for example "1"')
    ] = "1"
    """Gradients are scaled down to it."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    precision: PrecisionChoice = PrecisionChoice.AUTO
    checkpoint: Checkpoint = Checkpoint()


Money = Annotated[
    DecimalString, within(lambda x: 0 < x <= 1e12, 'is not above 0 and at most 1e12; write for example "25"')
]
"""An amount in the currency of the nodes' prices."""


class Hardware(ApiModel):
    """What may be used; an absent count is free to choose."""

    accelerator: Accelerator | None = None
    devices_per_node: Annotated[int, Field(ge=1, le=64)] | None = None
    nodes: Annotated[int, Field(ge=1, le=4096)] | None = None
    memory_margin: Annotated[
        DecimalString, within(lambda x: x < 0.9, 'leaves too little to plan with; write for example "0.05"')
    ] = "0.05"
    """Share of a device's free memory that no option counts on: what the estimate may be off by, what others take."""
    max_duration: DurationString | None = None
    """Longest training that is taken, by the middle of the estimate; loading and evaluation aren't in it."""
    max_cost: Money | None = None
    """Likewise of its cost; options without a known price are turned down."""
    max_hourly_cost: Money | None = None
    """Of all devices together."""

    @model_validator(mode="after")
    def _cpu_is_one_device(self) -> Self:
        if self.accelerator is Accelerator.CPU and (self.devices_per_node or 1) > 1:
            sentence = f"{self.devices_per_node} contradicts accelerator: CPU, where a node is one device; write 1"
            refuse([Contradiction(("devicesPerNode",), sentence)])
        return self


class PlanChoice(ApiModel):
    """Which way to train."""

    option: OptionId | None = None
    """An id from `finetune plan`, or the word recommended as an approval in advance."""


METRICS: Final = ("loss", "perplexity", "exact-match", "json-valid", "json-fields", "json-allowed", "json-exact")
"""What held-out rows are scored by, beside field:<name>."""

FIELD_METRIC: Final = "field:"
"""Begins the metric of one field of a JSON answer."""


def _known_metric(name: str) -> str:
    if name in METRICS or name.removeprefix(FIELD_METRIC) not in {name, ""}:
        return name
    raise refusal(f'"{name}" is not a metric; write one of {", ".join(METRICS)} or {FIELD_METRIC}<name>')


MetricName = Annotated[str, AfterValidator(_known_metric)]
"""One of METRICS, or field:<name>."""

LOWER_IS_BETTER: Final = frozenset({"loss", "perplexity"})
"""Metrics that are worse when they grow."""


class Acceptance(ApiModel):
    """The decision rule, stated before the run."""

    metric: MetricName = "loss"
    minimum: (
        Annotated[DecimalString, within(lambda x: x <= 1, 'is not a share, at most 1; for 90 % write "0.9"')] | None
    ) = None
    """For metrics that grow with quality."""
    maximum: Annotated[DecimalString, within(math.isfinite, 'is too large; write for example "2.5"')] | None = None
    """For loss and perplexity. With neither, the metric has to become better than the base model's."""
    must_not_regress: tuple[MetricName, ...] = ()

    @model_validator(mode="after")
    def _direction(self) -> Self:
        refuse(self._wrong_bounds())
        return self

    def _wrong_bounds(self) -> Iterator[Contradiction]:
        lower = self.metric in LOWER_IS_BETTER
        if lower and self.minimum is not None:
            yield Contradiction(("minimum",), f"{self.metric} is better when it is lower; write maximum instead")
        if not lower and self.maximum is not None:
            yield Contradiction(("maximum",), f"{self.metric} is better when it is higher; write minimum instead")


class Output(ApiModel):
    """Where the result goes; relative to the job file."""

    path: Path


class FineTuneJobSpec(ApiModel):
    """Everything a user asks for."""

    model: Model
    dataset: Dataset
    method: Method | None = None
    """Absent: every method is an option."""
    objective: Objective = Objective.SFT
    adapter: Adapter = Adapter()
    training: Training = Training()
    hardware: Hardware = Hardware()
    plan: PlanChoice = PlanChoice()
    acceptance: Acceptance = Acceptance()
    output: Output

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse((*self._uneven_batch(), *self._idle_adapter(), *self._unknown_metrics()))
        return self

    def _uneven_batch(self) -> Iterator[Contradiction]:
        devices = (self.hardware.nodes or 1) * (self.hardware.devices_per_node or 1)
        if self.training.batch_size % devices:
            yield Contradiction(
                ("training", "batchSize"),
                f"{self.training.batch_size} rows can't be shared evenly by {devices} devices "
                f"(hardware.nodes x hardware.devicesPerNode); write a multiple of {devices}",
            )

    def _idle_adapter(self) -> Iterator[Contradiction]:
        if self.method is Method.FULL and self.adapter != Adapter():
            yield Contradiction(("adapter",), "is not used by method: Full; remove it, or write method: LoRA")

    def _unknown_metrics(self) -> Iterator[Contradiction]:
        yield from self._unknown_metric(("acceptance", "metric"), self.acceptance.metric)
        for index, metric in enumerate(self.acceptance.must_not_regress):
            yield from self._unknown_metric(("acceptance", "mustNotRegress", index), metric)

    def _unknown_metric(self, at: Place, metric: str) -> Iterator[Contradiction]:
        contract = self.dataset.contract.output
        if contract is None:
            if metric.startswith(("json-", FIELD_METRIC)):
                yield Contradiction(at, f"{metric} needs dataset.contract.output.json; write it, or another metric")
            return
        fields = sorted({*contract.json_.required, *contract.json_.values})
        name = metric.removeprefix(FIELD_METRIC)
        if name not in {metric, *fields}:
            listed = ", ".join(fields) or "none"
            yield Contradiction(at, f"{metric} names no field of dataset.contract.output.json; it has {listed}")
