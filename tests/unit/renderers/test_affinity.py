"""Pods go to nodes of the class that their option was sized for, by whatever tells its product."""

from typing import Any

import pytest

from finetune_operator.planner.cluster.nodes import matches
from finetune_operator.planner.cluster.state import read_capacity
from finetune_operator.renderers.job import render_attempt
from finetune_operator.renderers.placement import placement_of
from tests.support.plans import make_plan
from tests.unit.lifecycle.worlds import IDENTITY, SETTINGS, make_cluster_job
from tests.unit.planner.cluster_objects import A100_SINGLE, G5, H100, H100_MIXED, make_node

GKE = {"cloud.google.com/gke-accelerator": "nvidia-tesla-a100"}
SLICED = GKE | {"cloud.google.com/gke-gpu-partition-size": "3g.20gb"}
WHOLE_A100 = A100_SINGLE | {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB", "nvidia.com/gpu.memory": "40960"}
A100_MIXED = H100_MIXED | {"nvidia.com/mig-3g.40gb.product": "NVIDIA-A100-SXM4-80GB-MIG-3g.40gb"}
G6 = {"node.kubernetes.io/instance-type": "g6.12xlarge"}
AMD64, ARM64 = {"kubernetes.io/arch": "amd64"}, {"kubernetes.io/arch": "arm64"}
PRESENT = {"nvidia.com/gpu.present": "true"}
SLICE: dict[str, Any] = {"allocatable": {"nvidia.com/mig-3g.40gb": "2"}}
WHOLE: dict[str, Any] = {"gpus": 4}


def terms_for(labels: dict[str, str], offer: dict[str, Any]) -> list[dict[str, Any]]:
    """Node selector terms of a pod whose option was sized for a node with those labels."""
    node = make_node(labels=labels, **offer)
    node["status"]["nodeInfo"].pop("architecture", None)
    (found,) = read_capacity([node]).classes
    plan = make_plan(node_class=found, nodes=1, devices_per_node=1)
    job = render_attempt(make_cluster_job(), IDENTITY, "run", placement_of(plan), 1, SETTINGS)
    affinity = job["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    terms: list[dict[str, Any]] = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return terms


def takes(term: dict[str, Any], labels: dict[str, str]) -> bool:
    """What the scheduler says."""
    said = {
        "NotIn": lambda e: labels.get(e["key"]) not in e["values"],
        "In": lambda e: any(matches(labels, {e["key"]: v}) for v in e["values"]),
        "DoesNotExist": lambda e: e["key"] not in labels,
    }
    return all(said[e["operator"]](e) for e in term["matchExpressions"])


@pytest.mark.parametrize(
    ("labels", "offer", "others"),
    [
        pytest.param(H100, WHOLE, [WHOLE_A100, G5, {}], id="label"),
        pytest.param(A100_SINGLE, WHOLE, [WHOLE_A100, H100], id="equal-slices"),
        pytest.param(WHOLE_A100, WHOLE, [A100_SINGLE], id="whole-beside-slices"),
        pytest.param(H100_MIXED, SLICE, [A100_MIXED], id="slices-of-another-device"),
        pytest.param(GKE, WHOLE, [SLICED, H100], id="cloud"),
        pytest.param(SLICED, WHOLE, [GKE], id="cloud-s-slices"),
        pytest.param({"karpenter.k8s.aws/instance-gpu-name": "l40s"}, WHOLE, [G5, {}], id="karpenter"),
        pytest.param(G5, WHOLE, [G6, H100, {}], id="instance-type-alone"),
        pytest.param(AMD64, {}, [ARM64, H100, GKE, PRESENT], id="processor"),
        pytest.param(ARM64, {}, [AMD64, {}], id="arm"),
    ],
)
def test_a_pod_goes_where_its_devices_are(
    labels: dict[str, str], offer: dict[str, Any], others: list[dict[str, str]]
) -> None:
    terms = terms_for(labels, offer)
    assert any(takes(term, labels) for term in terms)
    assert [other for other in others if any(takes(term, other) for term in terms)] == []


def test_all_machines_of_a_class_are_named() -> None:
    large = G5 | {"node.kubernetes.io/instance-type": "g5.24xlarge"}
    nodes = [make_node("a", 4, G5), make_node("b", 4, large), make_node("c", 4, G6)]
    found = next(c for c in read_capacity(nodes).classes if "A10G" in c.device.product)
    assert (found.nodes, found.instance_types) == (2, ("g5.12xlarge", "g5.24xlarge"))
