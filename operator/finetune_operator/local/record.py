"""What a run leaves in its output folder so that the same job can go on with it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.spec import Accelerator
from finetune_operator.exceptions import InvalidManifestError, OutputConflictError
from finetune_operator.local.files import write_atomically
from finetune_operator.local.manifest import read_job
from finetune_operator.planner.plan import Plan
from finetune_operator.renderers.bundle import Bundle
from finetune_operator.renderers.repeat import CONFIG_FILE
from finetune_trainer.events import ResultEvent
from finetune_trainer.job_config import DEEPSPEED_FILE, JOB_FILE, RESULT_FILE, STATE_FOLDER

STATUS_FILE: Final = "status.yaml"
"""Beside the result: the job's status."""

MANIFEST: Final = "manifest.json"
"""The job that the folder belongs to; written last, so that a folder with it has everything."""

BUNDLE: Final = "bundle"
"""Folder of what was rendered; a resumed run uses it again, whatever memory is free then."""

Spec = dict[str, Any]
"""A job's spec in normal form: every default written, paths absolute, without plan and output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A run that was begun."""

    spec: Spec
    option: str
    hash: str
    """Of the bundle."""
    product: str | None
    """The GPU that the plan is for; None for a CPU."""
    devices: int
    bundle: Path
    """Folder with job.json."""
    result: ResultEvent | None
    """Set once the output is complete."""

    @property
    def job_file(self) -> Path:
        """What the launcher is given."""
        return self.bundle / JOB_FILE


def normalise(job: FineTuneJob, folder: Path) -> Spec:
    """The job's spec, so that the same job is equal whether defaults are written, and wherever its file lies.

    Notes:
        The option is kept beside it: naming the recorded one, or none, is the same job. Decimals are compared as they
        are written: "3.0" is not "3".
    """
    spec: Spec = job.spec.model_dump(mode="json", by_alias=True, exclude={"plan", "output"})
    source = spec["model"]["source"]
    data = spec["dataset"]
    train = (data["train"]["source"] or {}, *(data["train"]["sources"] or ()))
    for holder in (source, spec["model"]["adapter"] or {}, *train, data["evaluation"]["source"] or {}):
        for key in ("path", "gguf"):
            if holder.get(key) is not None:
                holder[key] = str((folder / holder[key]).resolve())
    return spec


def read_record(output: Path) -> Record | None:
    """The run that the folder belongs to; None where none was begun.

    Raises:
        OutputConflictError: what is noted there isn't what this version writes.
    """
    state = output / STATE_FOLDER
    if not (state / MANIFEST).is_file():
        return None
    try:
        kept = json.loads((state / MANIFEST).read_text(encoding="utf-8"))
        record = Record(bundle=state / BUNDLE, result=_read_result(state / RESULT_FILE), **kept)
        _check(record)
    except (OSError, KeyError, ValueError, TypeError, RecursionError) as e:
        raise OutputConflictError(
            f"spec.output.path: {output} holds a run of another version, or a damaged one; write another output.path, "
            "or remove that folder",
        ) from e
    return record


def _check(record: Record) -> None:
    if not isinstance(record.spec, dict):
        raise TypeError("the spec is no object")
    names = (JOB_FILE, DEEPSPEED_FILE, CONFIG_FILE)
    files = {name: (record.bundle / name).read_text(encoding="utf-8") for name in names}
    if Bundle(files=files).hash != record.hash:
        raise ValueError("the bundle isn't the one that was rendered")


def write_record(output: Path, spec: Spec, chosen: Plan, bundle: Bundle) -> Record:
    """Write the bundle, then the manifest: without the manifest nothing was begun."""
    state = output / STATE_FOLDER
    (state / BUNDLE).mkdir(parents=True, exist_ok=True)
    for name, text in bundle.files.items():
        write_atomically(state / BUNDLE / name, text)
    device = chosen.node_class.device
    kept: dict[str, Any] = {
        "spec": spec,
        "option": chosen.id,
        "hash": bundle.hash,
        "product": device.product if device.accelerator is Accelerator.GPU else None,
        "devices": chosen.devices_per_node,
    }
    write_atomically(state / MANIFEST, json.dumps(kept, indent=2, ensure_ascii=False) + "\n")
    return Record(**kept, bundle=state / BUNDLE, result=None)


def read_repeat(record: Record) -> FineTuneJob | None:
    """The job of the recorded finetune_config.yaml, which is the same job with everything explicit.

    None where it isn't there, or isn't a job of this version: then only the recorded spec counts.
    """
    try:
        return read_job(record.bundle / CONFIG_FILE)
    except InvalidManifestError:
        return None


def differences(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "spec") -> tuple[str, ...]:
    """Where two specs differ: "spec.training.seed: 42 there, 7 here"."""
    found: list[str] = []
    for key in sorted({*old, *new}):
        before, after, place = old.get(key), new.get(key), f"{path}.{key}"
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, place)
        elif before != after:
            found.append(f"{place}: {_shown(before)} there, {_shown(after)} here")
    return tuple(found)


def _shown(value: Any) -> str:
    return "absent" if value is None else json.dumps(value, ensure_ascii=False)


def _read_result(path: Path) -> ResultEvent | None:
    return ResultEvent.model_validate_json(path.read_bytes()) if path.is_file() else None
