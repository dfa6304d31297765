"""Rules that a cluster's API server holds objects against, written beside the validators that say the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ConfigDict, GetJsonSchemaHandler
from pydantic_core import CoreSchema

VALIDATIONS: Final = "x-kubernetes-validations"
"""Key of a schema's rules."""

LIST_TYPE: Final = "x-kubernetes-list-type"
"""Key that says how two writers share a list."""

LIST_KEYS: Final = "x-kubernetes-list-map-keys"
"""Key that says what the entries of a list are told apart by."""

MAP_TYPE: Final = "x-kubernetes-map-type"
"""Key that says how two writers share an object."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule in CEL, Kubernetes' expression language; as an annotation it belongs to a field's value."""

    cel: str
    """True for what is taken; `self` is the value."""
    message: str
    """What is wrong and what to write instead; follows the place and the value."""
    at: str = ""
    """The field below the value that is to be changed: .training.batchSize; empty for the value itself."""

    def schema(self) -> dict[str, str]:
        """As a schema has it."""
        place = {"fieldPath": self.at} if self.at else {}
        return {"rule": self.cel, "message": self.message, **place}

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return with_rules(handler(core), self)


def with_rules(schema: dict[str, Any], *rules: Rule) -> dict[str, Any]:
    """The schema with those rules after its own."""
    return {**schema, VALIDATIONS: [*schema.get(VALIDATIONS, ()), *(r.schema() for r in rules)]}


def ruled(*rules: Rule, **more: Any) -> ConfigDict:
    """The configuration of a model with rules over its fields; those that it inherits are replaced."""
    extra: dict[str, Any] = {VALIDATIONS: [r.schema() for r in rules], **more}
    return ConfigDict(json_schema_extra=extra)


def one_of(names: Sequence[str], *, unless: Sequence[str] = ()) -> Rule:
    """Exactly one of those fields; nothing is said where one of `unless` is given, of which another rule speaks."""
    given = ", ".join(f"has(self.{n})" for n in names)
    excused = "".join(f"has(self.{n}) || " for n in unless)
    return Rule(f"{excused}[{given}].filter(g, g).size() == 1", f"write exactly one of {', '.join(names)}")


def same(names: Sequence[str], a: str, b: str) -> str:
    """CEL for: each of those optional fields is in neither, or in both and the same.

    Notes:
        Through has() the API server knows how long a value can be and what the rule can cost; through .? it doesn't.
    """
    return " && ".join(f"(has({a}.{n}) ? has({b}.{n}) && {a}.{n} == {b}.{n} : !has({b}.{n}))" for n in names)


def absent(names: Sequence[str], message: str) -> Rule:
    """None of those fields."""
    return Rule(" && ".join(f"!has(self.{n})" for n in names), message)


def literal(pattern: str) -> str:
    """A regular expression for a whole text, as CEL writes it."""
    return f"r'^({pattern})$'"
