"""Models on the Hugging Face hub, in the hub's own local cache: imported only for jobs that name one (0.3 s)."""

import json
from pathlib import Path
from typing import Final

from httpx2 import ConnectError, HTTPError, TimeoutException
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from finetune_operator.api.sources import HubSource
from finetune_operator.exceptions import FineTuneError, ModelUnreadableError, StorageFullError
from finetune_operator.local.children import Notify
from finetune_operator.local.files import is_full

SMALL_FILES: Final = ("*.json", "*.jinja", "tokenizer*", "*.txt")
"""Configuration, tokenizer and chat template."""

ALL_FILES: Final = (*SMALL_FILES, "*.safetensors")
"""What training reads; pickled weights are never taken."""

IGNORED: Final = ("*.msgpack", "*.h5", "*/*", "consolidated*")
"""Other frameworks' formats, and second copies of the weights."""

PLACE: Final = "spec.model.source.hub"
"""Where a job names a repository; begins every sentence about it."""

PATIENCE_SECONDS: Final = 2.0
"""How long a plan waits for the hub's answer."""


def find_cached(source: HubSource) -> Path | None:
    """The model's folder in the local cache, if all of it is there."""
    try:
        found = Path(
            snapshot_download(
                source.repo,
                revision=source.revision,
                local_files_only=True,
                # what download() takes: without them a repository that also has pickles never counts as complete
                allow_patterns=list(ALL_FILES),
                ignore_patterns=list(IGNORED),
            ),
        )
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as e:
        raise _bad_name(e) from e
    return found if _has_weights(found) else None


def _has_weights(folder: Path) -> bool:
    """All shards that the index names, or the single file; other programs' interrupted downloads have fewer."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return (folder / "model.safetensors").is_file()
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return bool(shards) and all((folder / shard).is_file() for shard in shards)


def download_without_weights(source: HubSource, patience_seconds: float = PATIENCE_SECONDS) -> Path:
    """The model's folder with all but the weights.

    Raises:
        ModelUnreadableError: the hub doesn't answer in time, or doesn't have it for us.
        StorageFullError: the cache's disk is full.
    """
    try:
        # asked first since a download has no time limit of its own for this question
        HfApi().model_info(source.repo, revision=source.revision, timeout=patience_seconds)
        found = snapshot_download(
            source.repo,
            revision=source.revision,
            allow_patterns=list(SMALL_FILES),
            ignore_patterns=list(IGNORED),
            etag_timeout=patience_seconds,
        )
    except (OSError, HTTPError) as e:
        raise _refusal(source, e) from e
    if not (Path(found) / "config.json").is_file():
        raise ModelUnreadableError(
            f"{PLACE}: {source.repo} has no config.json; write a repository with safetensors and config.json",
        )
    return Path(found)


def download(source: HubSource, notify: Notify) -> Path:
    """The model's folder with its weights, downloaded.

    Raises:
        ModelUnreadableError: the hub can't be reached, or doesn't have it for us.
        StorageFullError: the cache's disk is full.
    """
    notify(f"downloading {source.repo}")
    try:
        return Path(
            snapshot_download(
                source.repo,
                revision=source.revision,
                allow_patterns=list(ALL_FILES),
                ignore_patterns=list(IGNORED),
            ),
        )
    except (OSError, HTTPError) as e:
        raise _refusal(source, e) from e


def _refusal(source: HubSource, error: OSError | HTTPError) -> FineTuneError:
    """What stood against a download, as our error."""
    if isinstance(error, OSError) and is_full(error):
        return StorageFullError(
            f"{PLACE}: its download doesn't fit the disk; free some, or set HF_HOME to another disk",
        )
    return ModelUnreadableError(f"{PLACE}: {_why(source, error)}")


def _why(source: HubSource, error: OSError | HTTPError) -> str:
    # from the particular to the general: a gated repository is one that isn't found, too
    match error:
        case GatedRepoError():
            return f"{source.repo} is gated; accept its licence on its page and log in with `hf auth login`"
        case RepositoryNotFoundError():
            return f"{source.repo} doesn't exist, or is private; check the name, or log in with `hf auth login`"
        case RevisionNotFoundError():
            return f"{source.repo} has no revision {source.revision}; write a branch, tag or commit that it has"
        case LocalEntryNotFoundError() | ConnectError() | TimeoutException():
            return (
                f"{source.repo} is not on this machine and the hub can't be reached; go online, or write "
                "model.source.path with a folder"
            )
        case _:
            return f"{source.repo} can't be downloaded ({' '.join(str(error).split())}); run the same command again"


def _bad_name(error: HFValidationError) -> ModelUnreadableError:
    return ModelUnreadableError(f"{PLACE}: the hub knows no such names ({error}); write owner/name")
