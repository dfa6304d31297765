"""A model as a structural schema: JSON schema in the form that Kubernetes takes in a CRD."""

import ast
import inspect
import textwrap
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

from finetune_operator.api.rules import LIST_KEYS, LIST_TYPE, MAP_TYPE, VALIDATIONS

Schema = dict[str, Any]

PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
"""Key of an object that may hold anything."""

_KEPT: Final = (
    "type", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties",
    LIST_TYPE, LIST_KEYS, MAP_TYPE, PRESERVE, VALIDATIONS,
)  # fmt: skip
"""Keys that mean the same in both; patterns are rules, since those have sentences."""


def structural(model: type[BaseModel]) -> Schema:
    """The schema of a model, without references, every node with a type, every field with its docstring.

    Notes:
        A value that is null is taken for absent, as the API server does. What is below a list has no default: tools
        that compare a manifest with the object take lists as a whole, and would see a difference for ever.

    Raises:
        ValueError: the model has a type that can't be said in a CRD.
    """
    whole = model.model_json_schema(by_alias=True)
    return _Maker(whole, _docstrings_below(model)).node(whole, (), in_list=False)


class _Maker:
    def __init__(self, whole: Schema, docstrings: Mapping[tuple[str, str], str]) -> None:
        self._definitions = whole.get("$defs", {})
        self._docstrings = docstrings

    def node(self, written: Schema, place: tuple[str, ...], *, in_list: bool) -> Schema:
        """One value."""
        found = self._resolved(written)
        made: Schema = {key: found[key] for key in _KEPT if key in found}
        if "const" in found:
            made["enum"] = [found["const"]]
        if "type" not in made:
            raise ValueError(f"{'.'.join(place)}: a CRD has no such type: {written}")
        self._bound(made, found)
        if made["type"] == "array":
            made["items"] = self.node(found["items"], (*place, "[]"), in_list=True)
        elif "properties" in found:
            self._object(made, found, place, in_list=in_list)
        elif values := _values(found):
            made["additionalProperties"] = self.node(values, (*place, "{}"), in_list=True)
        return made

    def _object(self, made: Schema, found: Schema, place: tuple[str, ...], *, in_list: bool) -> None:
        made["properties"] = {
            name: self._field(found.get("title", ""), name, child, place, in_list=in_list)
            for name, child in found["properties"].items()
        }
        if found.get("required"):
            made["required"] = list(found["required"])

    def _field(self, owner: str, name: str, written: Schema, place: tuple[str, ...], *, in_list: bool) -> Schema:
        made = self.node(written, (*place, name), in_list=in_list)
        default = written.get("default", self._resolved(written).get("default"))
        said = self._docstrings.get((owner, name)) or self._resolved(written).get("description", "")
        if default not in (None, {}, [], "") and made["type"] != "object":
            said = f"{said} Default: {_shown(default)}.".strip()
            if not in_list:
                made["default"] = default
        elif made["type"] == "object" and not in_list and default is not None and _fills_itself(made):
            made["default"] = {}
        if said:
            return {"description": " ".join(said.split()), **made}
        return made

    def _resolved(self, written: Schema) -> Schema:
        kinds = [n for n in written.get("anyOf", ()) if n.get("type") != "null"]
        if len(kinds) == 1:
            return self._resolved({**{k: v for k, v in written.items() if k != "anyOf"}, **kinds[0]})
        if "$ref" in written:
            below = self._resolved(self._definitions[written["$ref"].rsplit("/", 1)[-1]])
            return {**below, **{k: v for k, v in written.items() if k not in {"$ref", "description"}}}
        return written

    @staticmethod
    def _bound(made: Schema, found: Schema) -> None:
        if made["type"] == "integer" and "exclusiveMaximum" in found:
            made["maximum"] = found["exclusiveMaximum"] - 1
        elif found.get("format") == "date-time":
            made["format"] = "date-time"


def _values(found: Schema) -> Schema | None:
    """The schema of a mapping's values; a pattern of its keys is a rule of the mapping, as all patterns are rules."""
    by_pattern = list(found.get("patternProperties", {}).values())
    values = by_pattern[0] if by_pattern else found.get("additionalProperties")
    return values if isinstance(values, dict) else None


def _fills_itself(made: Schema) -> bool:
    """Whether an empty object becomes something by the defaults below it."""
    return not made.get("required") and any("default" in child for child in made.get("properties", {}).values())


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return ", ".join(map(str, default)) if isinstance(default, list) else str(default)


def _docstrings_below(model: type[BaseModel]) -> dict[tuple[str, str], str]:
    """Docstrings of the fields of all models that a model is made of, by the model's title and the wire's name."""
    found: dict[tuple[str, str], str] = {}
    for owner in _models_below(model):
        for base in reversed(owner.__mro__):
            if issubclass(base, BaseModel) and base is not BaseModel:
                said = _docstrings(base)
                names = {f: i.alias or f for f, i in base.model_fields.items() if f in said}
                found |= {(owner.__name__, names[f]): said[f] for f in names}
    return found


def _models_below(model: type[BaseModel]) -> set[type[BaseModel]]:
    found, waiting = {model}, [model]
    while waiting:
        for field in waiting.pop().model_fields.values():
            new = set(_models_in(field.annotation)) - found
            found |= new
            waiting += new
    return found


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in getattr(annotation, "__args__", ()) for m in _models_in(part)]


@cache
def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The texts that stand below a class's fields."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    said: dict[str, str] = {}
    if not isinstance(body, ast.ClassDef):
        return said
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            value = ast.literal_eval(text.value)
            said[field.target.id] = inspect.cleandoc(value)
    return said
