"""Kubernetes objects as API servers give them, with the labels of feature discovery and of clouds."""

from typing import Any

Object = dict[str, Any]

H100 = {
    "nvidia.com/gpu.present": "true",
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.count": "8",
    "nvidia.com/gpu.replicas": "1",
    "nvidia.com/gpu.sharing-strategy": "none",
    "nvidia.com/gpu.family": "hopper",
    "nvidia.com/gpu.compute.major": "9",
    "nvidia.com/gpu.compute.minor": "0",
    "nvidia.com/mig.capable": "true",
    "nvidia.com/mig.strategy": "single",
}
"""Eight whole H100."""

A100_SINGLE = H100 | {
    "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-3g.20gb",
    "nvidia.com/gpu.memory": "20096",
    "nvidia.com/gpu.count": "8",
    "nvidia.com/gpu.slices.gi": "3",
    "nvidia.com/gpu.slices.ci": "3",
    "nvidia.com/gpu.family": "ampere",
    "nvidia.com/gpu.compute.major": "8",
}
"""Four A100, each cut into two equal slices."""

H100_MIXED = H100 | {
    "nvidia.com/mig.strategy": "mixed",
    "nvidia.com/mig-1g.10gb.product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb",
    "nvidia.com/mig-1g.10gb.memory": "9984",
    "nvidia.com/mig-1g.10gb.count": "7",
    "nvidia.com/mig-1g.10gb.replicas": "1",
    "nvidia.com/mig-3g.40gb.product": "NVIDIA-H100-80GB-HBM3-MIG-3g.40gb",
    "nvidia.com/mig-3g.40gb.memory": "40448",
    "nvidia.com/mig-3g.40gb.count": "2",
    "nvidia.com/mig-3g.40gb.replicas": "1",
}
"""Eight H100, two of which are cut, each in another way."""

T4_TIME_SLICED = H100 | {
    "nvidia.com/gpu.product": "Tesla-T4-SHARED",
    "nvidia.com/gpu.memory": "15360",
    "nvidia.com/gpu.count": "1",
    "nvidia.com/gpu.replicas": "4",
    "nvidia.com/gpu.sharing-strategy": "time-slicing",
    "nvidia.com/gpu.family": "turing",
    "nvidia.com/gpu.compute.major": "7",
}
"""One T4 in four replicas."""

L4_MPS = H100 | {
    "nvidia.com/gpu.product": "NVIDIA-L4-SHARED",
    "nvidia.com/gpu.memory": "23034",
    "nvidia.com/gpu.count": "1",
    "nvidia.com/gpu.replicas": "2",
    "nvidia.com/gpu.sharing-strategy": "mps",
    "nvidia.com/mps.capable": "true",
}
"""One L4 in two partitions."""

G5 = {"node.kubernetes.io/instance-type": "g5.12xlarge", "kubernetes.io/arch": "amd64"}
"""Amazon's node with four A10G, without feature discovery."""


def make_node(
    name: str = "n1", gpus: int | str | None = None, labels: dict[str, str] | None = None, **changes: Any
) -> Object:
    """A node that is ready; `gpus` of nvidia.com/gpu, `allocatable` for other resources."""
    allocatable = {"cpu": "95690m", "memory": "1056270368Ki", "ephemeral-storage": "3300000000000", "pods": "110"}
    if gpus is not None:
        allocatable["nvidia.com/gpu"] = str(gpus)
    allocatable |= changes.pop("allocatable", {})
    node: Object = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": {"kubernetes.io/os": "linux", **(labels or {})}},
        "spec": {"providerID": f"cloud:///{name}", **changes.pop("spec", {})},
        "status": {
            "allocatable": allocatable,
            "capacity": {**allocatable, "cpu": "96"},
            "conditions": [
                {"type": "MemoryPressure", "status": "False"},
                {"type": "Ready", "status": changes.pop("ready", "True")},
            ],
            "nodeInfo": {"architecture": "amd64", "operatingSystem": "linux"},
        },
    }
    node["metadata"]["annotations"] = changes.pop("annotations", {})
    assert not changes
    return node


def make_pod(name: str, node: str | None, phase: str = "Running", **spec: Any) -> Object:
    """A pod of one container; `requests` are the container's."""
    container = {"name": "main", "resources": {"requests": spec.pop("requests", {})}}
    whole = {"containers": [container], **spec}
    if node is not None:
        whole["nodeName"] = node
    metadata = {"name": name, "namespace": "team", "uid": f"uid-{name}"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": whole, "status": {"phase": phase}}


def make_device(name: str, **changes: Any) -> Object:
    """A whole H100 of a resource slice; changes are attributes."""
    attributes: Object = {
        "type": {"string": "gpu"},
        "productName": {"string": "NVIDIA H100 80GB HBM3"},
        "architecture": {"string": "Hopper"},
        "cudaComputeCapability": {"version": "9.0.0"},
        "driverVersion": {"version": "580.105.8"},
        "uuid": {"string": f"GPU-{name}"},
    }
    memory = changes.pop("memory", "81559Mi")
    attributes |= {k: {"string": v} for k, v in changes.items()}
    return {"name": name, "attributes": attributes, "capacity": {"memory": {"value": memory}}}


def make_slice(node: str, devices: list[Object], generation: int = 1, count: int = 1, index: int = 0) -> Object:
    """One slice of a node's pool."""
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": f"{node}-gpu.nvidia.com-{generation}-{index}"},
        "spec": {
            "driver": "gpu.nvidia.com",
            "nodeName": node,
            "pool": {"name": node, "generation": generation, "resourceSliceCount": count},
            "devices": devices,
        },
    }


def make_claim(name: str, *devices: tuple[str, str], **changes: Any) -> Object:
    """A claim that holds devices, each given as pool and name."""
    results = [{"driver": "gpu.nvidia.com", "pool": p, "device": d, "request": "gpus", **changes} for p, d in devices]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "team", "uid": f"uid-{name}"},
        "status": {"allocation": {"devices": {"results": results}}},
    }
