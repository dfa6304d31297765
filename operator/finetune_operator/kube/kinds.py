"""Every kind that the operator reads or writes, and where it is served."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from finetune_operator.constants import GROUP, KIND, VERSION

Object: TypeAlias = dict[str, Any]
"""One object as the API server writes it."""

Key: TypeAlias = tuple[str, str]
"""(namespace, name); the namespace of cluster-wide objects is empty."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str
    is_namespaced: bool = True

    @property
    def api_version(self) -> str:
        """What a manifest writes as apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def selector(self) -> tuple[str, str, str]:
        """Group, version and plural: kopf asks every API group, dead ones too, for anything shorter."""
        return self.group, self.version, self.plural


FINE_TUNE_JOBS: Final = Kind(GROUP, VERSION, "finetunejobs", KIND)
JOBS: Final = Kind("batch", "v1", "jobs", "Job")
PODS: Final = Kind("", "v1", "pods", "Pod")
NODES: Final = Kind("", "v1", "nodes", "Node", is_namespaced=False)
CONFIG_MAPS: Final = Kind("", "v1", "configmaps", "ConfigMap")
SERVICES: Final = Kind("", "v1", "services", "Service")
VOLUME_CLAIMS: Final = Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
EVENTS: Final = Kind("events.k8s.io", "v1", "events", "Event")
LEASES: Final = Kind("coordination.k8s.io", "v1", "leases", "Lease")
RESOURCE_SLICES: Final = Kind("resource.k8s.io", "v1", "resourceslices", "ResourceSlice", is_namespaced=False)
RESOURCE_CLAIMS: Final = Kind("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim")
CLAIM_TEMPLATES: Final = Kind("resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate")

BY_NAME: Final = {
    (kind.api_version, kind.kind): kind
    for kind in (
        FINE_TUNE_JOBS, JOBS, PODS, NODES, CONFIG_MAPS, SERVICES, VOLUME_CLAIMS, EVENTS, LEASES, RESOURCE_SLICES,
        RESOURCE_CLAIMS, CLAIM_TEMPLATES,
    )
}  # fmt: skip
"""By what a manifest writes as apiVersion and kind."""


def kind_of(obj: Mapping[str, Any]) -> Kind:
    """The kind of an object, by its apiVersion and kind.

    Raises:
        KeyError: it is of none that the operator has to do with.
    """
    return BY_NAME[obj["apiVersion"], obj["kind"]]


def key_of(obj: Mapping[str, Any]) -> Key:
    """Where the object is."""
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def uid_of(obj: Mapping[str, Any]) -> str:
    """Which object it is: a name may be used again, a uid never."""
    return str(obj["metadata"]["uid"])
