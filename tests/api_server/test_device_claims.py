"""Devices by dynamic resource allocation: a real scheduler gives an attempt's pods the product that was planned for."""

from collections.abc import Iterator
from typing import Any

import pytest

from finetune_operator.planner.cluster.state import read_capacity
from finetune_operator.renderers.claims import render_claims
from finetune_operator.renderers.job import render_attempt
from finetune_operator.renderers.placement import placement_of
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.gpu_nodes import create_nodes, make_node
from tests.support.kubernetes.kubectl import Kubectl
from tests.support.kubernetes.waiting import wait_for
from tests.support.plans import make_plan
from tests.unit.lifecycle.worlds import IDENTITY, SETTINGS, make_cluster_job
from tests.unit.planner.cluster_objects import make_device, make_slice

CLASS = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "DeviceClass",
    "metadata": {"name": "gpu.nvidia.com"},
    "spec": {
        "selectors": [
            {
                "cel": {
                    "expression": 'device.driver == "gpu.nvidia.com" && '
                    'device.attributes["gpu.nvidia.com"].type == "gpu"'
                }
            }
        ]
    },
}
"""As NVIDIA's driver brings it."""


def devices(product: str, memory: str) -> list[dict[str, Any]]:
    return [make_device(f"gpu-{n}", productName=product, memory=memory) for n in range(4)]


OFFERED = {
    "dra-a": devices("NVIDIA A100-SXM4-80GB", "81920Mi"),
    "dra-b": devices("NVIDIA H100 80GB HBM3", "40000Mi"),
    "dra-c": devices("NVIDIA H100 80GB HBM3", "81559Mi"),
}
"""The last one is planned for."""


@pytest.fixture(scope="module")
def dra_kubectl(kwok: ControlPlane) -> Iterator[Kubectl]:
    """Three nodes whose devices DRA alone offers."""
    kubectl = kwok.kubectl
    create_nodes(kubectl, [make_node(name) for name in OFFERED])
    kubectl.create(CLASS, *(make_slice(name, found) for name, found in OFFERED.items()))
    yield kubectl
    kubectl.run("delete", "nodes", *OFFERED)
    kubectl.run("delete", "resourceslices,deviceclasses", "--all")


def rendered(kubectl: Kubectl, namespace: str) -> list[dict[str, Any]]:
    """What an attempt is made of, without what isn't there: an owner, and claims of volumes."""
    nodes = [n for n in kubectl.items("nodes") if n["metadata"]["name"] in OFFERED]
    capacity = read_capacity(nodes, slices=kubectl.items("resourceslices"))
    planned = next(c for c in capacity.classes if "H100" in c.device.product and c.device.memory > 50 << 30)
    placement = placement_of(make_plan(node_class=planned, nodes=1, devices_per_node=3))
    template = render_claims(make_cluster_job(), IDENTITY, placement, 1)
    job = render_attempt(make_cluster_job(), IDENTITY, "run", placement, 1, SETTINGS)
    assert template is not None
    for found in (template, job):
        found["metadata"] |= {"namespace": namespace, "ownerReferences": []}
    pod = job["spec"]["template"]["spec"]
    pod["volumes"] = [v for v in pod["volumes"] if "persistentVolumeClaim" not in v]
    kept = {v["name"] for v in pod["volumes"]}
    for container in pod["containers"]:
        container["volumeMounts"] = [m for m in container["volumeMounts"] if m["name"] in kept]
    return [template, job]


def test_an_attempt_s_pod_gets_the_planned_devices_and_no_others(dra_kubectl: Kubectl, namespace: str) -> None:
    dra_kubectl.create(*rendered(dra_kubectl, namespace))

    def placed() -> list[str]:
        return [n for p in dra_kubectl.items("pods", "-n", namespace) if (n := p["spec"].get("nodeName"))]

    assert wait_for(placed, "the pod on a node") == ["dra-c"]
    (claim,) = dra_kubectl.items("resourceclaims", "-n", namespace)
    results = claim["status"]["allocation"]["devices"]["results"]
    assert [r["pool"] for r in results] == ["dra-c"] * 3
    held = read_capacity(
        [n for n in dra_kubectl.items("nodes") if n["metadata"]["name"] == "dra-c"],
        slices=dra_kubectl.items("resourceslices"),
        claims=[claim],
    )
    assert held.classes[0].free_devices == ((1, 1),)
