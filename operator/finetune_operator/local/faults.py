"""Pydantic's errors as sentences with place and remedy."""

import json
import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from finetune_operator.api.base import CONTRADICTION, REFUSED, Place
from finetune_operator.local.document import Document, Fault, refusal
from finetune_operator.local.schema import Schema, expected

M = TypeVar("M", bound=BaseModel)

_ALIKE: Final = 0.75
"""How alike a word must be to one that is allowed to be taken for it: TPU is no misspelled GPU."""

_BOOLEANS: Final = frozenset({"true", "false", "yes", "no", "on", "off"})
"""Words that are booleans where they stand without quotes."""

_KINDS: Final = {
    bool: "a boolean",
    int: "an integer",
    float: "a float",
    str: "a string",
    list: "a list",
    dict: "a group of fields",
}


def validate(document: Document, model: type[M]) -> M:
    """The document as a model.

    Raises:
        InvalidManifestError: every fault of the file, a line each.
    """
    faults = list(document.faults)
    try:
        # as JSON, where a strict model takes lists and enums; by alias alone, so that batch_size is no batchSize
        value = model.model_validate_json(json.dumps(document.value), by_alias=True, by_name=False)
    except ValidationError as e:
        teller = _Teller(document, Schema(model))
        known = {fault.line for fault in faults}
        # what has no readable value has no valid one either
        faults += [f for error in e.errors() for f in teller.tell(error) if f.line not in known]
    else:
        if not faults:
            return value
    raise refusal(document.name, faults)


class _Teller:
    """Tells errors of one document."""

    def __init__(self, document: Document, schema: Schema) -> None:
        self._document = document
        self._schema = schema

    def tell(self, error: ErrorDetails) -> Iterator[Fault]:
        place = error["loc"]
        if error["type"] == CONTRADICTION:
            for at, sentence in error["ctx"]["faults"]:
                yield self._fault((*place, *at), sentence)
        # a list whose entries are all wrong is too short, too, to pydantic
        elif error["type"] != "too_short" or not error["input"]:
            yield self._fault(place, self._sentence(error, place))

    def _fault(self, place: Place, sentence: str) -> Fault:
        return Fault(line=self._document.line(place), place=place, sentence=sentence)

    def _sentence(self, error: ErrorDetails, place: Place) -> str:
        kind, context = error["type"], error.get("ctx", {})
        if kind == REFUSED:
            return str(context["sentence"])
        if kind == "missing":
            return f"is missing; {expected(self._schema.at(place))}"
        if kind == "extra_forbidden":
            return self._unknown(place)
        if kind in {"enum", "literal_error"}:
            return self._not_allowed(error["input"], place)
        return self._out_of_bounds(kind, context, place) or self._wrong_type(error["input"], place)

    def _unknown(self, place: Place) -> str:
        known = self._schema.suggest(place)
        if known:
            return f"unknown field; did you mean {' or '.join(known)}?"
        fields = ", ".join(self._schema.fields(place[:-1]))
        return f"unknown field; what can be here: {fields}"

    def _not_allowed(self, value: Any, place: Place) -> str:
        allowed, text = self._schema.allowed(place), self._written(place)
        if not text:
            return f"is {_kind(value)}; {expected(self._schema.at(place))}"
        near = {a.lower(): a for a in allowed}
        meant = get_close_matches(text.lower(), near, n=1, cutoff=_ALIKE)
        remedy = f"write {near[meant[0]]}" if meant else expected(self._schema.at(place))
        return f"{text} is not allowed; {remedy}" + (f" (one of {', '.join(allowed)})" if meant and allowed[1:] else "")

    def _out_of_bounds(self, kind: str, context: dict[str, Any], place: Place) -> str | None:
        text, sentence = self._written(place), None
        match kind:
            case "greater_than_equal":
                sentence = f"{text} is too small; write at least {context['ge']}"
            case "less_than_equal":
                sentence = f"{text} is too large; write at most {context['le']}"
            case "less_than":
                sentence = f"{text} is too large; write at most {context['lt'] - 1}"
            case "string_too_short" | "too_short":
                sentence = f"is empty; {expected(self._schema.at(place))}"
            case "string_too_long":
                sentence = f"has {len(text)} characters; write at most {context['max_length']}"
            case "json_invalid":
                sentence = "holds half of a surrogate pair, which is no character; remove it"
            case _:
                pass
        return sentence

    def _wrong_type(self, value: Any, place: Place) -> str:
        wanted, text = self._schema.type_of(place), self._written(place)
        if wanted == "string" and isinstance(value, bool | int | float):
            return f'{text} is {_kind(value)}; write it as a string: "{text}"'
        remedy = expected(self._schema.at(place))
        if wanted == "integer":
            remedy = _whole(value)
        elif wanted == "boolean" and text.lower() in _BOOLEANS:
            remedy = f"write it without quotes: {text}"
        shown = f'"{text}"' if isinstance(value, str) else text
        return f"{shown} is {_kind(value)}; {remedy}" if text else f"is {_kind(value)}; {remedy}"

    def _written(self, place: Place) -> str:
        return self._document.texts.get(place, "")


def _whole(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch("[0-9]+", value.strip()):
        return f"write it without quotes: {value.strip()}"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"write {value:.0f}"
    return "write a whole number"


def _kind(value: Any) -> str:
    return "empty" if value is None else _KINDS[type(value)]
