"""The base model as a folder on this machine, wherever the job says it is."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from finetune_operator.api.sources import ModelSource
from finetune_operator.exceptions import ModelUnreadableError, StorageFullError
from finetune_operator.local.children import Notify, converse, module_command
from finetune_operator.planner.catalogue import find_config
from finetune_trainer.events import Event, PhaseEvent

CACHE: Final = "FINETUNE_CACHE"
"""Environment: folder for what is made once, such as unpacked models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """A model that can be read."""

    path: Path
    description: str
    """What the user wrote, for sentences and the report."""
    weights: bool = True
    """False: only the configuration and the tokenizer are there, enough for planning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueModel:
    """A model that is known, and can't be reached: enough for a plan, not for training."""

    config: Mapping[str, Any]
    description: str


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where models are unpacked: $FINETUNE_CACHE, else finetune in the user's cache folder."""
    if environment.get(CACHE):
        return Path(environment[CACHE])
    home = environment.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "finetune"


def describe(source: ModelSource) -> str:
    """What the user wrote as the model."""
    if source.hub is not None:
        return f"{source.hub.repo}@{source.hub.revision}"
    return str(source.path or source.gguf)


def model_for_training(source: ModelSource, folder: Path, notify: Notify) -> ModelFolder:
    """The model with its weights; downloaded or unpacked where it has to be.

    Args:
        source: as the job has it.
        folder: of the job file; relative paths start there.
        notify: told about what takes long.

    Raises:
        ModelUnreadableError: it isn't there, or can't be reached.
    """
    if source.hub is None:
        return _on_disk(source, folder, notify)
    from finetune_operator.local import hub

    path = hub.find_cached(source.hub) or hub.download(source.hub, notify)
    return ModelFolder(path=path, description=describe(source))


def model_for_planning(source: ModelSource, folder: Path, notify: Notify) -> ModelFolder | CatalogueModel:
    """The model, or as little of it as a plan needs: nothing big is downloaded.

    Raises:
        ModelUnreadableError: it isn't there, and the catalogue doesn't know it.
        StorageFullError: the hub's cache is on a full disk, and the catalogue doesn't know it.
    """
    if source.hub is None:
        return _on_disk(source, folder, notify)
    from finetune_operator.local import hub

    cached = hub.find_cached(source.hub)
    if cached is not None:
        return ModelFolder(path=cached, description=describe(source))
    try:
        small = hub.download_without_weights(source.hub)
    except (ModelUnreadableError, StorageFullError) as e:
        config = find_config(source.hub.repo)
        if config is None:
            raise
        notify(f"{e}; until then the plan is from the built-in catalogue")
        return CatalogueModel(config=config, description=describe(source))
    return ModelFolder(path=small, description=describe(source), weights=False)


def _on_disk(source: ModelSource, folder: Path, notify: Notify) -> ModelFolder:
    if source.gguf is not None:
        return ModelFolder(path=unpacked(folder / source.gguf, notify), description=source.gguf)
    path = folder / str(source.path)
    if not path.is_dir():
        what = "is a file" if path.exists() else "doesn't exist"
        raise ModelUnreadableError(
            f"spec.model.source.path: {path} {what}; write a folder with config.json, safetensors and tokenizer.json",
        )
    return ModelFolder(path=path.resolve(), description=str(source.path))


def unpacked(gguf: Path, notify: Notify, cache: Path | None = None) -> Path:
    """The folder of safetensors that a GGUF file was unpacked into, made at the first call.

    Raises:
        ModelUnreadableError: the file isn't there, or can't be unpacked.
    """
    if not gguf.is_file():
        what = "is a folder" if gguf.is_dir() else "doesn't exist"
        raise ModelUnreadableError(f"spec.model.source.gguf: {gguf} {what}; write the path of a .gguf file")
    models = (cache or cache_folder()) / "models"
    target = models / f"{gguf.stem}-{_fingerprint(gguf)}"
    if target.is_dir():
        return target
    with _alone(models / f".{target.name}.lock"):
        for left in models.glob(f".{target.name}.*.partial"):
            # of an unpacking that was killed
            shutil.rmtree(left, ignore_errors=True)
        command = module_command("finetune_trainer.unpack", str(gguf.resolve()), str(target))
        converse(command, "", lambda event: _tell(event, notify))
    return target


def _fingerprint(path: Path) -> str:
    """Changes with the file; reading a model of many gigabytes for its checksum would take longer than planning."""
    stat = path.stat()
    return hashlib.sha256(f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()[:12]


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with _open(lock) as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def _open(lock: Path) -> IO[str]:
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        return lock.open("w")
    except OSError as e:
        raise ModelUnreadableError(
            f"{lock.parent}: a model can't be unpacked there ({e.strerror}); set {CACHE} to a folder of yours",
        ) from e


def _tell(event: Event, notify: Notify) -> None:
    if isinstance(event, PhaseEvent):
        notify(event.message)
