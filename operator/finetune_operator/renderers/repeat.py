"""finetune_config.yaml: the manifest with nothing left to choose, so that it repeats the run."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.sources import DataSource, ModelSource, Output
from finetune_operator.api.spec import (
    WEIGHED,
    Adapter,
    Dataset,
    FineTuneJobSpec,
    Hardware,
    Method,
    PlanChoice,
    PrecisionChoice,
    Preference,
    TrainData,
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


class _Dumper(yaml.SafeDumper):
    """Quotes what another reader could take for a number: to PyYAML 2e-4 is text, to Kubernetes' reader a float."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if _NUMBER.fullmatch(value) else None)


_Dumper.add_representer(str, _text)


def render_repeat(job: FineTuneJob, plan: Plan, places: Places) -> str:
    """The job as YAML with every default, the chosen option, and what was decided for it."""
    decided = job.model_copy(update={"spec": _decided(job.spec, plan, places)})
    manifest: dict[str, Any] = decided.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=_OF_A_CLUSTER)
    manifest["metadata"] = {name: value for name, value in manifest["metadata"].items() if value}
    return _HEAD + yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _decided(spec: FineTuneJobSpec, plan: Plan, places: Places) -> FineTuneJobSpec:
    training = {"learning_rate": plan.learning_rate, "precision": PrecisionChoice(plan.precision.value)}
    return spec.model_copy(
        update={
            "model": spec.model.model_copy(update={"source": _model_source(spec.model.source, places)}),
            "dataset": _dataset(spec.dataset, places),
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
            ),
            "plan": PlanChoice(option=plan.id),
            "output": Output(path=places.output),
        },
    )


def _model_source(source: ModelSource, places: Places) -> ModelSource:
    if source.hub is None:
        name = "path" if source.path is not None else "gguf"
        return source.model_copy(update={name: places.model_source})
    revision = places.model_revision or source.hub.revision
    return source.model_copy(update={"hub": source.hub.model_copy(update={"revision": revision})})


def _sources(train: TrainData, paths: Sequence[str]) -> dict[str, Any]:
    if train.sources is None:
        return {"source": DataSource(path=paths[0])}
    pairs = zip(train.sources, paths, strict=True)
    return {"sources": tuple(source.model_copy(update={"path": path}) for source, path in pairs)}


def _dataset(data: Dataset, places: Places) -> Dataset:
    train = data.train.model_copy(update=_sources(data.train, places.train))
    if places.evaluation is None:
        return data.model_copy(update={"train": train})
    evaluation = data.evaluation.model_copy(update={"source": DataSource(path=places.evaluation)})
    return data.model_copy(update={"train": train, "evaluation": evaluation})
