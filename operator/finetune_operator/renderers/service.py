"""The headless Service by which the ranks of several pods find the first."""

from typing import Any, Final

from finetune_operator.api.resource import Identity
from finetune_operator.renderers import names
from finetune_operator.renderers.placement import Placement

PORT: Final = 29500
"""Of the rendezvous; torch's own default."""


def render_service(identity: Identity, placement: Placement, number: int) -> dict[str, Any] | None:
    """The Service of an attempt; None where one pod is all."""
    if placement.nodes == 1:
        return None
    labels = {"attempt": str(number)}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": names.metadata(identity, names.attempt_name(identity, number), "trainer", **labels),
        "spec": {
            "clusterIP": "None",
            # ranks look for each other before any of them is ready
            "publishNotReadyAddresses": True,
            "selector": names.labels_of(identity, "trainer", **labels),
            "ports": [{"name": "rendezvous", "port": PORT}],
        },
    }


def master_address(identity: Identity, number: int) -> str:
    """Where rank 0 listens: host:port."""
    name = names.attempt_name(identity, number)
    return f"{name}-0.{name}.{identity.namespace}.svc:{PORT}"
