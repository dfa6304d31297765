"""JSON as the standard has it: no key twice, no NaN, no half characters."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NoReturn

SHOWN_KEYS: Final = 8
"""Keys of a row that a sentence lists at most."""

MAX_DIGITS: Final = 4300
"""Digits of an integer at most: Python reads no longer ones, since that takes quadratic time."""


class UnfinishedError(ValueError):
    """The text ends before its value does."""


def parse(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        UnfinishedError: more would have to follow.
        ValueError: with the rest of a sentence that begins with what was read: "is not JSON: …".
    """
    try:
        value = _DECODER.decode(text)
        if "\\u" in text:
            _refuse_half_characters(value)
    except json.JSONDecodeError as e:
        unfinished = e.pos >= len(text.rstrip()) or e.msg.startswith("Unterminated string")
        kind_of_error = UnfinishedError if unfinished else ValueError
        raise kind_of_error(f"is not JSON: {e.msg.removesuffix(' at')} at column {e.colno}") from e
    except RecursionError as e:
        raise ValueError("nests too deeply; write flatter objects") from e
    return value


def same(a: Any, b: Any) -> bool:
    """Equality as JSON has it: 1 is 1.0, and true is not 1."""
    # a stack of our own: what was parsed may nest more deeply than Python's calls may
    pairs = [(a, b)]
    while pairs:
        x, y = pairs.pop()
        if isinstance(x, dict) and isinstance(y, dict) and x.keys() == y.keys():
            pairs += [(value, y[key]) for key, value in x.items()]
        elif isinstance(x, list) and isinstance(y, list) and len(x) == len(y):
            pairs += zip(x, y, strict=True)
        elif isinstance(x, dict | list) or isinstance(x, bool) is not isinstance(y, bool) or x != y:
            return False
    return True


def kind(value: Any) -> str:
    """What JSON calls a value, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def listed_keys(value: Mapping[str, Any]) -> str:
    """The keys of an object for a sentence, long lists cut short."""
    keys = sorted(value)
    more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    return ", ".join(k[:40] for k in keys[:SHOWN_KEYS]) + more


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f'has the key "{twice[:40]}" more than once; keep one of them')
    return found


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"holds a number of {len(digits)} digits; write it as a string")
    return int(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which is not JSON; write a number, a string or null")


def _refuse_half_characters(value: Any) -> None:
    # an escaped surrogate without its other half parses, but is no text that a tokenizer could take
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as e:
        raise ValueError("holds half of a surrogate pair (\\ud800 to \\udfff); write the whole character") from e


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_int=_integer)
