"""The whole object, and the rules for its name."""

import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from finetune_operator.api.base import ApiModel, refusal
from finetune_operator.api.spec import FineTuneJobSpec
from finetune_operator.constants import MAX_NAME_LENGTH

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def _dns_label(name: str) -> str:
    if len(name) > MAX_NAME_LENGTH:
        raise refusal(f"{name} has {len(name)} characters; write at most {MAX_NAME_LENGTH}")
    if _LABEL.fullmatch(name) is None:
        near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "my-job"
        raise refusal(f'"{name}" is not made of a-z, 0-9 and - between them; write for example {near}')
    return name


class Metadata(ApiModel):
    """The part of metadata that a job file may carry."""

    name: Annotated[str, AfterValidator(_dns_label)]
    namespace: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which object of a cluster it is."""

    name: str
    namespace: str
    uid: str
    generation: int


class FineTuneJob(ApiModel):
    """A fine-tuning job."""

    api_version: Literal["finetune-operator.dev/v1alpha1"]
    kind: Literal["FineTuneJob"]
    metadata: Metadata
    spec: FineTuneJobSpec
