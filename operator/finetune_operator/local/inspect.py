"""Facts of model and data, read by the trainer's own code in a child process."""

import json
from dataclasses import dataclass
from pathlib import Path

from finetune_operator.api.spec import FineTuneJobSpec
from finetune_operator.exceptions import ModelUnreadableError
from finetune_operator.lifecycle.facts import facts_of
from finetune_operator.local.children import converse, module_command
from finetune_operator.local.estimate import estimate_dataset
from finetune_operator.local.model_store import CatalogueModel, ModelFolder
from finetune_operator.planner.facts import Facts, ModelFacts
from finetune_operator.renderers.trainer_config import render_data
from finetune_operator.units import Bytes
from finetune_trainer.events import Event, InspectionFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What is known of model and data."""

    facts: Facts
    model: str
    """What the user wrote."""
    inspection: InspectionFacts | None
    """As the trainer read it; None where lengths are estimated from characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFiles:
    """Where the rows are."""

    train: tuple[Path, ...]
    """In the order of the job's sources."""
    evaluation: Path | None


def data_files(spec: FineTuneJobSpec, folder: Path) -> DataFiles:
    """The job's data files as absolute paths."""
    held = spec.dataset.evaluation.source
    return DataFiles(
        train=tuple((folder / source.here).resolve() for source in spec.dataset.train.files),
        evaluation=(folder / held.here).resolve() if held is not None else None,
    )


def inspect(spec: FineTuneJobSpec, folder: Path, model: ModelFolder | CatalogueModel) -> Inspected:
    """Read the job's data, with the model's tokenizer where there is one.

    Raises:
        ModelUnreadableError: the model can't be used.
        DatasetInvalidError: the data can't be used.
    """
    files = data_files(spec, folder)
    if isinstance(model, CatalogueModel):
        return _estimated(spec, files, model)
    return _read(spec, files, model)


def _read(spec: FineTuneJobSpec, files: DataFiles, model: ModelFolder) -> Inspected:
    data = render_data(spec, [*map(str, files.train)], str(files.evaluation) if files.evaluation else None)
    request = {"model_path": str(model.path), "weights": model.weights, "data": data.model_dump(mode="json")}
    found: list[InspectionFacts] = []

    def keep(event: Event) -> None:
        if isinstance(event, InspectionFacts):
            found.append(event)

    converse(module_command("finetune_trainer.inspection"), json.dumps(request), keep)
    if not found:
        raise ModelUnreadableError(f"{model.path}: the inspection ended without an answer")
    return Inspected(facts=facts_of(found[0]), model=model.description, inspection=found[0])


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
    return Inspected(facts=facts, model=model.description, inspection=None)
