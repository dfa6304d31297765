"""For every bound that a schema sets, an object that breaks it and, at that place, nothing else."""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any, Final, NamedTuple

Schema = Mapping[str, Any]
Place = tuple[str | int, ...]

HARMLESS: Final = ("atomic",)
"""Kinds of lists that allow anything twice."""


class Breach(NamedTuple):
    """One object that is refused."""

    keyword: str
    told: str
    """The place, as the API server names it."""
    found: dict[str, Any]


_WRONG: Final[Mapping[str, Callable[[Schema], Any]]] = {
    "type": lambda s: "a" if s["type"] in {"object", "array"} else {"a": "a"},
    "enum": lambda _: "no-such-thing",
    "minimum": lambda s: s["minimum"] - 1,
    "maximum": lambda s: s["maximum"] + 1,
    "minLength": lambda s: "a" * (s["minLength"] - 1),
    "maxLength": lambda s: "a" * (s["maxLength"] + 1),
    "minItems": lambda s: [_sample(s["items"])] * (s["minItems"] - 1),
    "maxItems": lambda s: [_numbered(s["items"], n) for n in range(s["maxItems"] + 1)],
    "maxProperties": lambda s: {f"a{n}": _sample(s["additionalProperties"]) for n in range(s["maxProperties"] + 1)},
    "x-kubernetes-list-type": lambda s: [_sample(s["items"])] * 2,
}
"""A value that breaks each bound."""


BOUNDS: Final = frozenset({*_WRONG, "required"})
"""Keywords by which a value can be wrong."""

OTHER: Final = frozenset({
    "properties", "additionalProperties", "items", "description", "default", "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-map-keys", "x-kubernetes-map-type", "x-kubernetes-validations",
})  # fmt: skip
"""Those that refuse nothing, and rules, which have bad jobs of their own."""


def bounds(node: Schema) -> list[str]:
    """The keywords of one node of a schema that a value of it can break; `required` once for each field."""
    own = [k for k in _WRONG if k in node and node[k] not in HARMLESS]
    return [*own, *("required" for _ in node.get("required", ()))]


def breaches(schema: Schema, good: Mapping[str, Any], place: Place) -> Iterator[Breach]:
    """All of them, for a node and what is below it.

    Args:
        schema: of the node.
        good: an object that is right, whole.
        place: of the node in that object.
    """
    for keyword in bounds({k: v for k, v in schema.items() if k != "required"}):
        yield Breach(keyword, _told(place, twice=_is_twice(keyword)), _put(good, place, _WRONG[keyword](schema)))
    for field in schema.get("required", ()):
        there = _at(good, place)
        rest = {k: v for k, v in there.items() if k != field} if isinstance(there, dict) else {}
        yield Breach("required", _told((*place, field)), _put(good, place, rest))
    for name, child in schema.get("properties", {}).items():
        yield from breaches(child, good, (*place, name))
    for keyword, step in (("items", 0), ("additionalProperties", "a")):
        if isinstance(schema.get(keyword), Mapping):
            yield from breaches(schema[keyword], good, (*place, step))


def _is_twice(keyword: str) -> bool:
    return keyword == "x-kubernetes-list-type"


def _numbered(schema: Schema, number: int) -> Any:
    """One that differs from others: a list may want that."""
    value = _sample(schema)
    if isinstance(value, str) and "enum" not in schema:
        return f"a{number}"
    return {k: f"a{number}" if v == "a" else v for k, v in value.items()} if isinstance(value, dict) else value


def _sample(schema: Schema) -> Any:
    """A value that the schema takes."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema["type"]:
        case "string":
            return "a" * max(1, schema.get("minLength", 0))
        case "integer":
            return schema.get("minimum", 0)
        case "boolean":
            return True
        case "array":
            return []
        case _:
            return {name: _sample(schema["properties"][name]) for name in schema.get("required", ())}


def _at(good: Mapping[str, Any], place: Place) -> Any:
    node: Any = good
    for step in place:
        node = node.get(step) if isinstance(node, Mapping) else None
    return node


def _put(good: Mapping[str, Any], place: Place, value: Any) -> dict[str, Any]:
    found: dict[str, Any] = deepcopy(dict(good))
    found[str(place[0])] = _placed(found.get(str(place[0])), place[1:], value)
    return found


def _placed(node: Any, place: Place, value: Any) -> Any:
    if not place:
        return value
    step, *rest = place
    if isinstance(step, int):
        return [_placed(None, tuple(rest), value)]
    fields = dict(node) if isinstance(node, Mapping) else {}
    return {**fields, step: _placed(fields.get(step), tuple(rest), value)}


def _told(place: Place, *, twice: bool = False) -> str:
    parts = (*place, 1) if twice else place
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in parts).removeprefix(".") + ":"
