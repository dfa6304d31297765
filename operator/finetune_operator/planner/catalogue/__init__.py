"""Configurations of well-known models by hub id: enough to plan where the hub can't be reached."""

import re
from collections.abc import Mapping
from typing import Any, Final

from finetune_operator.planner.catalogue.classic import CLASSIC
from finetune_operator.planner.catalogue.dense import DENSE
from finetune_operator.planner.catalogue.fields import Entries
from finetune_operator.planner.catalogue.llama import LLAMA
from finetune_operator.planner.catalogue.mistral import MISTRAL
from finetune_operator.planner.catalogue.qwen import QWEN
from finetune_operator.planner.catalogue.routed import ROUTED
from finetune_operator.planner.catalogue.short import ALIASES, SIZED

_ENTRIES: Final[Entries] = (*LLAMA, *MISTRAL, *QWEN, *DENSE, *ROUTED, *CLASSIC)

CATALOGUE: Final[Mapping[str, Mapping[str, Any]]] = {repo: config for repos, config in _ENTRIES for repo in repos}
"""Configuration by hub id."""

_BY_ID: Final = {repo.casefold(): config for repo, config in CATALOGUE.items()}
_ENDING: Final = re.compile(r"-(hf|base|instruct|chat|it|pt|v\d+(\.\d+)*|\d{4})$")
"""What tells variants of one architecture apart at the end of a name."""


def find_config(repo: str) -> Mapping[str, Any] | None:
    """config.json of the model with that hub id, in any case of letters; None for a model we don't know."""
    return _BY_ID.get(repo.casefold())


def find_short(name: str) -> Mapping[str, Any] | None:
    """config.json of the model that a publication calls by that name, such as Llama-2-7b or Mixtral-8x7B.

    Case, the organisation and endings such as -hf, -Instruct and -v0.1 don't matter, unless they tell models apart:
    Mistral-7B is v0.1, Mistral-7B-v0.3 has its larger vocabulary. None for a model we don't know.
    """
    wanted = _last_part(name)
    if wanted in ALIASES:
        return CATALOGUE[ALIASES[wanted]]
    if wanted in SIZED:
        return SIZED[wanted]
    if wanted in _BY_NAME:
        return _BY_NAME[wanted]
    bare = _without_endings(wanted)
    if bare in ALIASES:
        return CATALOGUE[ALIASES[bare]]
    return SIZED.get(bare) or _BY_BARE_NAME.get(bare)


def _last_part(name: str) -> str:
    """Without the organisation, before and in the name."""
    return name.casefold().rpartition("/")[2].removeprefix("meta-")


def _without_endings(name: str) -> str:
    while _ENDING.search(name):
        name = _ENDING.sub("", name)
    return name


def _named(*, keep_endings: bool) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for repo, config in CATALOGUE.items():
        name = _last_part(repo)
        found.setdefault(name if keep_endings else _without_endings(name), config)
    return found


_BY_NAME: Final = _named(keep_endings=True)
_BY_BARE_NAME: Final = _named(keep_endings=False)
