"""What a cluster has to know of a job's pods beside their work."""

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import Field, StringConstraints, model_validator

from finetune_operator.api.base import ApiModel, Contradiction, Matching, refuse
from finetune_operator.api.rules import LIST_KEYS, LIST_TYPE, MAP_TYPE, Rule, literal, ruled
from finetune_operator.api.sources import ObjectName

LABEL_KEY: Final = r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
"""Pattern of the key of a label."""

LabelKey = Annotated[
    str,
    StringConstraints(max_length=317),
    Matching(
        LABEL_KEY,
        "is not the key of a label",
        "nvidia.com/gpu.product",
    ),
]
"""Key of a label or a taint."""

LabelValue = Annotated[
    str,
    StringConstraints(max_length=63),
    Matching(r"([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?", "is not the value of a label", "true"),
]
"""Value of a label or a taint; may be empty."""


class TolerationOperator(StrEnum):
    """How a toleration's key and value are compared with a taint's."""

    EQUAL = "Equal"
    EXISTS = "Exists"


class TaintEffect(StrEnum):
    """What a taint does to pods that don't tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(ApiModel):
    """A taint that pods may be placed in spite of; as in a Pod."""

    model_config = ruled(
        Rule(
            "!has(self.value) || (has(self.operator) ? self.operator : 'Equal') != 'Exists'",
            "is not compared by operator: Exists; remove it, or write Equal",
            ".value",
        ),
        Rule(
            "has(self.key) || (has(self.operator) ? self.operator : 'Equal') != 'Equal'",
            "compares a key and names none; write key, or operator: Exists",
        ),
    )

    key: LabelKey | None = None
    """Absent, with operator: Exists: every taint."""
    operator: TolerationOperator = TolerationOperator.EQUAL
    """Whether values are compared."""
    value: LabelValue | None = None
    """Of the taint; absent is the empty one."""
    effect: TaintEffect | None = None
    """Absent: all of them."""

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        if self.operator is TolerationOperator.EXISTS and self.value is not None:
            refuse([Contradiction(("value",), "is not compared by operator: Exists; remove it, or write Equal")])
        if self.operator is TolerationOperator.EQUAL and self.key is None:
            refuse([Contradiction((), "compares a key and names none; write key, or operator: Exists")])
        return self


NodeSelector = Annotated[
    dict[LabelKey, LabelValue],
    Field(max_length=16, json_schema_extra={MAP_TYPE: "atomic"}),
    Rule(
        f"self.all(k, k.matches({literal(LABEL_KEY)}))",
        "has a key that is not the key of a label; write for example nvidia.com/gpu.product",
    ),
]
"""Labels that a node must have."""


class ImagePullSecret(ApiModel):
    """A Secret in the job's namespace that images are pulled with."""

    name: ObjectName
    """Name of the Secret."""


class PodTemplate(ApiModel):
    """What all of a job's pods have, in a cluster."""

    service_account_name: ObjectName | None = None
    """Absent: default. Its token isn't mounted."""
    priority_class_name: ObjectName | None = None
    """Of the pods; decides which of them go first."""
    image_pull_secrets: Annotated[
        tuple[ImagePullSecret, ...],
        Field(max_length=16, json_schema_extra={LIST_TYPE: "map", LIST_KEYS: ["name"]}),
    ] = ()
    """What images are pulled with."""
