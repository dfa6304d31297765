"""The last word of a process, left where a kubelet reads it: the end of a pod is told in one small file. No torch here.

A kubelet keeps at most 4,096 bytes, so that an event is told in fewer words there than in the log.
"""

import json
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from finetune_trainer.events import Event, FailureEvent, InspectionFacts, ResultEvent, format_event

TERMINATION: Final = "FINETUNE_TERMINATION"
"""Environment: the file that the last word is left in; absent where nobody reads one."""

MAX_BYTES: Final = 4000
"""Of a last word."""

MAX_TEXT: Final = 100
"""Characters of a text in a model's config that are kept: names of classes and types."""

MAX_SENTENCE: Final = 600
"""Characters of each sentence of a result that are kept."""

FIELD: Final = "field:"
"""Begins the metrics of single fields of an answer, of which there may be any number."""

_Told = TypeVar("_Told", FailureEvent, InspectionFacts, ResultEvent)


def leave(event: Event) -> None:
    """Leave an event that ends a process; others, and those after the first, are left out."""
    place = os.environ.get(TERMINATION)
    if place is None:
        return
    text = last_word(event)
    # the exit code and the log say it too
    with suppress(OSError):
        path = Path(place)
        if text is not None and not (path.exists() and path.stat().st_size):
            path.write_text(text, encoding="utf-8")


def last_word(event: Event) -> str | None:
    """An event as a last word of at most MAX_BYTES; None where it is none, or can't be said in so few."""
    match event:
        case FailureEvent():
            return _longest(lambda kept: _failure(event, kept), len(event.message))
        case InspectionFacts():
            brief = event.model_copy(update={"model_config_json": brief_config(event.model_config_json)})
            return _longest(lambda kept: _facts(brief, kept), _most_faults(event))
        case ResultEvent():
            return _brief_result(event)
        case _:
            return None


def brief_config(config_json: str) -> str:
    """A model's config.json with what its size is known by: numbers, names, and one entry a layer.

    Of nested settings only that they are there is kept, and of a quantised model by what.
    """
    config: Mapping[str, Any] = json.loads(config_json)
    brief = {key: _brief(key, value) for key, value in config.items()}
    return json.dumps(brief, separators=(",", ":"), ensure_ascii=False)


def _brief(key: str, value: Any) -> Any:
    match value:
        case dict():
            return {k: _brief(k, value[k]) for k in ("quant_method",) if key == "quantization_config" and k in value}
        case list():
            return [_brief(key, v) for v in value]
        case str():
            return value[:MAX_TEXT]
        case _:
            return value


def _failure(event: FailureEvent, kept: int) -> FailureEvent:
    return event.model_copy(update={"message": _cut(event.message, kept)})


def _cut(text: str, kept: int) -> str:
    return text[:kept] + " …" if kept < len(text) else text


def _most_faults(event: InspectionFacts) -> int:
    return max(len(event.train.faults), len(event.evaluation.faults))


def _facts(event: InspectionFacts, kept: int) -> InspectionFacts:
    parts = {name: getattr(event, name) for name in ("train", "evaluation")}
    cut = {name: facts.model_copy(update={"faults": facts.faults[:kept]}) for name, facts in parts.items()}
    return event.model_copy(update=cut)


def _brief_result(event: ResultEvent) -> str | None:
    """What a status needs of a result: metrics, then sentences, then metrics of fields that decided nothing."""
    fields = [name for name in event.tuned if name.startswith(FIELD) and name not in event.because]
    said = _most(lambda kept: _result(event, kept, fields), MAX_SENTENCE)
    return _longest(lambda kept: _result(event, said, fields[kept:]), len(fields)) if said >= 0 else None


def _result(event: ResultEvent, kept: int, without: Collection[str]) -> ResultEvent:
    sentences = {name: _cut(getattr(event, name), kept) for name in ("because", "next_step")}
    metrics = {
        name: {k: v for k, v in getattr(event, name).items() if k not in without} for name in ("baseline", "tuned")
    }
    return event.model_copy(update={**sentences, **metrics})


def _longest(cut: Callable[[int], _Told], most: int) -> str | None:
    """The event with as much of it as fits; more never makes it shorter."""
    kept = _most(cut, most)
    return _fitting(cut(kept)) if kept >= 0 else None


def _most(cut: Callable[[int], _Told], most: int) -> int:
    """How much of it fits; -1 where not even nothing does."""
    low, high = -1, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _fitting(cut(middle)) is not None else (low, middle - 1)
    return low


def _fitting(event: Event) -> str | None:
    text = format_event(event)
    return text if len(text.encode()) <= MAX_BYTES else None
