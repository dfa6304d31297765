"""What a result was made of, run by run: base model, each run's data, and the adapters between them. No torch here."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from finetune_trainer.data.files import files_of
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.files import write_json
from finetune_trainer.job_config import JobConfig, Method, Objective, ParentConfig, StrictModel

LINEAGE_FILE: Final = "finetune_lineage.json"
"""Beside the result's weights."""

ADAPTER_FILE: Final = "adapter_model.safetensors"
"""PEFT's name for an adapter's tensors."""


class LineageRun(StrictModel):
    """One run of training."""

    name: str
    """Of the job."""
    objective: Objective
    method: Method
    began_from: str | None
    """sha256:… of the adapter that it went on from; None: a fresh one."""
    data: dict[str, str]
    """Training files by name, to sha256:…"""


class Lineage(StrictModel):
    """All that a result comes from."""

    version: int = 1
    base: str
    """What the user of the first run wrote as the base model."""
    base_digest: str
    """sha256:… of its weights' digests."""
    runs: tuple[LineageRun, ...]
    """In the order of training, the newest last."""


def lineage_of(job: JobConfig, checksums: Mapping[str, str]) -> Lineage:
    """Of this run's result: the parent's, where it is known, and this run."""
    parent = read_lineage(Path(job.parent.path)) if job.parent is not None else None
    began_from = checksums[str(Path(job.parent.path) / ADAPTER_FILE)] if job.parent is not None else None
    own = LineageRun(
        name=job.name,
        objective=job.objective,
        method=job.method,
        began_from=began_from,
        data={Path(p).name: checksums[p] for f in job.data.train for p in files_of(f.path)},
    )
    return Lineage(
        base=job.model.description,
        base_digest=base_digest(job, checksums),
        runs=(*(parent.runs if parent is not None else ()), own),
    )


def base_digest(job: JobConfig, checksums: Mapping[str, str]) -> str:
    """One digest of the base model's weights, wherever it lies."""
    root = Path(job.model.path)
    weights = sorted((p.name, d) for n, d in checksums.items() if (p := Path(n)).parent == root and _is_weight(p))
    text = "".join(f"{name}:{digest}\n" for name, digest in weights)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def read_lineage(folder: Path) -> Lineage | None:
    """Of an adapter; None where it has none, since others have made it.

    Raises:
        TrainerError: MODEL, the file isn't what a run leaves.
    """
    path = folder / LINEAGE_FILE
    if not path.is_file():
        return None
    try:
        return Lineage.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as e:
        raise TrainerError(ExitCode.MODEL, f"{path}: is damaged, or of another version; copy the adapter again") from e


def hold_base(parent: ParentConfig, job: JobConfig, checksums: Mapping[str, str]) -> str | None:
    """Hold the base model against the one that the adapter was trained on; a sentence where that isn't known.

    Raises:
        TrainerError: MODEL, it was another.
    """
    known = read_lineage(Path(parent.path))
    if known is None:
        return (
            f"{parent.description} doesn't say which base model it was trained on; it is taken to be "
            f"{job.model.description}"
        )
    if known.base_digest != base_digest(job, checksums):
        raise TrainerError(
            ExitCode.MODEL,
            f"model.adapter: {parent.description} was trained on {known.base}, and model.source is "
            f"{job.model.description}, with other weights; name that base model",
        )
    return None


def write_lineage(lineage: Lineage, folder: Path) -> None:
    """Put it beside the weights."""
    write_json(folder / LINEAGE_FILE, lineage.model_dump(mode="json"))


def _is_weight(path: Path) -> bool:
    return path.suffix == ".safetensors"
