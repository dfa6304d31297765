"""Facts of model and data, read by the trainer's own code in a child process."""

import json
from dataclasses import dataclass
from pathlib import Path

from finetune_operator.api.sources import DataSource
from finetune_operator.api.spec import FineTuneJobSpec
from finetune_operator.exceptions import ModelUnreadableError
from finetune_operator.lifecycle.facts import facts_of
from finetune_operator.local.children import Notify, converse, module_command
from finetune_operator.local.estimate import estimate_dataset
from finetune_operator.local.model_store import CatalogueModel, ModelFolder
from finetune_operator.planner.facts import Facts, ModelFacts
from finetune_operator.renderers.trainer_config import render_asked_parent, render_data
from finetune_operator.units import Bytes
from finetune_trainer.events import Event, InspectionFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFiles:
    """Where the rows are."""

    train: tuple[Path, ...]
    """In the order of the job's sources."""
    evaluation: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What is known of model and data."""

    facts: Facts
    model: str
    """What the user wrote."""
    inspection: InspectionFacts | None
    """As the trainer read it; None where lengths are estimated from characters."""
    files: DataFiles
    adapter: Path | None
    """Folder of the adapter to go on from."""


def data_files(spec: FineTuneJobSpec, folder: Path, notify: Notify) -> DataFiles:
    """The job's data files as absolute paths; what is on the hub is fetched.

    Raises:
        DatasetInvalidError: the hub can't be reached, or doesn't have them for us.
    """
    held = spec.dataset.evaluation.source
    return DataFiles(
        train=tuple(_rows(source, folder, notify) for source in spec.dataset.train.files),
        evaluation=_rows(held, folder, notify) if held is not None else None,
    )


def _rows(source: DataSource, folder: Path, notify: Notify) -> Path:
    if source.hub is None:
        return (folder / source.here).resolve()
    from finetune_operator.local.hub_files import fetch_rows

    return fetch_rows(source.hub, notify)


def adapter_folder(spec: FineTuneJobSpec, folder: Path, notify: Notify) -> Path | None:
    """The adapter to go on from; None where there is none.

    Raises:
        ModelUnreadableError: the hub can't be reached, or doesn't have it for us.
    """
    source = spec.model.adapter
    if source is None:
        return None
    if source.hub is None:
        return (folder / str(source.path)).resolve()
    from finetune_operator.local.hub_files import fetch_adapter

    return fetch_adapter(source.hub, notify)


def inspect(spec: FineTuneJobSpec, folder: Path, model: ModelFolder | CatalogueModel, notify: Notify) -> Inspected:
    """Read the job's data, with the model's tokenizer where there is one.

    Raises:
        ModelUnreadableError: the model can't be used.
        DatasetInvalidError: the data can't be used.
    """
    files, adapter = data_files(spec, folder, notify), adapter_folder(spec, folder, notify)
    if isinstance(model, CatalogueModel):
        return _estimated(spec, files, model)
    return _read(spec, files, model, adapter)


def _read(spec: FineTuneJobSpec, files: DataFiles, model: ModelFolder, adapter: Path | None) -> Inspected:
    data = render_data(spec, [*map(str, files.train)], str(files.evaluation) if files.evaluation else None)
    request = {
        "model_path": str(model.path),
        "weights": model.weights,
        "data": data.model_dump(mode="json"),
        "parent": render_asked_parent(spec, str(adapter) if adapter is not None else None),
    }
    found: list[InspectionFacts] = []

    def keep(event: Event) -> None:
        if isinstance(event, InspectionFacts):
            found.append(event)

    converse(module_command("finetune_trainer.inspection"), json.dumps(request), keep)
    if not found:
        raise ModelUnreadableError(f"{model.path}: the inspection ended without an answer")
    return Inspected(
        facts=facts_of(found[0]), model=model.description, inspection=found[0], files=files, adapter=adapter
    )


def _estimated(spec: FineTuneJobSpec, files: DataFiles, model: CatalogueModel) -> Inspected:
    fraction = spec.dataset.evaluation.fraction
    share = float(fraction) if fraction is not None else None
    dataset = estimate_dataset(
        [(path, float(s.weight)) for path, s in zip(files.train, spec.dataset.train.files, strict=True)],
        files.evaluation,
        share,
        spec.dataset.max_length,
    )
    facts = Facts(model=ModelFacts(config=model.config, weight_bytes=Bytes(0)), dataset=dataset)
    return Inspected(facts=facts, model=model.description, inspection=None, files=files, adapter=None)
