"""Nodes with GPUs that nobody has: pods are placed by what the nodes offer, and seem to run until they are ended."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.gpu_nodes import A10, H100, create_nodes, make_node
from tests.support.kubernetes.kubectl import Kubectl, KubectlError, has_condition
from tests.support.kubernetes.kwok import end_pod, write_log
from tests.support.kubernetes.waiting import wait_for


@pytest.fixture(scope="module")
def gpu_kubectl(kwok: ControlPlane) -> Iterator[Kubectl]:
    """Two kinds of nodes."""
    nodes = [make_node("a10", A10, 4), make_node("h100-1", H100), make_node("h100-2", H100)]
    create_nodes(kwok.kubectl, nodes)
    yield kwok.kubectl
    kwok.kubectl.run("delete", "nodes", *(n["metadata"]["name"] for n in nodes))


def make_job(namespace: str, gpus: int, pods: int) -> dict[str, Any]:
    """An Indexed Job that retries nothing."""
    container = {"name": "main", "image": "none", "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "job", "namespace": namespace},
        "spec": {
            "completionMode": "Indexed",
            "completions": pods,
            "parallelism": pods,
            "backoffLimit": 0,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }


def running(kubectl: Kubectl, namespace: str) -> list[dict[str, Any]]:
    return [p for p in kubectl.items("pods", "-n", namespace) if p["status"]["phase"] == "Running"]


def test_pods_run_where_their_gpus_are_until_they_are_ended(gpu_kubectl: Kubectl, namespace: str) -> None:
    gpu_kubectl.create(make_job(namespace, gpus=8, pods=2))
    wait_for(lambda: len(running(gpu_kubectl, namespace)) == 2, "two pods running")
    pods = running(gpu_kubectl, namespace)
    assert {p["spec"]["nodeName"] for p in pods} == {"h100-1", "h100-2"}
    assert all(has_condition(p, "Ready") for p in pods)
    for pod in pods:
        end_pod(gpu_kubectl, pod["metadata"]["name"], namespace=namespace, exit_code=0)
    job = gpu_kubectl.wait_for_condition("job", "job", "Complete", namespace=namespace)
    assert job["status"]["succeeded"] == 2


def test_a_failed_pod_fails_its_job(gpu_kubectl: Kubectl, namespace: str) -> None:
    gpu_kubectl.create(make_job(namespace, gpus=1, pods=1))
    pod = wait_for(lambda: running(gpu_kubectl, namespace), "a pod running")[0]
    end_pod(gpu_kubectl, pod["metadata"]["name"], namespace=namespace, exit_code=137, reason="OOMKilled")
    gpu_kubectl.wait_for_condition("job", "job", "Failed", namespace=namespace)
    ended = gpu_kubectl.read("pod", pod["metadata"]["name"], "-n", namespace)["status"]["containerStatuses"][0]
    assert ended["state"]["terminated"]["reason"] == "OOMKilled"


def test_more_gpus_than_a_node_has_wait(gpu_kubectl: Kubectl, namespace: str) -> None:
    gpu_kubectl.create(make_job(namespace, gpus=9, pods=1))

    def refused() -> list[str]:
        pods = gpu_kubectl.items("pods", "-n", namespace)
        conditions = [c for p in pods for c in p["status"].get("conditions", ())]
        return [c["message"] for c in conditions if c["type"] == "PodScheduled" and c["status"] == "False"]

    assert "3 Insufficient nvidia.com/gpu" in wait_for(refused, "the scheduler's word")[0]


def test_what_is_deleted_is_gone(gpu_kubectl: Kubectl, namespace: str) -> None:
    gpu_kubectl.create(make_job(namespace, gpus=1, pods=1))
    wait_for(lambda: running(gpu_kubectl, namespace), "a pod running")
    gpu_kubectl.run("delete", "job", "job", "-n", namespace)
    wait_for(lambda: not gpu_kubectl.items("pods", "-n", namespace), "no pods left")


def test_a_pod_has_said_what_a_test_lets_it_say(kwok: ControlPlane, gpu_kubectl: Kubectl, namespace: str) -> None:
    gpu_kubectl.create(make_job(namespace, gpus=1, pods=1))
    wait_for(lambda: running(gpu_kubectl, namespace), "a pod running")
    name = running(gpu_kubectl, namespace)[0]["metadata"]["name"]
    write_log(kwok, name, "step 1\nstep 2", namespace=namespace)

    def said() -> str:
        try:
            return gpu_kubectl.run("logs", name, "-n", namespace)
        except KubectlError as e:
            return str(e)

    wait_for(lambda: said() == "step 1\nstep 2\n", "the pod's log", seconds=10)
    assert gpu_kubectl.run("logs", name, "-n", namespace, "--tail=1") == "step 2\n"
