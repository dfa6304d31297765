"""Values out of foreign objects that may be of any shape: what isn't as it should be is empty."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

EMPTY: Final[Mapping[Any, Any]] = MappingProxyType({})

_MAPPINGS: Final = (dict, Mapping)
"""A dict first: asking the abstract class takes ten times as long."""


def child(value: Any, *path: str) -> Mapping[Any, Any]:
    """The mapping at that place."""
    for key in path:
        value = value.get(key) if isinstance(value, _MAPPINGS) else None
    return value if isinstance(value, _MAPPINGS) else EMPTY


def entries(value: Any) -> Sequence[Mapping[str, Any]]:
    """The mappings of a list."""
    return [v for v in value if isinstance(v, _MAPPINGS)] if isinstance(value, list | tuple) else ()


def text(value: Any) -> str:
    """A text."""
    return value if isinstance(value, str) else ""


def texts(value: Any) -> dict[str, str]:
    """The texts of a mapping, as labels are."""
    return {k: v for k, v in child(value).items() if isinstance(k, str) and isinstance(v, str)}


def name_of(value: Any) -> str:
    """metadata.name."""
    return text(child(value, "metadata").get("name"))


def key_of(value: Any) -> str:
    """What tells an object from others of its kind as long as the cluster lives: its UID, or namespace and name."""
    metadata = child(value, "metadata")
    return text(metadata.get("uid")) or f"{text(metadata.get('namespace'))}/{text(metadata.get('name'))}"
