"""Adapters and rows from the Hugging Face hub, in a cache of ours: by commit, complete or absent."""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Final

from finetune_operator.api.sources import HubRows, HubSource
from finetune_operator.local.children import Notify, converse, module_command
from finetune_operator.local.files import write_atomically
from finetune_operator.local.model_store import cache_folder
from finetune_trainer.events import Event, PhaseEvent

COMMIT: Final = re.compile(r"[0-9a-f]{40}")
"""How the hub names one state of a repository, and its cache that state's folder."""

PATIENCE_SECONDS: Final = 5.0
"""How long the hub is waited for to say where a branch stands."""


def fetch_adapter(source: HubSource, notify: Notify) -> Path:
    """The adapter's folder.

    Raises:
        ModelUnreadableError: the hub can't be reached, or doesn't have it for us.
    """
    return _fetched(source, "adapters", "model", ("--adapter",), notify)


def fetch_rows(source: HubRows, notify: Notify) -> Path:
    """A folder with the files of rows, and nothing else.

    Raises:
        DatasetInvalidError: the hub can't be reached, or doesn't have them for us.
    """
    return _fetched(source, "rows", "dataset", ("--rows", source.path), notify)


def _fetched(source: HubSource, kind: str, repo_type: str, options: tuple[str, ...], notify: Notify) -> Path:
    root = cache_folder() / kind
    name = source.repo.replace("/", "--")
    wanted = hashlib.sha256(" ".join(options).encode()).hexdigest()[:8]
    noted = root / f".{name}@{hashlib.sha256(source.revision.encode()).hexdigest()[:8]}"
    commit = _commit(source.repo, source.revision, repo_type)
    if commit is None and noted.is_file():
        commit = noted.read_text(encoding="utf-8").strip()
        notify(f"the hub doesn't answer: {source.repo} is taken as it was at {source.revision} before")
    # where the hub says nothing and nothing is known, the fetch says why
    target = root / f"{name}--{(commit or 'unknown')[:12]}-{wanted}"
    if not target.is_dir():
        command = module_command(
            "finetune_trainer.fetch", source.repo, commit or source.revision, str(target), *options
        )
        converse(command, "", lambda event: _tell(event, notify))
    if commit is not None:
        write_atomically(noted, commit + "\n")
    return target


@cache
def _commit(repo: str, revision: str, repo_type: str) -> str | None:
    """The commit that a branch or tag stands at; None where the hub doesn't say."""
    if COMMIT.fullmatch(revision):
        return revision
    from httpx2 import HTTPError
    from huggingface_hub import HfApi

    try:
        info = HfApi().repo_info(repo, revision=revision, repo_type=repo_type, timeout=PATIENCE_SECONDS)
    except (OSError, HTTPError, ValueError):
        return None
    return info.sha


def _tell(event: Event, notify: Notify) -> None:
    if isinstance(event, PhaseEvent):
        notify(event.message)
