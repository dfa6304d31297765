"""A model's JSON schema, asked by place: what may be written where."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel

from finetune_operator.api.base import Place, format_place

_SLIP: Final = 0.9
"""Share of letters that a field and what was written have in common where a letter is wrong."""

_MOST_PLACES: Final = 2
"""Of a field's name elsewhere in the model that are still a hint; path is in four."""

_TELLING: Final = 4
"""Letters that tell what a name was meant to be, where it begins with them."""

_BY_TYPE: Final = {
    "boolean": "write true or false",
    "array": "write a list with at least one entry",
    "integer": "write a whole number",
    "object": "write a key and its value, one pair a line",
}
"""What to write, by JSON's name for a type."""


class Schema:
    """What a model accepts."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._root = model.model_json_schema(by_alias=True)

    def at(self, place: Place) -> dict[str, Any]:
        """The schema of the value at that place; empty where anything may be."""
        node = self._resolved(self._root)
        for part in place:
            if isinstance(part, int):
                node = self._resolved(node.get("items", {}))
            else:
                node = self._resolved(node.get("properties", {}).get(part) or node.get("additionalProperties") or {})
        return node

    def fields(self, place: Place) -> tuple[str, ...]:
        """Names of the fields below that place."""
        return tuple(self.at(place).get("properties", {}))

    def type_of(self, place: Place) -> str:
        """JSON's name for the type of the value at that place."""
        return str(self.at(place).get("type", ""))

    def allowed(self, place: Place) -> tuple[str, ...]:
        """The words that the value at that place may be."""
        node = self.at(place)
        return tuple(str(v) for v in node.get("enum", [node["const"]] if "const" in node else []))

    def suggest(self, place: Place) -> tuple[str, ...]:
        """What an unknown field was meant to be: a neighbour, or a place elsewhere."""
        wanted = _folded(str(place[-1]))
        near = {_folded(name): name for name in self.fields(place[:-1])}
        if wanted in near:
            return (near[wanted],)
        # a letter more or less is a slip, whatever has the same name elsewhere
        slip = get_close_matches(wanted, near, n=1, cutoff=_SLIP)
        if slip:
            return (near[slip[0]],)
        elsewhere = tuple(format_place(p) for p in self._places(self._resolved(self._root), ()) if _is(p, wanted))
        if 0 < len(elsewhere) <= _MOST_PLACES:
            return elsewhere
        begun = [name for name in near if len(wanted) >= _TELLING and name.startswith(wanted)]
        return tuple(near[name] for name in (begun or get_close_matches(wanted, near, n=1)))

    def _places(self, node: dict[str, Any], place: Place) -> Iterator[Place]:
        for name, child in node.get("properties", {}).items():
            yield (*place, name)
            yield from self._places(self._resolved(child), (*place, name))

    def _resolved(self, node: Any) -> dict[str, Any]:
        if not isinstance(node, dict):
            return {}
        if "$ref" in node:
            return self._resolved(self._root["$defs"][node["$ref"].rsplit("/", 1)[-1]])
        if "anyOf" in node:
            return self._resolved(next(n for n in node["anyOf"] if n.get("type") != "null"))
        return node


def expected(node: dict[str, Any]) -> str:
    """What to write where that schema holds, as a half sentence."""
    if "const" in node:
        return f"write {node['const']}"
    if "enum" in node:
        return f"write one of {', '.join(node['enum'])}"
    if "examples" in node:
        return f'write for example "{node["examples"][0]}"'
    if names := node.get("required") or node.get("properties"):
        return f"write below it: {', '.join(names)}"
    return _BY_TYPE.get(node.get("type", ""), "write a text")


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _is(place: Place, wanted: str) -> bool:
    return _folded(str(place[-1])) == wanted
