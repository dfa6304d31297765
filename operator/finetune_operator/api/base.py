"""The base of every wire model, the text types that stand in for floats, and how a model refuses."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from finetune_operator.api.rules import VALIDATIONS, Rule, literal, with_rules
from finetune_operator.units import parse_duration

REFUSED: Final = "refused"
"""Type of an error that carries one sentence under `sentence` in its context."""

CONTRADICTION: Final = "contradiction"
"""Type of an error that carries Contradictions under `faults` in its context."""


Place = tuple[str | int, ...]
"""Keys and indices that lead to a field, as the wire names them."""


class Contradiction(NamedTuple):
    """Two things in a model that can't both be meant."""

    at: Place
    """The field to change, below the model; empty for the model itself."""
    sentence: str
    """What is wrong and what to write instead."""


def format_place(place: Place) -> str:
    """A place as people write it: spec.adapter.targetModules[0]."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def refusal(sentence: str) -> PydanticCustomError:
    """The error for a field's value; the sentence follows the field's name."""
    return PydanticCustomError(REFUSED, "{sentence}", {"sentence": sentence})


def refuse(found: Iterable[Contradiction]) -> None:
    """Refuse a model for all its contradictions at once; an after-validator can raise only one error."""
    faults = tuple(found)
    if faults:
        text = "; ".join(f"{format_place(f.at)}: {f.sentence}" if f.at else f.sentence for f in faults)
        raise PydanticCustomError(CONTRADICTION, "{text}", {"text": text, "faults": faults})


@dataclass(frozen=True, slots=True)
class Matching:
    """Text of a pattern, refused with a sentence: a regular expression tells a newcomer nothing."""

    pattern: str
    """The whole text must match it; also in the schema."""
    says: str
    """What a text that doesn't match is not: "is not a decimal"."""
    example: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        found = {**handler(schema), "pattern": f"^({self.pattern})$", "examples": [self.example]}
        remedy = f'{self.says}; write for example "{self.example}"'
        return with_rules(found, Rule(f"self.matches({literal(self.pattern)})", remedy))

    def _check(self, text: str) -> str:
        if re.fullmatch(self.pattern, text, re.ASCII) is None:
            raise refusal(f'"{text}" {self.says}; write for example "{self.example}"')
        return text


@dataclass(frozen=True, slots=True)
class Within:
    """Bounds of a decimal.

    Notes:
        The float is checked and not the text, since that is what the trainer gets: "1e-400" is 0 to it.
    """

    says: str
    """What a decimal out of bounds is not, and what to write."""
    above: float | None = None
    below: float | None = None
    at_most: float | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        bounds = ((">", self.above), ("<", self.below), ("<=", self.at_most))
        told = " && ".join(f"double(self) {sign} {bound:.17g}" for sign, bound in bounds if bound is not None)
        # one rule for both that it is a decimal and that it is within bounds: a definition's size is limited
        rule = Rule(f"self.matches({literal(DECIMAL)}) && {told}", self.says)
        return {**handler(schema), VALIDATIONS: [rule.schema()]}

    def _check(self, text: str) -> str:
        value = float(text)
        below = (self.below is None or value < self.below) and (self.at_most is None or value <= self.at_most)
        if not below or not (self.above is None or value > self.above):
            raise refusal(f"{text} {self.says}")
        return text


DECIMAL: Final = r"[0-9]+(\.[0-9]+)?(e-?[0-9]+)?"
"""Pattern of a decimal."""

DecimalString = Annotated[str, StringConstraints(max_length=32), Matching(DECIMAL, "is not a decimal", "0.05")]
"""A non-negative decimal, optionally with an exponent: "3", "0.05", "2e-4". A number kept as text, since Kubernetes'
API conventions forbid floats in a spec."""


def _positive(text: str) -> str:
    if parse_duration(text) == 0:
        raise refusal(f"{text} is no time at all; write for example 2h15m")
    return text


_DURATION: Final = r"[0-9]{1,6}h([0-9]{1,6}m)?([0-9]{1,6}s)?|[0-9]{1,6}m([0-9]{1,6}s)?|[0-9]{1,6}s"

DurationString = Annotated[
    str,
    StringConstraints(max_length=32),
    Matching(_DURATION, "is not a duration", "2h15m"),
    AfterValidator(_positive),
    Rule(
        f"!self.matches({literal(_DURATION)}) || duration(self) > duration('0s')",
        "is no time at all; write for example 2h15m",
    ),
]
"""Hours, minutes and seconds as Go and Kubernetes write them, in whole numbers: 2h15m, 90m, 45s."""

OptionId = Annotated[
    str,
    StringConstraints(max_length=80),
    Matching(r"[a-z0-9]([a-z0-9.-]{0,78}[a-z0-9])?", "is not an option's id", "lora-1x24g"),
]
"""Id of a planned option."""


class ApiModel(BaseModel):
    """Strict, frozen, camelCase on the wire."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=True,
        use_enum_values=False,
    )
