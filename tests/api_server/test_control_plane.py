"""The control plane is a real one: it refuses, controls, schedules and keeps account of who asked for what."""

from typing import Any

import pytest

from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.kubectl import Kubectl, KubectlError
from tests.support.kubernetes.waiting import wait_for


def make_job(namespace: str, **container: Any) -> dict[str, Any]:
    """A Job of one pod."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none", **container}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "job", "namespace": namespace},
        "spec": {"template": {"spec": pod}},
    }


def test_a_job_gets_its_pod_and_both_go_when_the_job_does(kubectl: Kubectl, namespace: str) -> None:
    kubectl.run("create", "configmap", "another", "-n", namespace)
    kubectl.create(make_job(namespace))
    uid = kubectl.read("job", "job", "-n", namespace)["metadata"]["uid"]

    def kinds() -> set[str]:
        return {o["kind"] for o in kubectl.owned_by(uid, namespace=namespace)}

    assert wait_for(kinds, "the Job's pod") == {"Pod"}
    kubectl.run("delete", "job", "job", "-n", namespace)
    wait_for(lambda: not kinds(), "nothing left")


def test_the_scheduler_says_why_a_pod_waits(kubectl: Kubectl, namespace: str) -> None:
    kubectl.create(make_job(namespace, resources={"limits": {"example.com/none": "1"}}))

    def conditions() -> list[dict[str, Any]]:
        pods = kubectl.items("pods", "-n", namespace)
        return [c for p in pods for c in p["status"].get("conditions", ()) if c["type"] == "PodScheduled"]

    said = wait_for(conditions, "the scheduler's word")[0]
    assert said["reason"] == "Unschedulable"


def test_what_is_wrong_is_refused(kubectl: Kubectl, namespace: str) -> None:
    with pytest.raises(KubectlError, match="imagePullPolicy"):
        kubectl.create(make_job(namespace, imagePullPolicy="Sometimes"))


def test_a_service_account_may_do_what_is_bound_to_it_and_the_audit_log_tells(
    control_plane: ControlPlane, namespace: str
) -> None:
    kubectl = control_plane.kubectl
    account = f"--serviceaccount={namespace}:reader"
    kubectl.run("create", "serviceaccount", "reader", "-n", namespace)
    kubectl.run("create", "role", "reader", "-n", namespace, "--verb=list", "--resource=pods")
    kubectl.run("create", "rolebinding", "reader", "-n", namespace, "--role=reader", account)
    reader = control_plane.kubectl_of_service_account("reader", namespace=namespace)
    assert reader.items("pods", "-n", namespace) == []
    with pytest.raises(KubectlError, match="secrets is forbidden"):
        reader.items("secrets", "-n", namespace)
    asked = control_plane.audit(f"system:serviceaccount:{namespace}:reader")
    told = {(e["objectRef"]["resource"], e["responseStatus"]["code"]) for e in asked if "objectRef" in e}
    assert told == {("pods", 200), ("secrets", 403)}


def test_what_was_written_outlives_the_api_server(control_plane: ControlPlane, namespace: str) -> None:
    kubectl = control_plane.kubectl
    kubectl.run("create", "configmap", "kept", "-n", namespace)
    control_plane.stop_api_server()
    with pytest.raises(KubectlError, match="refused"):
        kubectl.read("configmap", "kept", "-n", namespace)
    control_plane.start_api_server()
    assert kubectl.read("configmap", "kept", "-n", namespace)
