"""What a GitOps tool sees while the operator works: its own manifest, and nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.fleet import RESULT, Fleet, bound_claim, define, make_job
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.gpu_nodes import H100, create_nodes, make_node
from tests.support.kubernetes.kubectl import Kubectl
from tests.support.operator_process import started

MANAGER: Final = "finetune-operator"
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


@pytest.fixture(scope="module")
def node(kwok: ControlPlane) -> Iterator[Kubectl]:
    define(kwok.kubectl)
    create_nodes(kwok.kubectl, [make_node("gitops", H100)])
    yield kwok.kubectl
    kwok.kubectl.run("delete", "node", "gitops")


@pytest.fixture
def fleet(node: Kubectl, namespace: str, tmp_path: Path) -> Iterator[Fleet]:
    node.create(*bound_claim(namespace))
    with started(node, lease=namespace, log=tmp_path / "operator.log") as running:
        yield Fleet(node, namespace)
        assert running.complaints() == []


def apply(fleet: Fleet, job: dict[str, Any], flags: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        fleet.kubectl.run("apply", "-o", "json", *flags, "-f", "-", stdin=json.dumps(job))
    )
    return found


def holds_still(fleet: Fleet, job: dict[str, Any], flags: tuple[str, ...], generation: int) -> None:
    """The same manifest again changes nothing, and nobody else has written on it."""
    name = job["metadata"]["name"]
    assert fleet.kubectl.run("diff", *flags, "-f", "-", stdin=json.dumps(job)) == ""
    before = fleet.read(name)["metadata"]["resourceVersion"]
    again = apply(fleet, job, flags)["metadata"]
    assert (again["resourceVersion"], again["generation"]) == (before, generation)
    assert not again.keys() & {"labels", "finalizers", "ownerReferences", "generateName"}
    assert set(again.get("annotations", {})) <= {LAST_APPLIED}
    for entry in fleet.read(name)["metadata"]["managedFields"]:
        if entry["manager"] == MANAGER:
            assert (entry.get("subresource"), set(entry["fieldsV1"])) == ("status", {"f:status"})


@pytest.mark.parametrize("flags", [(), ("--server-side",)], ids=["client-side", "server-side"])
def test_the_same_manifest_again_changes_nothing_in_any_phase(fleet: Fleet, flags: tuple[str, ...]) -> None:
    job = make_job("tickets", fleet.namespace)
    apply(fleet, job, flags)
    fleet.wait_for_phase("tickets", "Inspecting")
    holds_still(fleet, job, flags, generation=1)
    fleet.inspect("tickets")
    options = fleet.wait_for_phase("tickets", "AwaitingSelection")["options"]
    holds_still(fleet, job, flags, generation=1)
    job["spec"]["plan"] = {"option": options[0]["id"]}
    apply(fleet, job, flags)
    fleet.wait_for_phase("tickets", "Training")
    holds_still(fleet, job, flags, generation=2)
    fleet.end("tickets", "trainer", RESULT)
    fleet.wait_for_phase("tickets", "Succeeded")
    holds_still(fleet, job, flags, generation=2)
