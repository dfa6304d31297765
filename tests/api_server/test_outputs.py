"""One output, one writer: against a real API server, Job controller, scheduler and garbage collector."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.events import format_event
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.gpu_nodes import H100, create_nodes, make_node
from tests.support.kubernetes.kubectl import Kubectl, Manifest
from tests.support.kubernetes.kwok import end_pod
from tests.support.kubernetes.paths import ROOT
from tests.support.kubernetes.processes import free_port
from tests.support.kubernetes.waiting import wait_for
from tests.unit.lifecycle.worlds import make_inspection

CRD = ROOT / "crds" / "finetunejobs.finetune-operator.dev.yaml"
NAME = "tickets"


def volume(namespace: str, name: str) -> Iterator[Manifest]:
    """A claim that is bound at once, so that pods which name it are placed."""
    spec = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    whole, size = f"{namespace}-{name}", {"storage": "1Gi"}
    yield {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": whole},
        "spec": {**spec, "capacity": size, "hostPath": {"path": "/none"}},
    }
    yield {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**spec, "resources": {"requests": size}, "volumeName": whole},
    }


@dataclass(frozen=True)
class Place:
    """A namespace that an operator looks after."""

    kubectl: Kubectl
    namespace: str

    def submit(self) -> None:
        rows = {"configMap": {"name": "rows", "key": "rows.jsonl"}}
        self.kubectl.create(
            {
                "apiVersion": "finetune-operator.dev/v1alpha1",
                "kind": "FineTuneJob",
                "metadata": {"namespace": self.namespace, "name": NAME},
                "spec": {
                    "model": {"source": {"volume": {"claimName": "models", "path": "model"}}},
                    "dataset": {"train": {"source": rows}, "evaluation": {"source": rows}},
                    "hardware": {"devicesPerNode": 1, "nodes": 1},
                    "plan": {"option": "recommended"},
                    "output": {"volume": {"claimName": "results", "path": NAME}},
                },
            }
        )

    def pods(self, component: str) -> list[dict[str, Any]]:
        """That run."""
        label = f"app.kubernetes.io/component={component}"
        found = self.kubectl.items("pods", "-n", self.namespace, "-l", label)
        return [p for p in found if p["status"].get("phase") == "Running"]

    def condition(self, kind: str) -> dict[str, Any]:
        found = self.kubectl.read("finetunejob", NAME, "-n", self.namespace) or {}
        conditions: list[dict[str, Any]] = (found.get("status") or {}).get("conditions") or []
        return next((c for c in conditions if c["type"] == kind), {})

    def reason(self, kind: str, *reasons: str) -> bool:
        return self.condition(kind).get("reason") in reasons

    def inspected(self) -> None:
        """Play the pod that reads model and data."""
        (pod,) = wait_for(partial(self.pods, "inspection"), "a pod that reads")
        end_pod_with(self.kubectl, pod["metadata"]["name"], self.namespace, format_event(make_inspection()))


def end_pod_with(kubectl: Kubectl, name: str, namespace: str, said: str) -> None:
    """Let it end well, with that last word."""
    end_pod(kubectl, name, namespace=namespace, exit_code=0)
    statuses = kubectl.read("pod", name, "-n", namespace)["status"]["containerStatuses"]
    statuses[0]["state"]["terminated"]["message"] = said
    kubectl.patch_status("pod", name, {"containerStatuses": statuses}, namespace=namespace)


@pytest.fixture
def place(kwok: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Place]:
    """With an operator of its own, and one node with GPUs."""
    kubectl, node = kwok.kubectl, f"gpu-{namespace}"
    kubectl.run("apply", "--server-side", "-f", str(CRD))
    kubectl.run("wait", "--for=condition=Established", "crd/finetunejobs.finetune-operator.dev", "--timeout=60s")
    create_nodes(kubectl, [make_node(node, H100)])
    for name in ("models", "results"):
        kubectl.create(*volume(namespace, name))
    flags = ("--namespaces", namespace, "--leader-election", "false", "--trainer-image", "none")
    port = ("--health-host", "127.0.0.1", "--health-port", str(free_port()))
    command = [sys.executable, "-m", "finetune_operator", "--kubeconfig", str(kubectl.kubeconfig), *flags, *port]
    with (tmp_path / "operator.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    yield Place(kubectl, namespace)
    process.terminate()
    process.wait(timeout=60)
    kubectl.run("delete", "node", node)
    kubectl.run("delete", "pv", *(f"{namespace}-{name}" for name in ("models", "results")), "--wait=false")


def test_an_attempt_waits_for_pods_whose_job_somebody_deleted(place: Place) -> None:
    place.submit()
    place.inspected()
    (pod,) = wait_for(partial(place.pods, "trainer"), "a pod that trains")
    job = pod["metadata"]["labels"]["batch.kubernetes.io/job-name"]
    place.kubectl.run("delete", "job", job, "-n", place.namespace, "--cascade=orphan")
    wait_for(partial(place.reason, "Admitted", "WaitingForOutput"), "the output is waited for")
    assert pod["metadata"]["name"] in place.condition("Admitted")["message"]
    assert place.kubectl.read("job", job, "-n", place.namespace) is None
    place.kubectl.run("delete", "pod", pod["metadata"]["name"], "-n", place.namespace, "--wait=false")
    (new,) = wait_for(partial(place.pods, "trainer"), "another pod that trains")
    assert new["metadata"]["uid"] != pod["metadata"]["uid"]
    wait_for(partial(place.reason, "Admitted", "Admitted"), "the job goes on")


def test_a_job_that_is_applied_again_waits_for_the_pods_of_the_old_one(place: Place) -> None:
    place.submit()
    place.inspected()
    (pod,) = wait_for(partial(place.pods, "trainer"), "a pod that trains")
    place.kubectl.run("delete", "finetunejob", NAME, "-n", place.namespace, "--cascade=orphan")
    job = pod["metadata"]["labels"]["batch.kubernetes.io/job-name"]
    place.kubectl.run("delete", "job", job, "-n", place.namespace, "--cascade=orphan")
    place.submit()
    place.inspected()
    wait_for(partial(place.reason, "Admitted", "WaitingForOutput"), "the output is waited for")
    place.kubectl.run("delete", "pod", pod["metadata"]["name"], "-n", place.namespace, "--wait=false")
    (new,) = wait_for(partial(place.pods, "trainer"), "the new job's pod")
    assert new["metadata"]["labels"]["batch.kubernetes.io/job-name"] != job
