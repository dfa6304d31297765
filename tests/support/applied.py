"""Server-side apply of one manager, on plain dicts."""

from copy import deepcopy
from typing import Any, Final

MAP_KEYS: Final = {
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""Lists whose entries have a key of their own, and which; every other list is one value."""


def merged(stored: Any, before: Any, wanted: Any) -> Any:
    """What is stored after an apply.

    Args:
        stored: what was stored.
        before: what the same manager applied last; what of it is wanted no more goes away.
        wanted: what is applied now.
    """
    if not isinstance(stored, dict) or not isinstance(wanted, dict):
        return deepcopy(wanted)
    before = before if isinstance(before, dict) else {}
    result = {name: value for name, value in stored.items() if name not in before}
    for name, value in wanted.items():
        result[name] = _field(name, stored.get(name), before.get(name), value)
    for name in before.keys() - wanted.keys():
        # what others wrote into a group of ours stays
        rest = _field(name, stored.get(name), before[name], type(before[name])()) if _is_group(name, before) else None
        if rest:
            result[name] = rest
    return result


def _is_group(name: str, fields: dict[str, Any]) -> bool:
    return isinstance(fields[name], dict) or name in MAP_KEYS


def _field(name: str, stored: Any, before: Any, wanted: Any) -> Any:
    if name not in MAP_KEYS or not isinstance(wanted, list):
        return merged(stored, before, wanted)
    key = MAP_KEYS[name]
    entries = merged(_by(key, stored), _by(key, before), _by(key, wanted))
    return list(entries.values())


def _by(key: str, entries: Any) -> dict[Any, Any]:
    return {entry[key]: entry for entry in entries or []}
