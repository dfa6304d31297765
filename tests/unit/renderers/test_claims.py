"""Devices by dynamic resource allocation: a template of claims, and pods that name it."""

from typing import Any

import pytest

from finetune_operator.planner.cluster.state import read_capacity
from finetune_operator.renderers.claims import render_claims
from finetune_operator.renderers.job import render_attempt
from finetune_operator.renderers.placement import Placement, placement_of
from tests.support.plans import make_plan
from tests.support.pod_security import violations
from tests.unit.lifecycle.test_admission import make_placement
from tests.unit.lifecycle.worlds import IDENTITY, SETTINGS, make_cluster_job
from tests.unit.planner.cluster_objects import make_device, make_node, make_slice

TOLERATED = [
    {"key": "maintenance", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "old", "operator": "Exists", "effect": "PreferNoSchedule"},
]


def make_claimed(**attributes: Any) -> Placement:
    """What a plan for two of a node's four devices holds."""
    devices = [make_device(f"gpu-{n}", **attributes) for n in range(4)]
    (found,) = read_capacity([make_node()], slices=[make_slice("n1", devices)]).classes
    return placement_of(make_plan(node_class=found, nodes=1, devices_per_node=2))


def asked(placement: Placement, **spec: Any) -> dict[str, Any]:
    template = render_claims(make_cluster_job(**spec), IDENTITY, placement, 2)
    assert template is not None
    (request,) = template["spec"]["spec"]["devices"]["requests"]
    exactly: dict[str, Any] = request["exactly"]
    return exactly


def test_a_claim_is_for_the_planned_product_and_size() -> None:
    exactly = asked(make_claimed())
    assert (exactly["deviceClassName"], exactly["count"]) == ("gpu.nvidia.com", 2)
    expression = exactly["selectors"][0]["cel"]["expression"]
    assert 'device.attributes["gpu.nvidia.com"].productName == "NVIDIA H100 80GB HBM3"' in expression
    assert f'memory.compareTo(quantity("{make_claimed().device_memory}")) == 0' in expression
    assert "profile" not in expression
    assert "tolerations" not in exactly


def test_a_slice_is_told_by_its_profile_too() -> None:
    sliced = {"type": "mig", "profile": "3g.40gb"}
    exactly = asked(make_claimed(**sliced))
    assert exactly["deviceClassName"] == "mig.nvidia.com"
    expression = exactly["selectors"][0]["cel"]["expression"]
    assert '.productName == "NVIDIA H100 80GB HBM3"' in expression
    assert '.profile == "3g.40gb"' in expression


def test_taints_of_devices_are_tolerated_as_the_job_says() -> None:
    exactly = asked(make_claimed(), hardware={"tolerations": TOLERATED})
    assert [t["key"] for t in exactly["tolerations"]] == ["maintenance"]


def test_the_pod_names_the_template_and_asks_for_no_resource_of_a_device_plugin() -> None:
    placement = make_claimed()
    template = render_claims(make_cluster_job(), IDENTITY, placement, 2)
    assert template is not None
    job = render_attempt(make_cluster_job(), IDENTITY, "run", placement, 2, SETTINGS)
    pod = job["spec"]["template"]["spec"]
    (claim,) = pod["resourceClaims"]
    assert claim["resourceClaimTemplateName"] == template["metadata"]["name"] == job["metadata"]["name"]
    resources = pod["containers"][0]["resources"]
    assert resources["claims"] == [{"name": claim["name"]}]
    assert set(resources["limits"]) == {"memory"}
    assert "nodeAffinity" not in pod.get("affinity", {})
    assert violations(pod) == []
    assert template["metadata"]["ownerReferences"][0]["uid"] == IDENTITY.uid


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", ""])
def test_devices_of_a_device_plugin_need_no_claim(resource: str) -> None:
    assert render_claims(make_cluster_job(), IDENTITY, make_placement(resource=resource), 1) is None
