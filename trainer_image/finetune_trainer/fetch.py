"""A model from the Hugging Face hub to a folder: `python -m finetune_trainer.fetch REPO REVISION FOLDER`.

Safetensors, config, tokenizer and chat template only. Complete or absent: a folder that is there was fetched whole.
The token of a private or gated repository is in the environment, HF_TOKEN. No torch here.
"""

import argparse
import fcntl
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from finetune_trainer.events import PhaseEvent
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.failures import exit_code_of
from finetune_trainer.files import sync, sync_tree, write_json
from finetune_trainer.model_files import check_model
from finetune_trainer.progress import emit

SMALL_FILES: Final = ("*.json", "*.jinja", "tokenizer*", "*.txt")
"""Configuration, tokenizer and chat template."""

WEIGHTS: Final = ("*.safetensors",)
"""Pickled weights are never taken."""

IGNORED: Final = ("*/*", "consolidated*")
"""Second copies of the weights, and other frameworks' folders."""

FETCHED_FILE: Final = ".fetched.json"
"""In the folder: repository, revision and commit."""


def main(arguments: Sequence[str]) -> int:
    """Fetch as the command line says; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m finetune_trainer.fetch", description=__doc__)
    parser.add_argument("repo", help="owner/name")
    parser.add_argument("revision", help="branch, tag or commit")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--without-weights", action="store_true", help="what planning needs: config and tokenizer")
    asked = parser.parse_args(arguments)
    return exit_code_of(lambda: fetch(asked.repo, asked.revision, asked.folder, weights=not asked.without_weights))


def fetch(repo: str, revision: str, folder: Path, *, weights: bool) -> None:
    """Fetch a model; nothing is done where the folder is there.

    Raises:
        TrainerError: MODEL, the hub can't be reached, doesn't have it for us, or has no safetensors of it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if not folder.exists():
            _fetch(repo, revision, folder, weights=weights)


def _fetch(repo: str, revision: str, folder: Path, *, weights: bool) -> None:
    emit(PhaseEvent(phase="loading", message=f"fetching {repo} at {revision}"))
    # a name that isn't of this process: what an interrupted download left is gone on with
    partial = folder.with_name(f".{folder.name}.partial")
    commit = _download(repo, revision, partial, (*SMALL_FILES, *(WEIGHTS if weights else ())))
    check_model(partial, weights=weights)
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    write_json(partial / FETCHED_FILE, {"repo": repo, "revision": revision, "commit": commit})
    sync_tree(partial)
    partial.replace(folder)
    sync(folder.parent)
    emit(PhaseEvent(phase="loading", message=f"{repo} is there, at commit {commit}"))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One at a time: a second one finds what the first has fetched."""
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(repo: str, revision: str, folder: Path, patterns: Sequence[str]) -> str:
    """Download what matches; the commit that it is of."""
    from httpx2 import HTTPError
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        # a branch may move while its files come: all of them are of the commit that it stood at
        commit = HfApi().model_info(repo, revision=revision).sha or revision
        snapshot_download(
            repo, revision=commit, local_dir=folder, allow_patterns=list(patterns), ignore_patterns=list(IGNORED)
        )
    except HFValidationError as e:
        raise TrainerError(ExitCode.MODEL, f"{repo}: the hub knows no such names ({e}); write owner/name") from e
    except HTTPError as e:
        raise _refusal(repo, revision, e) from e
    except OSError as e:
        if e.errno is not None:
            # of this machine: the disk is full, or not ours
            raise
        raise _refusal(repo, revision, e) from e
    return commit


def _refusal(repo: str, revision: str, error: Exception) -> TrainerError:
    """What stood against a download."""
    from httpx2 import ConnectError, TimeoutException
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    match error:
        # from the particular to the general: a gated repository is one that isn't found, too
        case GatedRepoError():
            what = "is gated; accept its licence on its page, and write tokenSecretRef with a token of that account"
        case RepositoryNotFoundError():
            what = "doesn't exist, or is private; check the name, or write tokenSecretRef with a token that may read it"
        case RevisionNotFoundError():
            what = f"has no revision {revision}; write a branch, tag or commit that it has"
        case ConnectError() | TimeoutException() | LocalEntryNotFoundError():
            what = "can't be fetched: the hub can't be reached; let pods reach it, or write a volume or an image"
            # it may pass, so that another attempt is worth it
            return TrainerError(ExitCode.INTERNAL, f"model.source.hub: {repo} {what}")
        case _:
            what = f"can't be fetched ({' '.join(str(error).split())})"
    return TrainerError(ExitCode.MODEL, f"model.source.hub: {repo} {what}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
