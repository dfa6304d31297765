"""Where models and rows are and where results go: on this machine, on the hub, or in a cluster."""

from collections.abc import Iterator
from typing import Annotated, Final, Self

from pydantic import AfterValidator, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from finetune_operator.api.base import ApiModel, Contradiction, Matching, refusal, refuse
from finetune_operator.api.rules import MAP_TYPE, Rule, absent, one_of, ruled

MODEL_IN_CLUSTER: Final = "is read by finetune run on your machine alone; in a cluster write hub, volume or image"
"""After a model's local source."""

DATA_IN_CLUSTER: Final = (
    "is read by finetune run on your machine alone; in a cluster write hub, volume, configMap or image"
)
"""After a local source of rows."""

ADAPTER_IN_CLUSTER: Final = "is read by finetune run on your machine alone; in a cluster write hub, volume or image"
"""After a local adapter."""

OUTPUT_IN_CLUSTER: Final = "is written by finetune run on your machine alone; in a cluster write volume"
"""After a local output."""

MAX_PATH: Final = 1024
"""Characters of a path."""

MAX_PATH_PART: Final = 255
"""Bytes of one part of a path that file systems take at most."""


def _path(text: str) -> str:
    if "\0" in text or any(len(part.encode()) > MAX_PATH_PART for part in text.split("/")):
        raise refusal(f"is no path: a part of it is longer than {MAX_PATH_PART} bytes, or has a NUL in it")
    return text


def _below(text: str) -> str:
    if text.startswith("/") or ".." in text.split("/"):
        raise refusal(f'"{text}" leads out of it; write a path that begins at its root, such as models/smollm2')
    return text


Path = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PATH), AfterValidator(_path)]
"""A path on this machine."""

PathBelow = Annotated[
    Path,
    AfterValidator(_below),
    Rule(
        "!self.startsWith('/') && !self.split('/').exists(p, p == '..')",
        "leads out of it; write a path that begins at its root, such as models/smollm2",
    ),
]
"""A path below the root of a volume or an image, without .. in it; . is the root itself."""

ObjectName = Annotated[
    str,
    StringConstraints(max_length=253),
    Matching(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", "is not the name of an object", "models"),
]
"""Name of an object in the job's namespace."""

DataKey = Annotated[
    str,
    StringConstraints(max_length=253),
    Matching(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", "is not a key of a ConfigMap or Secret", "train.jsonl"),
]
"""Key of a ConfigMap or Secret; it is also the name of a file."""

RepoId = Annotated[
    str,
    StringConstraints(max_length=200),
    Matching(r"[\w.-]+/[\w.-]+", "is not owner/name of a repository", "HuggingFaceTB/SmolLM2-135M-Instruct"),
]
"""A repository on the hub."""

Revision = Annotated[
    str, StringConstraints(max_length=200), Matching(r"[\w./-]+", "is not a branch, tag or commit", "main")
]
"""A branch, tag or commit."""

ImageReference = Annotated[
    str,
    StringConstraints(max_length=512),
    Matching(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*", "is not the reference of an image", "registry.example/models/smollm2:1"),
]
"""An OCI image or artifact."""


def exactly_one(model: ApiModel, *names: str) -> Iterator[Contradiction]:
    """What is wrong where none or several of those fields are given."""
    given = [to_camel(n) for n in names if getattr(model, n) is not None]
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        yield Contradiction((), f"holds {found}; write exactly one of {', '.join(map(to_camel, names))}")


class SecretKeyRef(ApiModel):
    """One key of a Secret in the job's namespace; pods read it, the operator never does."""

    model_config = ruled(**{MAP_TYPE: "atomic"})

    name: ObjectName
    """Name of the Secret."""
    key: DataKey
    """Key of the token in it."""


class HubSource(ApiModel):
    """A repository on the Hugging Face hub."""

    repo: RepoId
    """owner/name."""
    revision: Revision = "main"
    """Branch, tag or commit; a commit makes the run repeatable."""
    token_secret_ref: SecretKeyRef | None = None
    """In a cluster: the token for a private or gated repository. `finetune run` takes the login of the machine."""


class HubRows(HubSource):
    """Files of rows in a data set of the Hugging Face hub; nothing of it is run."""

    path: PathBelow
    """A file in it, or a pattern with * for several of one format, such as data/train-*.parquet."""

    @property
    def written(self) -> str:
        """What the user wrote."""
        return f"{self.path} of {self.repo}@{self.revision}"


class VolumeSource(ApiModel):
    """A place on a volume that a PersistentVolumeClaim in the job's namespace stands for."""

    claim_name: ObjectName
    """Name of the PersistentVolumeClaim."""
    path: PathBelow
    """Below the root of the volume."""


class ConfigMapSource(ApiModel):
    """One key of a ConfigMap in the job's namespace, of at most 1 MiB."""

    name: ObjectName
    """Name of the ConfigMap."""
    key: DataKey
    """Key of the rows in it; its ending tells the kind of file."""


class ImageSource(ApiModel):
    """A place in an OCI image or artifact, mounted as a volume; Kubernetes 1.35 or newer."""

    reference: ImageReference
    """As a pod would name it; a digest makes the run repeatable."""
    path: PathBelow
    """Below the root of the image."""


class ModelSource(ApiModel):
    """Where the base model is; exactly one field. Paths are relative to the job file."""

    model_config = ruled(
        absent(("path", "gguf"), f"a path {MODEL_IN_CLUSTER}"),
        one_of(("hub", "volume", "image"), unless=("path", "gguf")),
    )

    path: Path | None = None
    """Of `finetune run` alone: a folder with config.json, safetensors and a tokenizer."""
    gguf: Path | None = None
    """Of `finetune run` alone: a GGUF file; unpacked once into bf16 safetensors."""
    hub: HubSource | None = None
    """A repository on the Hugging Face hub."""
    volume: VolumeSource | None = None
    """In a cluster: a folder with config.json, safetensors and a tokenizer."""
    image: ImageSource | None = None
    """In a cluster: such a folder in an image."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        refuse(exactly_one(self, "path", "gguf", "hub", "volume", "image"))
        return self


class AdapterSource(ApiModel):
    """Where an adapter is; exactly one field. A path is relative to the job file."""

    model_config = ruled(
        absent(("path",), f"a path {ADAPTER_IN_CLUSTER}"), one_of(("hub", "volume", "image"), unless=("path",))
    )

    path: Path | None = None
    """Of `finetune run` alone: a folder with adapter_config.json and adapter_model.safetensors."""
    hub: HubSource | None = None
    """A repository on the Hugging Face hub."""
    volume: VolumeSource | None = None
    """In a cluster: such a folder on a volume."""
    image: ImageSource | None = None
    """In a cluster: such a folder in an image."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        refuse(exactly_one(self, "path", "hub", "volume", "image"))
        return self

    @property
    def written(self) -> str:
        """What the user wrote, for sentences and the report."""
        if self.hub is not None:
            return f"{self.hub.repo}@{self.hub.revision}"
        if self.volume is not None:
            return f"{self.volume.path} on {self.volume.claim_name}"
        if self.image is not None:
            return f"{self.image.path} in {self.image.reference}"
        return str(self.path)


class DataSource(ApiModel):
    """Where rows are; exactly one field. A path is relative to the job file."""

    model_config = ruled(
        absent(("path",), f"a path {DATA_IN_CLUSTER}"),
        one_of(("hub", "volume", "configMap", "image"), unless=("path",)),
    )

    path: Path | None = None
    """Of `finetune run` alone: a file."""
    hub: HubRows | None = None
    """Files of a data set on the Hugging Face hub."""
    volume: VolumeSource | None = None
    """In a cluster: a file on a volume."""
    config_map: ConfigMapSource | None = None
    """In a cluster: a file in a ConfigMap."""
    image: ImageSource | None = None
    """In a cluster: a file in an image."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        refuse(exactly_one(self, "path", "hub", "volume", "config_map", "image"))
        return self

    @property
    def written(self) -> str:
        """What the user wrote, for sentences and the report."""
        if self.hub is not None:
            return self.hub.written
        if self.volume is not None:
            return f"{self.volume.path} on {self.volume.claim_name}"
        if self.config_map is not None:
            return f"{self.config_map.key} of {self.config_map.name}"
        if self.image is not None:
            return f"{self.image.path} in {self.image.reference}"
        return self.here

    @property
    def here(self) -> str:
        """The path on this machine.

        Raises:
            ValueError: it is in a cluster; `refused_here` tells a person before.
        """
        if self.path is None:
            raise ValueError("rows in a cluster have no path on this machine")
        return self.path


class Output(ApiModel):
    """Where the result goes; exactly one field. A path is relative to the job file."""

    model_config = ruled(
        absent(("path",), f"a path {OUTPUT_IN_CLUSTER}"),
        Rule("has(self.path) || has(self.volume)", "holds nothing; write volume with claimName and path"),
    )

    path: Path | None = None
    """Of `finetune run` alone: a folder."""
    volume: VolumeSource | None = None
    """In a cluster: a folder on a volume; on several nodes its claim has to be ReadWriteMany."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        refuse(exactly_one(self, "path", "volume"))
        return self

    @property
    def here(self) -> str:
        """The path on this machine.

        Raises:
            ValueError: it is in a cluster; `refused_here` tells a person before.
        """
        if self.path is None:
            raise ValueError("an output in a cluster has no path on this machine")
        return self.path
