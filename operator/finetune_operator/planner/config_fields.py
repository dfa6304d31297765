"""Reads the fields of one config.json; what is missing or wrong is said in a sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finetune_operator.exceptions import UnsupportedArchitectureError


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """A model's config.json, read by the names that transformers gives its fields in memory."""

    config: Mapping[str, Any]
    name: str
    """Class in transformers, for sentences."""
    spelled: Mapping[str, str]
    """What this family's config.json calls a field: gpt2's hidden_size is n_embd. Either spelling is read."""

    def key(self, field: str) -> str:
        """The spelling in this config.json; where it has neither, the family's own."""
        return field if field in self.config else self.spelled.get(field, field)

    def has(self, field: str) -> bool:
        """It is written, be it as null."""
        return self.key(field) in self.config

    def value(self, field: str) -> Any:
        """As written; None where it is absent."""
        return self.config.get(self.key(field))

    def count(self, field: str) -> int:
        """A size that has to be there.

        Raises:
            UnsupportedArchitectureError: it is missing, or isn't a whole number above 0.
        """
        value, key = self.value(field), self.key(field)
        if value is None:
            message = f"config.json: {key} is missing, and {self.name} can't be sized without it"
            raise UnsupportedArchitectureError(message)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UnsupportedArchitectureError(f"config.json: {key} is {value!r}; it has to be a whole number above 0")
        return value

    def count_or(self, field: str, default: int) -> int:
        """A size, or the family's default where it is absent or null."""
        return default if self.value(field) is None else self.count(field)

    def number(self, field: str, default: int) -> int:
        """A whole number that may be 0, or the family's default where it is absent or null.

        Raises:
            UnsupportedArchitectureError: it isn't a whole number.
        """
        value = self.value(field)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            key = self.key(field)
            raise UnsupportedArchitectureError(f"config.json: {key} is {value!r}; it has to be a whole number")
        return value

    def flag(self, field: str, *, default: bool) -> bool:
        """Whether it is switched on; the family's default where it is absent or null."""
        value = self.value(field)
        return default if value is None else bool(value)

    def numbers(self, field: str) -> tuple[int, ...]:
        """A list of whole numbers; none where it is absent or null.

        Raises:
            UnsupportedArchitectureError: it isn't a list of whole numbers.
        """
        value = self.value(field)
        if value is None:
            return ()
        if not isinstance(value, list | tuple) or not all(isinstance(v, int) for v in value):
            key = self.key(field)
            raise UnsupportedArchitectureError(f"config.json: {key} is {value!r}; it has to be a list of whole numbers")
        return tuple(value)

    def texts(self, field: str, layers: int) -> tuple[str, ...] | None:
        """One word for each layer, such as layer_types; None where it is absent or null.

        Raises:
            UnsupportedArchitectureError: it isn't a list of as many words as there are layers.
        """
        value, key = self.value(field), self.key(field)
        if value is None:
            return None
        if not isinstance(value, list | tuple) or len(value) != layers:
            have = f"{len(value)} of them" if isinstance(value, list | tuple) else repr(value)
            raise UnsupportedArchitectureError(
                f"config.json: {key} needs one entry for each of the {layers} layers; it has {have}",
            )
        return tuple(str(v) for v in value)
