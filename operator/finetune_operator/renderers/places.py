"""Where a job's model, rows and output are in its pods: which volumes are mounted, and the paths below them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.sources import AdapterSource, DataSource, HubSource, ImageSource, ModelSource, VolumeSource
from finetune_operator.api.spec import FineTuneJobSpec
from finetune_operator.api.surroundings import placed_data
from finetune_operator.renderers.trainer_config import Places
from finetune_trainer.job_config import ShownConfig

ROOT: Final = "/finetune"
"""Above everything of ours in a pod."""

CONFIG: Final = f"{ROOT}/config"
"""The run's ConfigMap."""

WORK: Final = f"{ROOT}/work"
"""Of a node's disk and gone with the pod: what is fetched, caches, HOME."""

FETCHED: Final = f"{WORK}/model"
"""A model from the hub."""

FETCHED_ADAPTER: Final = f"{WORK}/adapter"
"""An adapter from the hub."""


@dataclass(frozen=True, slots=True)
class Mounts:
    """Volumes of a pod's spec and where they are mounted."""

    volumes: list[dict[str, Any]] = field(default_factory=list)
    mounts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Fetch:
    """Something from the hub that a pod gets before it begins."""

    container: str
    """Name of the container that does it."""
    source: HubSource
    folder: str
    options: tuple[str, ...] = ()
    """Of `finetune_trainer.fetch`."""


def fetches(spec: FineTuneJobSpec, commit: str = "", *, weights: bool) -> tuple[Fetch, ...]:
    """All that a pod gets from the hub: model, adapter and rows.

    Args:
        spec: of the job.
        commit: of the model; empty for what the job names.
        weights: False for as little of the model as a plan needs.
    """
    found = []
    model = spec.model.source.hub
    if model is not None:
        pinned = model.model_copy(update={"revision": commit or model.revision})
        found.append(Fetch("fetch", pinned, FETCHED, () if weights else ("--without-weights",)))
    if spec.model.adapter is not None and spec.model.adapter.hub is not None:
        found.append(Fetch("fetch-adapter", spec.model.adapter.hub, FETCHED_ADAPTER, ("--adapter",)))
    for number, placed in enumerate(placed_data(spec)):
        hub = placed.source.hub
        if hub is not None:
            found.append(Fetch(f"fetch-rows-{number}", hub, _fetched_rows(number), ("--rows", hub.path)))
    return tuple(found)


def _fetched_rows(number: int) -> str:
    return f"{WORK}/rows-{number}"


@dataclass(slots=True)
class _Layout:
    """Each claim, image and ConfigMap is mounted once, however many files of it are used."""

    output_claim: str | None
    at: dict[tuple[str, str], str] = field(default_factory=dict)
    found: Mounts = field(default_factory=Mounts)

    def volume(self, source: VolumeSource) -> str:
        name = source.claim_name
        read_only = name != self.output_claim
        claim = {"persistentVolumeClaim": {"claimName": name}}
        return _joined(self._mount("claim", name, claim, read_only=read_only), source.path)

    def image(self, source: ImageSource) -> str:
        volume = {"image": {"reference": source.reference, "pullPolicy": "IfNotPresent"}}
        return _joined(self._mount("image", source.reference, volume, read_only=True), source.path)

    def rows(self, source: DataSource, number: int) -> str:
        if source.hub is not None:
            return _fetched_rows(number)
        if source.volume is not None:
            return self.volume(source.volume)
        if source.image is not None:
            return self.image(source.image)
        if source.config_map is None:
            raise ValueError("a cluster has no local files; refused_in_cluster tells a person before")
        found = source.config_map
        volume = {"configMap": {"name": found.name}}
        return f"{self._mount('rows', found.name, volume, read_only=True)}/{found.key}"

    def _mount(self, kind: str, name: str, volume: Mapping[str, Any], *, read_only: bool) -> str:
        path = self.at.get((kind, name))
        if path is None:
            label = f"{kind}-{len(self.at)}"
            path = self.at[kind, name] = f"{ROOT}/{label}"
            self.found.volumes.append({"name": label, **volume})
            self.found.mounts.append({"name": label, "mountPath": path, "readOnly": read_only})
        return path


@dataclass(frozen=True, slots=True, kw_only=True)
class InPod:
    """A job's places and what has to be mounted for them."""

    places: Places
    mounts: Mounts


def in_pod(job: FineTuneJob, commit: str | None = None, *, with_output: bool = True) -> InPod:
    """Where everything is.

    Args:
        job: with sources and output of a cluster.
        commit: of a model from the hub, where that is known.
        with_output: False where nothing is written: an inspection reads all of it, also a claim that is the output's.
    """
    spec = job.spec
    if spec.output.volume is None:
        raise ValueError("an output in a cluster is on a volume; refused_in_cluster tells a person before")
    layout = _Layout(output_claim=spec.output.volume.claim_name if with_output else None)
    model, description = _model(job, layout)
    rows = {placed.at: layout.rows(placed.source, number) for number, placed in enumerate(placed_data(spec))}
    places = Places(
        model=model,
        model_description=description,
        model_source=None if spec.model.source.hub is not None else model,
        model_revision=commit,
        adapter=_adapter(spec.model.adapter, layout),
        train=tuple(path for at, path in rows.items() if at[1] == "train"),
        evaluation=next((path for at, path in rows.items() if at[1] == "evaluation"), None),
        output=layout.volume(spec.output.volume) if with_output else f"{WORK}/out",
        shown=_shown(spec.model.source, spec.output.volume, commit),
    )
    return InPod(places=places, mounts=layout.found)


def _model(job: FineTuneJob, layout: _Layout) -> tuple[str, str]:
    """Folder, and what the user wrote."""
    source = job.spec.model.source
    if source.hub is not None:
        return FETCHED, f"{source.hub.repo}@{source.hub.revision}"
    if source.volume is not None:
        return layout.volume(source.volume), f"{source.volume.path} on {source.volume.claim_name}"
    if source.image is not None:
        return layout.image(source.image), f"{source.image.path} in {source.image.reference}"
    raise ValueError("a cluster has no local model; refused_in_cluster tells a person before")


def _shown(source: ModelSource, output: VolumeSource, commit: str | None) -> ShownConfig:
    result = _on_volume(output.path)
    where = f"{json.dumps(result)} is on the volume of claim {output.claim_name}"
    if source.hub is not None:
        return ShownConfig(model=source.hub.repo, revision=commit or source.hub.revision, output=result, where=where)
    if source.volume is not None:
        path, place = source.volume.path, f"on that of {source.volume.claim_name}"
    elif source.image is not None:
        path, place = source.image.path, f"in image {source.image.reference}"
    else:
        raise ValueError("a cluster has no local model; refused_in_cluster tells a person before")
    model = _on_volume(path)
    return ShownConfig(model=model, revision=None, output=result, where=f"{where}, {json.dumps(model)} {place}")


def _adapter(source: AdapterSource | None, layout: _Layout) -> str | None:
    if source is None:
        return None
    if source.volume is not None:
        return layout.volume(source.volume)
    return layout.image(source.image) if source.image is not None else FETCHED_ADAPTER


def _joined(root: str, path: str) -> str:
    return "/".join([root, *_parts(path)])


def _on_volume(path: str) -> str:
    return "/".join(_parts(path)) or "."


def _parts(path: str) -> list[str]:
    return [p for p in path.split("/") if p not in {"", "."}]
