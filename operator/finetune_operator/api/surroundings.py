"""What a spec asks for that only a cluster has, and what only the machine of `finetune run` has."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from finetune_operator.api.base import Contradiction, Place
from finetune_operator.api.sources import (
    ADAPTER_IN_CLUSTER,
    DATA_IN_CLUSTER,
    MODEL_IN_CLUSTER,
    OUTPUT_IN_CLUSTER,
    AdapterSource,
    DataSource,
    ModelSource,
    Output,
)
from finetune_operator.api.spec import TRAINED, FineTuneJobSpec, Restarts

MODEL: Final = ("model", "source")
"""Place of the base model's source in a spec."""

ADAPTER: Final = ("model", "adapter")
"""Place of the adapter to go on from."""

OUTPUT: Final = ("output",)
"""Place of the output in a spec."""

_CLUSTER_ALONE: Final = "is in a cluster, and finetune run is not; "


class PlacedData(NamedTuple):
    """Rows, and where in a spec they are named."""

    at: Place
    source: DataSource


def placed_data(spec: FineTuneJobSpec) -> Iterator[PlacedData]:
    """All of a job's sources of rows: training rows in their order, then held-out rows."""
    train, held = spec.dataset.train, spec.dataset.evaluation.source
    if train.source is not None:
        yield PlacedData(("dataset", "train", "source"), train.source)
    for index, source in enumerate(train.sources or ()):
        yield PlacedData(("dataset", "train", "sources", index), source)
    if held is not None:
        yield PlacedData(("dataset", "evaluation", "source"), held)


def untrained(spec: FineTuneJobSpec) -> Iterator[Contradiction]:
    """An objective that the planner sizes and the trainer hasn't got."""
    if spec.objective not in TRAINED:
        sentence = (
            f"{spec.objective.value} can be planned, and isn't trained in this version; write one of "
            f"{', '.join(TRAINED)}, or look at finetune plan"
        )
        yield Contradiction(("objective",), sentence)


def refused_in_cluster(spec: FineTuneJobSpec) -> tuple[Contradiction, ...]:
    """What a cluster can't do; places are below spec. The CRD says the same of sources: it may be written past."""
    return (
        *_given(spec.model.source, MODEL, ("path", "gguf"), MODEL_IN_CLUSTER),
        *_adapter_given(spec, ("path",), ADAPTER_IN_CLUSTER),
        *(found for p in placed_data(spec) for found in _given(p.source, p.at, ("path",), DATA_IN_CLUSTER)),
        *_given(spec.output, OUTPUT, ("path",), OUTPUT_IN_CLUSTER),
        *untrained(spec),
    )


def refused_here(spec: FineTuneJobSpec) -> tuple[Contradiction, ...]:
    """What `finetune run` and a plan for this machine can't do; places are below spec."""
    return (*refused_elsewhere(spec), *_settings_here(spec))


def refused_elsewhere(spec: FineTuneJobSpec) -> tuple[Contradiction, ...]:
    """What a plan for other hardware can't do: model and data are read on this machine; places are below spec."""
    data = _CLUSTER_ALONE + "write path with a file of this machine, or hub"
    return (
        *_model_here(spec.model.source),
        *_adapter_given(spec, ("volume", "image"), _CLUSTER_ALONE + "write path or hub"),
        *(found for p in placed_data(spec) for found in _given(p.source, p.at, _DATA_OF_CLUSTER, data)),
        *_secrets_here(spec),
        *_given(spec.output, OUTPUT, ("volume",), _CLUSTER_ALONE + "write path with a folder of this machine"),
    )


_DATA_OF_CLUSTER: Final = ("volume", "config_map", "image")


def _given(
    model: ModelSource | AdapterSource | DataSource | Output, at: Place, names: tuple[str, ...], sentence: str
) -> Iterator[Contradiction]:
    for name in names:
        if getattr(model, name) is not None:
            yield Contradiction((*at, _alias(model, name)), sentence)


def _alias(model: ModelSource | AdapterSource | DataSource | Output, name: str) -> str:
    return type(model).model_fields[name].alias or name


def _model_here(source: ModelSource) -> Iterator[Contradiction]:
    yield from _given(source, MODEL, ("volume", "image"), _CLUSTER_ALONE + "write path, gguf or hub")


def _adapter_given(spec: FineTuneJobSpec, names: tuple[str, ...], sentence: str) -> Iterator[Contradiction]:
    if spec.model.adapter is not None:
        yield from _given(spec.model.adapter, ADAPTER, names, sentence)


def _secrets_here(spec: FineTuneJobSpec) -> Iterator[Contradiction]:
    adapter = spec.model.adapter
    hubs = (
        (MODEL, spec.model.source.hub),
        (ADAPTER, adapter.hub if adapter is not None else None),
        *((p.at, p.source.hub) for p in placed_data(spec)),
    )
    for at, hub in hubs:
        if hub is not None and hub.token_secret_ref is not None:
            sentence = "names a Secret of a cluster; remove it, and log in with `hf auth login`"
            yield Contradiction((*at, "hub", "tokenSecretRef"), sentence)


def _settings_here(spec: FineTuneJobSpec) -> Iterator[Contradiction]:
    found: tuple[tuple[Place, bool, str], ...] = (
        (("hardware", "nodeSelector"), bool(spec.hardware.node_selector), "chooses nodes of a cluster; remove it"),
        (("hardware", "tolerations"), bool(spec.hardware.tolerations), "are for nodes of a cluster; remove them"),
        (
            ("restarts",),
            spec.restarts != Restarts(),
            "is for pods; remove it, and run the same command again",
        ),
        (("suspend",), spec.suspend, "stops a job in a cluster; remove it, and stop finetune run with Ctrl-C"),
        (("ttlSecondsAfterFinished",), spec.ttl_seconds_after_finished is not None, "cleans up a cluster; remove it"),
        (("podTemplate",), bool(spec.pod_template.model_dump(exclude_defaults=True)), "is for pods; remove it"),
    )
    for at, given, sentence in found:
        if given:
            yield Contradiction(at, sentence)
