"""Devices that pods get by dynamic resource allocation: a template of claims, resource.k8s.io/v1, for each attempt."""

from typing import Any, Final

from finetune_operator.api.resource import FineTuneJob, Identity
from finetune_operator.planner.cluster.slices import CLASSES, DRIVER, SLICE_NAME
from finetune_operator.renderers import names
from finetune_operator.renderers.placement import Placement

CLAIM: Final = "devices"
"""Of a pod, and what its container asks for."""


def by_claim(placement: Placement) -> bool:
    """Whether its devices are offered by DRA and not by a device plugin."""
    return placement.resource in CLASSES.values()


def render_claims(job: FineTuneJob, identity: Identity, placement: Placement, number: int) -> dict[str, Any] | None:
    """The template of an attempt's claims, one a pod; None where a device plugin offers the devices."""
    if not by_claim(placement):
        return None
    name, labels = names.attempt_name(identity, number), {"attempt": str(number)}
    asked: dict[str, Any] = {
        "deviceClassName": placement.resource,
        "count": placement.devices_per_node,
        "selectors": [{"cel": {"expression": _expression(placement)}}],
    }
    tolerations = _tolerations(job)
    if tolerations:
        asked["tolerations"] = tolerations
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": names.metadata(identity, name, names.TRAINER, **labels),
        "spec": {
            "metadata": {"labels": names.labels_of(identity, names.TRAINER, **labels)},
            "spec": {"devices": {"requests": [{"name": CLAIM, "exactly": asked}]}},
        },
    }


def pod_claims(identity: Identity, number: int) -> list[dict[str, str]]:
    """What a pod's spec says of its claim."""
    return [{"name": CLAIM, "resourceClaimTemplateName": names.attempt_name(identity, number)}]


def _expression(placement: Placement) -> str:
    """Devices of the planned product and size alone: a class holds all that a driver has."""
    product, _, profile = placement.product.partition(SLICE_NAME)
    attributes, capacity = f'device.attributes["{DRIVER}"]', f'device.capacity["{DRIVER}"]'
    parts = [
        f"{attributes}.productName == {_quoted(product)}",
        *([f"{attributes}.profile == {_quoted(profile)}"] if profile else []),
        f'{capacity}.memory.compareTo(quantity("{placement.device_memory}")) == 0',
    ]
    return " && ".join(parts)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _tolerations(job: FineTuneJob) -> list[dict[str, Any]]:
    """Of taints of devices; the scheduler only prefers by the third effect, and devices have none of it."""
    found = [t.model_dump(mode="json", by_alias=True, exclude_none=True) for t in job.spec.hardware.tolerations]
    return [t for t in found if t.get("effect") != "PreferNoSchedule"]
