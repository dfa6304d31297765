"""A model, an adapter or rows from the hub to a folder: `python -m finetune_trainer.fetch REPO REVISION FOLDER`.

Safetensors, config, tokenizer and chat template only, or the files of rows that are asked for. Complete or absent: a
folder that is there was fetched whole. The token of a private or gated repository is in the environment, HF_TOKEN.
No torch here.
"""

import argparse
import fcntl
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from finetune_trainer.data.files import FETCHED_FILE
from finetune_trainer.events import PhaseEvent
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.failures import exit_code_of
from finetune_trainer.files import sync, sync_tree, write_json
from finetune_trainer.lineage import ADAPTER_FILE, LINEAGE_FILE
from finetune_trainer.model_files import check_model, check_safetensors
from finetune_trainer.parent import CONFIG_FILE
from finetune_trainer.progress import emit

SMALL_FILES: Final = ("*.json", "*.jinja", "tokenizer*", "*.txt")
"""Configuration, tokenizer and chat template."""

WEIGHTS: Final = ("*.safetensors",)
"""Pickled weights are never taken."""

IGNORED: Final = ("*/*", "consolidated*")
"""Second copies of the weights, and other frameworks' folders."""

COMMIT: Final = re.compile(r"[0-9a-f]{40}")
"""How the hub names one state of a repository for good."""


def main(arguments: Sequence[str]) -> int:
    """Fetch as the command line says; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m finetune_trainer.fetch", description=__doc__)
    parser.add_argument("repo", help="owner/name")
    parser.add_argument("revision", help="branch, tag or commit")
    parser.add_argument("folder", type=Path)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--without-weights", action="store_true", help="what planning needs: config and tokenizer")
    kind.add_argument("--adapter", action="store_true", help="an adapter that PEFT has saved, and no model")
    kind.add_argument("--rows", metavar="PATTERN", help="of a data set the files whose paths are like that")
    asked = parser.parse_args(arguments)
    what = _rows(asked.rows) if asked.rows else ADAPTER if asked.adapter else _model(weights=not asked.without_weights)
    return exit_code_of(lambda: fetch(asked.repo, asked.revision, asked.folder, what))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is taken of a repository, and what is said of it."""

    place: str
    """Of the source in a job."""
    code: ExitCode
    """Of what can't be had."""
    patterns: Sequence[str]
    ignored: Sequence[str]
    repo_type: str
    instead: str
    """What else a job can name."""
    check: Callable[[Path], object]
    """Holds what has come against what is needed."""


def _model(*, weights: bool) -> Wanted:
    return Wanted(
        place="model.source.hub",
        code=ExitCode.MODEL,
        patterns=(*SMALL_FILES, *(WEIGHTS if weights else ())),
        ignored=IGNORED,
        repo_type="model",
        instead="a volume or an image",
        check=lambda folder: check_model(folder, weights=weights),
    )


def _check_adapter(folder: Path) -> None:
    for name in (CONFIG_FILE, ADAPTER_FILE):
        if not (folder / name).is_file():
            raise TrainerError(
                ExitCode.MODEL, f"model.adapter.hub: it has no {name}; name a repository with an adapter of PEFT's"
            )
    check_safetensors(folder / ADAPTER_FILE)


ADAPTER: Final = Wanted(
    place="model.adapter.hub",
    code=ExitCode.MODEL,
    patterns=(CONFIG_FILE, ADAPTER_FILE, LINEAGE_FILE),
    ignored=("*/*",),
    repo_type="model",
    instead="a volume or an image",
    check=_check_adapter,
)


def _rows(pattern: str) -> Wanted:
    def check(folder: Path) -> None:
        if not any(p.is_file() for p in folder.rglob("[!.]*")):
            raise TrainerError(
                ExitCode.DATA,
                f"dataset: hub: it has no file {pattern}; write the path of one, or a pattern such as "
                "data/train-*.parquet",
            )

    return Wanted(
        place="dataset: hub",
        code=ExitCode.DATA,
        patterns=(pattern,),
        ignored=("*.py",),
        repo_type="dataset",
        instead="a volume, a ConfigMap or an image",
        check=check,
    )


def fetch(repo: str, revision: str, folder: Path, what: Wanted) -> None:
    """Fetch it; nothing is done where the folder is there.

    Raises:
        TrainerError: MODEL or DATA, the hub can't be reached, doesn't have it for us, or has nothing that can be used.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if not folder.exists():
            _fetch(repo, revision, folder, what)


def fetched_commit(folder: Path) -> str | None:
    """The commit that a folder was fetched at; None where it wasn't fetched, or the hub named none."""
    try:
        found = json.loads((folder / FETCHED_FILE).read_text(encoding="utf-8"))["commit"]
    except FileNotFoundError:
        return None
    return found if COMMIT.fullmatch(found) else None


def _fetch(repo: str, revision: str, folder: Path, what: Wanted) -> None:
    emit(PhaseEvent(phase="loading", message=f"fetching {repo} at {revision}"))
    # a name that isn't of this process: what an interrupted download left is gone on with
    partial = folder.with_name(f".{folder.name}.partial")
    commit = _download(repo, revision, partial, what)
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    what.check(partial)
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


def _download(repo: str, revision: str, folder: Path, what: Wanted) -> str:
    """Download what matches; the commit that it is of."""
    from httpx2 import HTTPError
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        # a branch may move while its files come: all of them are of the commit that it stood at
        commit = HfApi().repo_info(repo, revision=revision, repo_type=what.repo_type).sha or revision
        snapshot_download(
            repo,
            revision=commit,
            repo_type=what.repo_type,
            local_dir=folder,
            allow_patterns=list(what.patterns),
            ignore_patterns=list(what.ignored),
        )
        # of a repository without a file like that nothing has come
        folder.mkdir(parents=True, exist_ok=True)
    except HFValidationError as e:
        raise TrainerError(what.code, f"{repo}: the hub knows no such names ({e}); write owner/name") from e
    except HTTPError as e:
        raise _refusal(repo, revision, what, e) from e
    except OSError as e:
        if e.errno is not None:
            # of this machine: the disk is full, or not ours
            raise
        raise _refusal(repo, revision, what, e) from e
    return commit


def _refusal(repo: str, revision: str, what: Wanted, error: Exception) -> TrainerError:
    """What stood against a download."""
    from httpx2 import ConnectError, TimeoutException
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    code = what.code
    match error:
        # from the particular to the general: a gated repository is one that isn't found, too
        case GatedRepoError():
            why = f"is gated; accept its licence on its page, and {_LOG_IN} of that account"
        case RepositoryNotFoundError():
            why = f"doesn't exist, or is private; check the name, or {_LOG_IN} that may read it"
        case RevisionNotFoundError():
            why = f"has no revision {revision}; write a branch, tag or commit that it has"
        case ConnectError() | TimeoutException() | LocalEntryNotFoundError():
            why = f"can't be fetched: the hub can't be reached from here; go online, or write {what.instead}"
            # it may pass, so that another attempt is worth it
            code = ExitCode.INTERNAL
        case _:
            why = f"can't be fetched ({' '.join(str(error).split())})"
    return TrainerError(code, f"{what.place}: {repo} {why}")


_LOG_IN: Final = "write tokenSecretRef (on your own machine: hf auth login) with a token"
"""Where a token is needed."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
