"""Label selectors, as the API server reads them."""

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

Labels: TypeAlias = Mapping[str, str]
Requirement: TypeAlias = Callable[[Labels], bool]


def selects(selector: str, labels: Labels) -> bool:
    """Whether labels match every requirement; the empty selector matches everything."""
    return all(_requirement(part)(labels) for part in re.split(r",(?![^(]*\))", selector) if part.strip())


def _requirement(text: str) -> Requirement:
    if match := re.fullmatch(r"\s*(\S+)\s+(in|notin)\s+\(([^)]*)\)\s*", text):
        key, operator, values = match[1], match[2], {v.strip() for v in match[3].split(",")}
        return lambda labels: (labels.get(key) in values) == (operator == "in")
    if match := re.fullmatch(r"\s*([^\s!=]+)\s*(==|=|!=)\s*([^\s!=]*)\s*", text):
        key, operator, value = match[1], match[2], match[3]
        return lambda labels: (labels.get(key) == value) == (operator != "!=")
    if match := re.fullmatch(r"\s*(!?)([^\s!=]+)\s*", text):
        key, is_absent = match[2], bool(match[1])
        return lambda labels: (key in labels) != is_absent
    message = f"{text!r} is no label selector"
    raise ValueError(message)
