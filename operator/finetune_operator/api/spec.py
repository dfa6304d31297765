"""What a user writes under `spec`. A field is here only when it works."""

import json
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from finetune_operator.api.base import (
    ApiModel,
    Contradiction,
    DecimalString,
    DurationString,
    OptionId,
    Place,
    Within,
    refusal,
    refuse,
)
from finetune_operator.api.pods import NodeSelector, PodTemplate, Toleration
from finetune_operator.api.rules import Rule, one_of, ruled, same
from finetune_operator.api.sources import AdapterSource, DataSource, ModelSource, Output, exactly_one


def _printable(text: str) -> str:
    if not text.isprintable():
        raise refusal("has characters that can't be printed; write it without line ends and control characters")
    return text


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    AfterValidator(_printable),
    Rule(
        r"self.matches(r'^( |[^\p{C}\p{Z}])*$')",
        "has characters that can't be printed; write it without line ends and control characters",
    ),
]


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


TRAINED: Final[Mapping[Objective, Literal["SFT", "DPO", "ORPO", "KTO", "Reward"]]] = {
    Objective.SFT: "SFT",
    Objective.DPO: "DPO",
    Objective.ORPO: "ORPO",
    Objective.KTO: "KTO",
    Objective.REWARD: "Reward",
}
"""Objectives that the trainer has, by its names; the planner sizes others too."""

UNWEIGHTED: Final = (Objective.DPO, Objective.ORPO)
"""Objectives that read `preference` without its weights."""

WEIGHED: Final = (*UNWEIGHTED, Objective.KTO)
"""Objectives that read `preference`."""

DECIDES: Final = {
    Objective.DPO: "preference-accuracy",
    Objective.ORPO: "preference-accuracy",
    Objective.REWARD: "preference-accuracy",
    Objective.KTO: "reward-accuracy",
}
"""The metric of objectives that aren't about the loss of one right answer."""

JUDGED: Final = {
    "preference-accuracy": (Objective.DPO, Objective.ORPO, Objective.REWARD),
    "reward-accuracy": (Objective.DPO, Objective.KTO),
}
"""Metrics that need judged answers, with the objectives that have them."""

SCORED: Final = ("loss", "preference-accuracy")
"""Metrics of a reward model, which writes no answers."""


class DataFormat(StrEnum):
    """Shape of a dataset's rows."""

    AUTO = "Auto"
    ALPACA = "Alpaca"
    SHAREGPT = "ShareGPT"
    MESSAGES = "Messages"
    PROMPT_COMPLETION = "PromptCompletion"
    TEXT = "Text"
    PREFERENCE = "Preference"
    UNPAIRED = "Unpaired"


class OnBadRow(StrEnum):
    """What happens to a malformed row."""

    SKIP = "Skip"
    FAIL = "Fail"


class Schedule(StrEnum):
    """Learning-rate schedule after warm-up."""

    CONSTANT = "Constant"
    LINEAR = "Linear"
    COSINE = "Cosine"
    COSINE_WITH_RESTARTS = "CosineWithRestarts"


class Packing(StrEnum):
    """How rows lie in the micro-batches of a step."""

    AUTO = "Auto"
    BEST_FIT = "BestFit"
    NEVER = "Never"


class PrecisionChoice(StrEnum):
    """Arithmetic asked for; Auto takes what the device does best."""

    AUTO = "Auto"
    BF16 = "BF16"
    FP16 = "FP16"
    FP32 = "FP32"


class OptimizerChoice(StrEnum):
    """How weights are stepped on."""

    ADAMW = "AdamW"
    ADAMW_8BIT = "AdamW8bit"


class Accelerator(StrEnum):
    """Kinds of device that training runs on."""

    GPU = "GPU"
    CPU = "CPU"


class Model(ApiModel):
    """The base model."""

    source: ModelSource
    """Where it is; exactly one field."""
    adapter: AdapterSource | None = None
    """An adapter on it that training goes on from; absent: a fresh one. `adapter` has to describe it."""


MAX_SOURCES: Final = 32
"""Files of training rows: each is a mount in a cluster's pods."""


class WeightedSource(DataSource):
    """One of several files to learn from."""

    format: DataFormat = DataFormat.AUTO
    """Shape of its rows."""
    weight: Annotated[
        DecimalString, Within('is not above 0 and at most 1000; write for example "2"', above=0, at_most=1000)
    ] = "1"
    """How often its rows are there in an epoch: 2 is each row twice, 0.5 every other row."""

    @property
    def place(self) -> DataSource:
        """Where it is, and nothing else."""
        return DataSource(
            path=self.path, hub=self.hub, volume=self.volume, config_map=self.config_map, image=self.image
        )


class TrainData(ApiModel):
    """Rows to learn from: one file, or several with weights."""

    model_config = ruled(
        one_of(("source", "sources")),
        Rule(
            "!has(self.sources) || !has(self.format) || self.format == 'Auto'",
            "is for a single source; write it beside each of the sources",
            ".format",
        ),
        Rule(
            "!has(self.sources) || self.sources.all(a, self.sources.exists_one(b, "
            f"{same(('hub', 'volume', 'configMap', 'image'), 'a', 'b')}))",
            "names a file twice; name it once, with the weight of both",
            ".sources",
        ),
    )

    source: DataSource | None = None
    """One file."""
    sources: Annotated[tuple[WeightedSource, ...], Field(min_length=1, max_length=MAX_SOURCES)] | None = None
    """Several files; their rows follow one another in this order."""
    format: DataFormat = DataFormat.AUTO
    """Of the source; each of several has its own."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        refuse((*exactly_one(self, "source", "sources"), *self._format_of_several(), *self._file_twice()))
        return self

    @property
    def files(self) -> tuple[WeightedSource, ...]:
        """All files, however they are written."""
        if self.source is not None:
            return (WeightedSource.model_validate({**dict(self.source), "format": self.format}),)
        return self.sources or ()

    def _format_of_several(self) -> Iterator[Contradiction]:
        if self.source is None and self.format is not DataFormat.AUTO:
            yield Contradiction(("format",), "is for a single source; write it beside each of the sources")

    def _file_twice(self) -> Iterator[Contradiction]:
        places = [s.place for s in self.sources or ()]
        for index, place in enumerate(places):
            if place in places[:index]:
                sentence = f"{place.written} is there already; name it once, with the weight of both"
                yield Contradiction(("sources", index), sentence)


class EvaluationData(ApiModel):
    """Held-out rows: a source of their own, or a fraction taken out of the training rows."""

    model_config = ruled(
        one_of(("source", "fraction")),
        Rule(
            "has(self.source) || !has(self.format) || self.format == 'Auto'",
            "is for a source, and there is none; write it under dataset.train",
            ".format",
        ),
    )

    source: DataSource | None = None
    """One file."""
    format: DataFormat = DataFormat.AUTO
    """Of the source; a fraction has the format of the training rows."""
    fraction: (
        Annotated[DecimalString, Within('is not between 0 and 1; write for example "0.1"', above=0, below=1)] | None
    ) = None
    """Share of the training rows that is held out."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        refuse((*exactly_one(self, "source", "fraction"), *self._format_of_nothing()))
        return self

    def _format_of_nothing(self) -> Iterator[Contradiction]:
        if self.source is None and self.format is not DataFormat.AUTO:
            yield Contradiction(("format",), "is for a source, and there is none; write it under dataset.train")


MAX_KEYS: Final = 64
"""Keys of an answer that a contract speaks of."""

MAX_KEY: Final = 200
"""Characters of such a key."""

KeyName = Annotated[str, StringConstraints(max_length=MAX_KEY)]
"""A key of an answer's JSON object."""

AllowedValue = Annotated[str, StringConstraints(max_length=200)]
"""A value that a key may have."""


class JsonContract(ApiModel):
    """What the answer's JSON object must hold."""

    required: Annotated[tuple[Name, ...], Field(max_length=MAX_KEYS)] = ()
    """Keys that must be there."""
    values: Annotated[
        dict[KeyName, Annotated[tuple[AllowedValue, ...], Field(max_length=256)]],
        Field(max_length=MAX_KEYS),
        Rule(
            "self.all(k, self[k].size() > 0)",
            "a key's list of values is empty; list the allowed values or remove the key",
        ),
        Rule(f"self.all(k, k.size() <= {MAX_KEY})", f"has a key of more than {MAX_KEY} characters"),
    ] = Field(default_factory=dict)
    """Allowed values by key."""
    json_schema: dict[str, Any] | None = Field(
        default=None, alias="schema", json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}
    )
    """A JSON schema that the whole answer has to meet."""

    @model_validator(mode="after")
    def _values_not_empty(self) -> Self:
        sentence = "is empty; list the allowed values or remove the key"
        refuse(Contradiction(("values", key), sentence) for key, allowed in self.values.items() if not allowed)
        return self


class OutputContract(ApiModel):
    """What an answer must be."""

    json_: JsonContract = Field(alias="json")
    """A JSON object and nothing else."""


class Contract(ApiModel):
    """What every row must hold; rows that break it are reported by file and line."""

    output: OutputContract | None = None
    """Absent: answers may be any text."""
    unique: Annotated[tuple[Literal["input"], ...], Field(max_length=1)] = ()
    """`input`: two rows with the same input are a fault of the second."""
    on_bad_row: OnBadRow = OnBadRow.SKIP
    """Skip leaves bad rows out and reports them; Fail refuses the run."""
    max_bad_rows: Annotated[
        DecimalString, Within('is more than all rows: it is a share of them; for 5 % write "0.05"', at_most=1)
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
    """Columns of each of the adapter's matrices."""
    alpha: Annotated[int, Field(ge=1, le=4096)] = 32
    """The adapter's output is multiplied by alpha / rank."""
    rank_stabilized: bool = False
    """Multiplied by alpha / sqrt(rank) instead: rsLoRA."""
    dropout: Annotated[
        DecimalString, Within('would drop everything; write a share below 1 such as "0.05"', below=1)
    ] = "0"
    """Share of the adapter's inputs that is left out at random."""
    target_modules: Annotated[
        tuple[Name, ...],
        Field(min_length=1, max_length=64),
        Rule(
            f"self.size() == 1 || !self.exists(m, m == '{ALL_LINEAR}')",
            f"names {ALL_LINEAR} and others; write one or the other",
        ),
    ] = (ALL_LINEAR,)
    """Names of linear modules, or all-linear alone."""

    @model_validator(mode="after")
    def _all_or_some(self) -> Self:
        if ALL_LINEAR in self.target_modules and len(self.target_modules) > 1:
            refuse([Contradiction(("targetModules",), f"names {ALL_LINEAR} and others; write one or the other")])
        return self


class Checkpoint(ApiModel):
    """When state is saved for resuming."""

    every_steps: Annotated[int, Field(ge=1, le=2**31 - 1)] = 200
    """Steps between two checkpoints."""
    keep: Annotated[int, Field(ge=1, le=100)] = 2
    """How many of the newest are kept."""


class Evaluate(ApiModel):
    """When the objective's loss on held-out rows is measured while training."""

    every_steps: Annotated[int, Field(ge=1, le=2**31 - 1)]
    """Steps between two looks."""


class EarlyStopping(ApiModel):
    """When training ends before its last step."""

    patience: Annotated[int, Field(ge=1, le=1000)] = 5
    """Evaluations without an improvement after which it ends."""
    threshold: Annotated[DecimalString, Within('is too large; write for example "0.001"', at_most=1e300)] = "0"
    """By how much the held-out loss has to fall to count as an improvement."""


class Training(ApiModel):
    """Hyperparameters."""

    model_config = ruled(
        Rule(
            f"!has(self.cycles) || self.schedule == '{Schedule.COSINE_WITH_RESTARTS.value}'",
            f"is not used by that schedule; remove it, or write {Schedule.COSINE_WITH_RESTARTS.value}",
            ".cycles",
        )
    )

    epochs: Annotated[
        DecimalString, Within('is not above 0 and at most 10000; write for example "3"', above=0, at_most=10_000)
    ] = "3"
    """How often every row is learnt."""
    batch_size: Annotated[int, Field(ge=1, le=1_048_576)] = 16
    """Rows an optimizer step, over all devices."""
    learning_rate: (
        Annotated[DecimalString, Within('is not between 0 and 1; write for example "2e-4"', above=0, below=1)] | None
    ) = None
    """Absent: by objective and method; for SFT 1e-5 with Full, 2e-4 with an adapter; the plan states it."""
    schedule: Schedule = Schedule.COSINE
    """The learning rate after the warm-up."""
    cycles: Annotated[int, Field(ge=2, le=1000)] | None = None
    """Cosine waves of CosineWithRestarts; absent: 4."""
    warmup: Annotated[
        DecimalString, Within('is not a share of all steps, below 1; write for example "0.03"', below=1)
    ] = "0.03"
    """Share of all steps in which the learning rate rises from 0."""
    weight_decay: Annotated[DecimalString, Within('is above 1; write for example "0.01"', at_most=1)] = "0"
    """AdamW's."""
    max_grad_norm: Annotated[
        DecimalString, Within('is not above 0 and at most 1e6; write for example "1"', above=0, at_most=1e6)
    ] = "1"
    """Gradients are scaled down to it."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    """Of the order of rows, the adapter's first values, dropout and the held-out fraction."""
    precision: PrecisionChoice = PrecisionChoice.AUTO
    """The arithmetic; Auto takes BF16 where the device computes it natively."""
    optimizer: OptimizerChoice = OptimizerChoice.ADAMW
    """AdamW8bit keeps AdamW's two moments in 8 bits, whole on every device: there is neither ZeRO nor offload then."""
    packing: Packing = Packing.AUTO
    """Whether rows of a step lie end to end, in lines as long as the longest; for SFT. Auto: if the model allows it."""
    evaluate: Evaluate | None = None
    """Absent: held-out rows are looked at before and after alone; with early stopping, at each checkpoint."""
    early_stopping: EarlyStopping | None = None
    """Absent: training goes on to its last step."""
    checkpoint: Checkpoint = Checkpoint()
    """When state is saved for resuming."""

    @model_validator(mode="after")
    def _cycles_of_something(self) -> Self:
        if self.cycles is not None and self.schedule is not Schedule.COSINE_WITH_RESTARTS:
            sentence = f"is not used by schedule: {self.schedule.value}; remove it, or write CosineWithRestarts"
            refuse([Contradiction(("cycles",), sentence)])
        return self


Money = Annotated[
    DecimalString, Within('is not above 0 and at most 1e12; write for example "25"', above=0, at_most=1e12)
]
"""An amount in the currency of the nodes' prices."""


class Hardware(ApiModel):
    """What may be used; an absent count is free to choose."""

    model_config = ruled(
        Rule(
            "self.?accelerator.orValue('') != 'CPU' || self.?devicesPerNode.orValue(1) == 1",
            "contradicts accelerator: CPU, where a node is one device; write 1",
            ".devicesPerNode",
        )
    )

    accelerator: Accelerator | None = None
    """Absent: the GPUs that are there, the CPU where there is none."""
    devices_per_node: Annotated[int, Field(ge=1, le=64)] | None = None
    """Absent: free to choose."""
    nodes: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Absent: free to choose."""
    memory_margin: Annotated[
        DecimalString, Within('leaves too little to plan with; write for example "0.05"', below=0.9)
    ] = "0.05"
    """Share of a device's free memory that no option counts on: what the estimate may be off by, what others take."""
    max_duration: DurationString | None = None
    """Longest training that is taken, by the middle of the estimate; loading and evaluation aren't in it."""
    max_cost: Money | None = None
    """Likewise of its cost; options without a known price are turned down."""
    max_hourly_cost: Money | None = None
    """Of all devices together."""
    node_selector: NodeSelector = Field(default_factory=dict)
    """In a cluster: labels that a node must have to be planned for and used."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    """In a cluster: taints of nodes that may be planned for and used all the same."""

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


METRICS: Final = (
    "loss",
    "perplexity",
    "exact-match",
    "json-valid",
    "json-fields",
    "json-allowed",
    "json-exact",
    "preference-accuracy",
    "reward-accuracy",
)
"""What held-out rows are scored by, beside field:<name>."""

FIELD_METRIC: Final = "field:"
"""Begins the metric of one field of a JSON answer."""


def _known_metric(name: str) -> str:
    if name in METRICS or name.removeprefix(FIELD_METRIC) not in {name, ""}:
        return name
    raise refusal(f'"{name}" is not a metric; write one of {", ".join(METRICS)} or {FIELD_METRIC}<name>')


MetricName = Annotated[
    str,
    StringConstraints(max_length=206),
    AfterValidator(_known_metric),
    Rule(
        f"self in {list(METRICS)} || (self.startsWith('{FIELD_METRIC}') && self != '{FIELD_METRIC}')",
        f"is not a metric; write one of {', '.join(METRICS)} or {FIELD_METRIC}<name>",
    ),
]
"""One of METRICS, or field:<name>."""

LOWER_IS_BETTER: Final = frozenset({"loss", "perplexity"})
"""Metrics that are worse when they grow."""


class Acceptance(ApiModel):
    """The decision rule, stated before the run."""

    model_config = ruled(
        Rule(
            f"!has(self.minimum) || !has(self.metric) || !(self.metric in {sorted(LOWER_IS_BETTER)})",
            "is for a metric that is better when it is higher; write maximum instead",
            ".minimum",
        ),
        Rule(
            f"!has(self.maximum) || !has(self.metric) || self.metric in {sorted(LOWER_IS_BETTER)}",
            "is for a metric that is better when it is lower; write minimum instead",
            ".maximum",
        ),
    )

    metric: MetricName | None = None
    """What decides. Absent: what the objective is about; the plan states it."""
    minimum: Annotated[DecimalString, Within('is not a share, at most 1; for 90 % write "0.9"', at_most=1)] | None = (
        None
    )
    """For metrics that grow with quality."""
    maximum: Annotated[DecimalString, Within('is too large; write for example "2.5"', at_most=1e300)] | None = None
    """For loss and perplexity. With neither, the metric has to become better than the base model's."""
    must_not_regress: Annotated[tuple[MetricName, ...], Field(max_length=16)] = ()
    """What must not become worse than the base model's."""

    @model_validator(mode="after")
    def _direction(self) -> Self:
        refuse(self._wrong_bounds())
        return self

    def _wrong_bounds(self) -> Iterator[Contradiction]:
        if self.metric is not None:
            yield from self.wrong_bounds(self.metric)

    def wrong_bounds(self, metric: str) -> Iterator[Contradiction]:
        """Bounds that are the wrong way round for the metric that decides."""
        lower = metric in LOWER_IS_BETTER
        if lower and self.minimum is not None:
            yield Contradiction(("minimum",), f"{metric} is better when it is lower; write maximum instead")
        if not lower and self.maximum is not None:
            yield Contradiction(("maximum",), f"{metric} is better when it is higher; write minimum instead")


class Restarts(ApiModel):
    """What happens to a job whose pods end before it is done, in a cluster."""

    limit: Annotated[int, Field(ge=0, le=10)] = 3
    """How often it is started again from its last checkpoint; causes that a person has to mend aren't tried again."""


_ADAPTER_UNTOUCHED: Final = " && ".join(
    f"self.adapter.{name} == {json.dumps(default)}"
    for name, default in Adapter().model_dump(mode="json", by_alias=True).items()
)
"""Whether the adapter is as nobody has written it, in CEL."""

_ANSWER: Final = "self.dataset.contract.output.json"
"""The contract of answers, in CEL."""


def _of_all_metrics(says: str) -> str:
    """CEL for: that holds of every metric m that a job names."""
    one = "(has(self.acceptance.metric) ? [self.acceptance.metric] : [])"
    others = "(has(self.acceptance.mustNotRegress) ? self.acceptance.mustNotRegress : [])"
    return f"(!has(self.acceptance) || ({one} + {others}).all(m, {says}))"


_METRIC_WITHOUT_CONTRACT: Final = Rule(
    "has(self.dataset.contract.output) || "
    + _of_all_metrics(f"!m.startsWith('json-') && !m.startsWith('{FIELD_METRIC}')"),
    "a metric that it names needs dataset.contract.output.json; write it, or another metric",
    ".acceptance",
)

_METRIC_OF_NO_FIELD: Final = Rule(
    "!has(self.dataset.contract.output) || ("
    + _of_all_metrics(
        f"!m.startsWith('{FIELD_METRIC}')"
        f" || (has({_ANSWER}.required) && {_ANSWER}.required.exists(k, k == m.substring({len(FIELD_METRIC)})))"
        f" || (has({_ANSWER}.values) && m.substring({len(FIELD_METRIC)}) in {_ANSWER}.values)"
    )
    + ")",
    "a metric that it names is no field of dataset.contract.output.json; write one of its required or values",
    ".acceptance",
)


def _in(objectives: Iterable[Objective]) -> str:
    """CEL for: the objective is one of those."""
    return f"self.objective in {[o.value for o in objectives]}"


_METRIC_OF_OTHERS: Final = Rule(
    _of_all_metrics(
        " && ".join(f"(m != '{metric}' || {_in(able)})" for metric, able in JUDGED.items())
        + f" && (!({_in([Objective.REWARD])}) || m in {list(SCORED)})"
    ),
    "a metric that it names isn't measured with that objective; write another metric, or another objective",
    ".acceptance",
)

_BOUNDS_WITHOUT_METRIC: Final = (
    Rule(
        f"!has(self.acceptance) || has(self.acceptance.metric) || !has(self.acceptance.minimum) || {_in(DECIDES)}",
        "is for a metric that is better when it is higher; write maximum instead",
        ".acceptance.minimum",
    ),
    Rule(
        f"!has(self.acceptance) || has(self.acceptance.metric) || !has(self.acceptance.maximum) || !({_in(DECIDES)})",
        "is for a metric that is better when it is lower; write minimum instead",
        ".acceptance.maximum",
    ),
)

_UNMEASURED: Final = tuple(
    Rule(
        f"{_in(TRAINED)} || !has(self.training.{name})",
        "has no measure for that objective; remove it, or write objective: SFT",
        f".training.{name}",
    )
    for name in ("evaluate", "earlyStopping")
)

_METHOD_OF_PARENT: Final = Rule(
    "!has(self.model.adapter) || self.?method.orValue('Full') != 'Full'",
    "has to be that of model.adapter; write LoRA, QLoRA or DoRA",
    ".method",
)

_PACKED_OTHERS: Final = Rule(
    f"{_in([Objective.SFT])} || self.training.packing != '{Packing.BEST_FIT.value}'",
    "is for objective: SFT; write Auto or Never",
    ".training.packing",
)

_PREFERENCE_OF_OTHERS: Final = Rule(
    f"!has(self.preference) || {_in(WEIGHED)}",
    "is not used by that objective; remove it, or write objective: DPO",
    ".preference",
)

_WEIGHTS_OF_PAIRS: Final = Rule(
    f"!has(self.preference) || !({_in(UNWEIGHTED)})"
    " || (self.preference.desirableWeight == '1' && self.preference.undesirableWeight == '1')",
    "has weights, which that objective doesn't use; remove them, or write objective: KTO",
    ".preference",
)


Weight = Annotated[DecimalString, Within('is not above 0 and at most 1000; write "1"', above=0, at_most=1000)]
"""Of one part of a loss."""


class Preference(ApiModel):
    """What DPO, ORPO and KTO weigh by."""

    beta: Annotated[DecimalString, Within('is not above 0 and at most 100; write "0.1"', above=0, at_most=100)] = "0.1"
    """Of DPO and KTO how dearly leaving the reference is paid for; of ORPO the weight of the odds ratio."""
    desirable_weight: Weight = "1"
    """Of KTO: of the loss on wanted answers."""
    undesirable_weight: Weight = "1"
    """Likewise on the others."""


class FineTuneJobSpec(ApiModel):
    """Everything a user asks for."""

    model_config = ruled(
        Rule(
            "self.training.batchSize"
            " % (self.hardware.?nodes.orValue(1) * self.hardware.?devicesPerNode.orValue(1)) == 0",
            "can't be shared evenly by so many devices (hardware.nodes x hardware.devicesPerNode); write a multiple",
            ".training.batchSize",
        ),
        Rule(
            f"self.?method.orValue('') != 'Full' || ({_ADAPTER_UNTOUCHED})",
            "is not used by method: Full; remove it, or write method: LoRA",
            ".adapter",
        ),
        _METRIC_WITHOUT_CONTRACT,
        _METRIC_OF_NO_FIELD,
        _METRIC_OF_OTHERS,
        *_BOUNDS_WITHOUT_METRIC,
        _PREFERENCE_OF_OTHERS,
        _WEIGHTS_OF_PAIRS,
        *_UNMEASURED,
        _PACKED_OTHERS,
        _METHOD_OF_PARENT,
    )

    model: Model
    dataset: Dataset
    method: Method | None = None
    """Absent: every method is an option."""
    objective: Objective = Objective.SFT
    preference: Preference | None = None
    """For DPO, ORPO and KTO; absent: its defaults."""
    adapter: Adapter = Adapter()
    training: Training = Training()
    hardware: Hardware = Hardware()
    plan: PlanChoice = PlanChoice()
    acceptance: Acceptance = Acceptance()
    output: Output
    restarts: Restarts = Restarts()
    suspend: bool = False
    """In a cluster: true stops what runs, with a checkpoint, and starts nothing; false goes on."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """In a cluster: how long Jobs, pods and ConfigMaps of a finished job are kept; the job itself and its output stay.
    Absent: as long as the job is there."""
    pod_template: PodTemplate = PodTemplate()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse(
            (
                *self._uneven_batch(),
                *self._idle_adapter(),
                *self._idle_preference(),
                *self._unmeasured(),
                *self._packed_others(),
                *self._method_of_parent(),
                *self._unknown_metrics(),
            ),
        )
        return self

    @property
    def deciding_metric(self) -> str:
        """What held-out rows are judged by."""
        return self.acceptance.metric or DECIDES.get(self.objective, "loss")

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

    def _idle_preference(self) -> Iterator[Contradiction]:
        if self.preference is None:
            return
        if self.objective not in WEIGHED:
            yield Contradiction(
                ("preference",), f"is not used by objective: {self.objective}; remove it, or write objective: DPO"
            )
        weights = (self.preference.desirable_weight, self.preference.undesirable_weight)
        if self.objective in UNWEIGHTED and weights != ("1", "1"):
            yield Contradiction(
                ("preference",),
                f"has weights, which {self.objective} doesn't use; remove them, or write objective: KTO",
            )

    def _unmeasured(self) -> Iterator[Contradiction]:
        if self.objective in TRAINED:
            return
        for name, value in (("evaluate", self.training.evaluate), ("earlyStopping", self.training.early_stopping)):
            if value is not None:
                sentence = f"has no measure for objective: {self.objective.value}; remove it, or write objective: SFT"
                yield Contradiction(("training", name), sentence)

    def _method_of_parent(self) -> Iterator[Contradiction]:
        if self.model.adapter is not None and self.method in {None, Method.FULL}:
            yield Contradiction(("method",), "has to be that of model.adapter; write LoRA, QLoRA or DoRA")

    def _packed_others(self) -> Iterator[Contradiction]:
        if self.objective is not Objective.SFT and self.training.packing is Packing.BEST_FIT:
            yield Contradiction(("training", "packing"), "BestFit is for objective: SFT; write Auto or Never")

    def _unknown_metrics(self) -> Iterator[Contradiction]:
        if self.acceptance.metric is None:
            for place, message in self.acceptance.wrong_bounds(self.deciding_metric):
                yield Contradiction(("acceptance", *place), message)
        yield from self._unknown_metric(("acceptance", "metric"), self.deciding_metric)
        for index, metric in enumerate(self.acceptance.must_not_regress):
            yield from self._unknown_metric(("acceptance", "mustNotRegress", index), metric)

    def _unknown_metric(self, at: Place, metric: str) -> Iterator[Contradiction]:
        able = JUDGED.get(metric)
        if able is not None and self.objective not in able:
            yield Contradiction(
                at, f"{metric} isn't measured with objective: {self.objective}; it is with {', '.join(able)}"
            )
        elif able is None and self.objective is Objective.REWARD and metric not in SCORED:
            yield Contradiction(
                at,
                f"{metric} isn't measured with objective: Reward, which writes no answers; {' and '.join(SCORED)} are",
            )
            return
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
