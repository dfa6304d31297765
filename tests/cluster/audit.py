"""What the API server's audit log tells of one namespace and of the operator."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Event = Mapping[str, Any]

CREATED = 201


def within(events: Iterable[Event], namespace: str) -> list[Event]:
    """Requests about objects of that namespace."""
    return [e for e in events if (e.get("objectRef") or {}).get("namespace") == namespace]


def created(events: Iterable[Event], *resources: str) -> Counter[tuple[str, str]]:
    """How often an object of that kind and name was made; of some, as pods, the server gives the name."""
    return Counter(
        (e["objectRef"]["resource"], str(e["objectRef"].get("name") or e["auditID"]))
        for e in events
        if e["responseStatus"].get("code") == CREATED
        and e["objectRef"]["resource"] in resources
        and "subresource" not in e["objectRef"]
    )


def lists(events: Iterable[Event]) -> Counter[str]:
    """How often a kind was listed; a long list is asked for in pages."""
    return Counter(
        e["objectRef"]["resource"] for e in events if e["verb"] == "list" and "continue=" not in e["requestURI"]
    )


def statuses(events: Iterable[Event], name: str) -> Iterator[Mapping[str, Any]]:
    """What the status of that job was to be, write by write."""
    for e in events:
        ref = e.get("objectRef") or {}
        if (e["verb"], ref.get("subresource"), ref.get("name")) == ("patch", "status", name):
            yield e["requestObject"]["status"]


def told(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of a status isn't progress: everything but where the trainer is."""
    return {k: v for k, v in status.items() if k not in {"progress", "checkpoint", "memory"}}
