"""Nodes with GPUs that nobody has, as GPU feature discovery and the device plugin describe them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.support.kubernetes.kubectl import Kubectl, has_condition
from tests.support.kubernetes.waiting import wait_for

MANAGED: Final = {"kwok.x-k8s.io/node": "fake"}
"""Annotation by which kwok knows its nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A product, as its labels tell it."""

    product: str
    memory_mib: int
    compute: tuple[int, int]
    family: str

    def labels(self, count: int) -> dict[str, str]:
        """Of a node with that many of them, whole."""
        told = {
            "count": count,
            "product": self.product,
            "memory": self.memory_mib,
            "family": self.family,
            "compute.major": self.compute[0],
            "compute.minor": self.compute[1],
            "present": "true",
            "replicas": 1,
            "sharing-strategy": "none",
        }
        return {f"nvidia.com/gpu.{name}": str(value) for name, value in told.items()}


A10: Final = Gpu(product="NVIDIA-A10", memory_mib=23028, compute=(8, 6), family="ampere")
A100_40: Final = Gpu(product="NVIDIA-A100-SXM4-40GB", memory_mib=40960, compute=(8, 0), family="ampere")
H100: Final = Gpu(product="NVIDIA-H100-80GB-HBM3", memory_mib=81559, compute=(9, 0), family="hopper")


def make_node(
    name: str,
    gpu: Gpu | None = None,
    count: int = 8,
    *,
    cores: int = 64,
    memory: str = "512Gi",
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A ready node that kwok keeps alive; without a GPU it has cores alone."""
    resources = {"cpu": str(cores), "memory": memory, "ephemeral-storage": "2Ti", "pods": "110"}
    devices = {"nvidia.com/gpu": str(count)} if gpu else {}
    described = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        **(gpu.labels(count) if gpu else {}),
        **(labels or {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": MANAGED, "labels": described},
        "status": {"capacity": {**resources, **devices}, "allocatable": {**resources, **devices}},
    }


def create_nodes(kubectl: Kubectl, nodes: list[dict[str, Any]], *, seconds: float = 60.0) -> None:
    """Create them, and wait until all are ready and take pods."""
    kubectl.create(*nodes)
    names = {n["metadata"]["name"] for n in nodes}

    def all_are_ready() -> bool:
        return names <= {n["metadata"]["name"] for n in kubectl.items("nodes") if _takes_pods(n)}

    wait_for(all_are_ready, f"{len(nodes)} nodes ready", seconds=seconds)


def _takes_pods(node: dict[str, Any]) -> bool:
    return has_condition(node, "Ready") and not node["spec"].get("taints")
