"""finetune_config.yaml: the manifest with nothing left to choose, so that it repeats the run."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.sources import AdapterSource, DataSource, ModelSource, Output
from finetune_operator.api.spec import (
    WEIGHED,
    Adapter,
    Dataset,
    FineTuneJobSpec,
    Hardware,
    Method,
    Model,
    PlanChoice,
    PrecisionChoice,
    Preference,
    TrainData,
    WeightedSource,
)
from finetune_operator.planner.plan import Plan
from finetune_operator.renderers.trainer_config import Places

CONFIG_FILE: Final = "finetune_config.yaml"
"""Beside the result."""

_HEAD: Final = """\
# Repeats this run: finetune run finetune_config.yaml, after writing another output.path.
# Every default is written out; paths are absolute. Micro-batch and accumulation are solved again for the memory that is
# free then: bundle/job.json in .finetune has those of this run.
"""

_CLUSTER_HEAD: Final = """\
# Repeats this run: kubectl apply -f finetune_config.yaml, after writing another metadata.name and output.volume.path.
# Every default is written out. Micro-batch and accumulation are solved again for the memory that is free then.
"""

_NUMBER: Final = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?", re.IGNORECASE)
"""What some YAML reader could take for a number."""


_OF_A_CLUSTER: Final[Mapping[str, Any]] = {
    "spec": {
        "suspend": True,
        "restarts": True,
        "ttl_seconds_after_finished": True,
        "pod_template": True,
        "hardware": {"node_selector", "tolerations"},
    }
}
"""What `finetune run` refuses, since it has no cluster."""


_QUICK: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""The same text, several times as quickly, where PyYAML was built with libyaml."""


class _Dumper(_QUICK):  # type: ignore[misc]
    """Quotes what another reader could take for a number: to PyYAML 2e-4 is text, to Kubernetes' reader a float."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if _NUMBER.fullmatch(value) else None)


_Dumper.add_representer(str, _text)


def render_repeat(job: FineTuneJob, plan: Plan, places: Places) -> str:
    """The job as YAML with every default, the chosen option, and what was decided for it."""
    there = job.spec.output.volume is not None
    decided = _decided(job.spec, plan, places.model_revision)
    spec = decided if there else _here(decided, places)
    # a run that is held isn't repeated
    left_out = {"spec": {"suspend": True}} if there else _OF_A_CLUSTER
    manifest: dict[str, Any] = job.model_copy(update={"spec": spec}).model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude=left_out
    )
    manifest["metadata"] = {name: value for name, value in manifest["metadata"].items() if value}
    return (_CLUSTER_HEAD if there else _HEAD) + yaml.dump(
        manifest, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120
    )


def _decided(spec: FineTuneJobSpec, plan: Plan, revision: str | None) -> FineTuneJobSpec:
    training = {"learning_rate": plan.learning_rate, "precision": PrecisionChoice(plan.precision.value)}
    return spec.model_copy(
        update={
            "model": spec.model.model_copy(update={"source": _pinned(spec.model.source, revision)}),
            "method": plan.method,
            # one that was meant for the other options: the spec refuses it beside method: Full
            "adapter": Adapter() if plan.method is Method.FULL else spec.adapter,
            "preference": (spec.preference or Preference()) if spec.objective in WEIGHED else None,
            "acceptance": spec.acceptance.model_copy(update={"metric": spec.deciding_metric}),
            "training": spec.training.model_copy(update=training),
            "hardware": Hardware(
                accelerator=plan.node_class.device.accelerator,
                devices_per_node=plan.devices_per_node,
                nodes=plan.nodes,
                node_selector=spec.hardware.node_selector,
                tolerations=spec.hardware.tolerations,
                memory_margin=spec.hardware.memory_margin,
            ),
            "plan": PlanChoice(option=plan.id),
        },
    )


def _here(spec: FineTuneJobSpec, places: Places) -> FineTuneJobSpec:
    """The same with the places of this machine, wherever it is repeated from."""
    return spec.model_copy(
        update={
            "model": Model(
                source=_model_source(spec.model.source, places), adapter=_adapter_source(spec.model.adapter, places)
            ),
            "dataset": _dataset(spec.dataset, places),
            "output": Output(path=places.output),
        },
    )


def _pinned(source: ModelSource, revision: str | None) -> ModelSource:
    """A branch moves; the commit that was used doesn't."""
    if source.hub is None or revision is None:
        return source
    return source.model_copy(update={"hub": source.hub.model_copy(update={"revision": revision})})


def _model_source(source: ModelSource, places: Places) -> ModelSource:
    if source.hub is not None:
        return source
    name = "path" if source.gguf is None else "gguf"
    return ModelSource.model_validate({name: places.model_source})


def _adapter_source(source: AdapterSource | None, places: Places) -> AdapterSource | None:
    # the hub's, by its revision; any other by its path here
    return source if source is None or source.hub is not None else AdapterSource(path=places.adapter)


def _row_source(source: DataSource, path: str) -> DataSource:
    return DataSource(hub=source.hub) if source.hub is not None else DataSource(path=path)


def _weighted(source: WeightedSource, path: str) -> WeightedSource:
    return WeightedSource(**dict(_row_source(source, path)), format=source.format, weight=source.weight)


def _sources(train: TrainData, paths: Sequence[str]) -> dict[str, Any]:
    if train.source is not None:
        return {"source": _row_source(train.source, paths[0])}
    return {"sources": tuple(_weighted(s, path) for s, path in zip(train.sources or (), paths, strict=True))}


def _dataset(data: Dataset, places: Places) -> Dataset:
    train = data.train.model_copy(update=_sources(data.train, places.train))
    held = data.evaluation.source
    if held is None or places.evaluation is None:
        return data.model_copy(update={"train": train})
    evaluation = data.evaluation.model_copy(update={"source": _row_source(held, places.evaluation)})
    return data.model_copy(update={"train": train, "evaluation": evaluation})
