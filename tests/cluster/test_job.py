"""A FineTuneJob trains in a pod of a real kubelet, in a namespace that enforces `restricted`."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cluster.trainer import operator, trainer_image
from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.kubectl import Kubectl
from tests.support.kubernetes.paths import ROOT
from tests.support.kubernetes.waiting import wait_for
from tests.support.tiny_model import write_model
from tests.support.training_jobs import CONTRACT, write_data

CRD: Final = ROOT / "crds" / "finetunejobs.finetune-operator.dev.yaml"
NAME: Final = "colors"
SLOW: Final = 600.0
"""Guards against hanging: a pod imports the whole training stack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A namespace with model, rows, a place for the output, and an operator that looks after it."""

    kubectl: Kubectl
    namespace: str
    network: str
    """Namespace of the network that the API server is in."""
    folder: Path
    """The volume, seen from this machine."""

    def submit(self, **spec: Any) -> None:
        """Apply the job."""
        rows = {
            name: {"source": {"configMap": {"name": "rows", "key": f"{name}.jsonl"}}} for name in ("train", "check")
        }
        whole: dict[str, Any] = {
            "model": {"source": {"volume": {"claimName": "disk", "path": "model"}}},
            "dataset": {"train": rows["train"], "evaluation": rows["check"], "maxLength": 256, "contract": CONTRACT},
            "method": "LoRA",
            "training": {
                "epochs": "6",
                "batchSize": 8,
                "learningRate": "3e-3",
                "precision": "FP32",
                "checkpoint": {"everySteps": 5},
            },
            "hardware": {"accelerator": "CPU"},
            "output": {"volume": {"claimName": "disk", "path": "out"}},
        }
        self.kubectl.apply(
            {
                "apiVersion": "finetune-operator.dev/v1alpha1",
                "kind": "FineTuneJob",
                "metadata": {"name": NAME, "namespace": self.namespace},
                "spec": whole | spec,
            }
        )

    def status(self) -> dict[str, Any]:
        """As the API server holds it."""
        found = self.kubectl.read("finetunejob", NAME, "-n", self.namespace)
        return dict((found or {}).get("status") or {})

    def wait_for_phase(self, *phases: str, seconds: float = SLOW) -> dict[str, Any]:
        """The status, as soon as it is in one of those phases; an end that wasn't waited for is told at once."""

        def look() -> dict[str, Any] | None:
            status = self.status()
            ended = {"Failed", "Invalid"} - set(phases)
            assert status.get("phase") not in ended, status
            return status if status.get("phase") in phases else None

        return wait_for(look, f"{NAME} is {' or '.join(phases)}", seconds=seconds)

    def owned(self, kind: str) -> list[str]:
        """Names of what was made for the job."""
        label = f"finetune-operator.dev/job={NAME}"
        return [i["metadata"]["name"] for i in self.kubectl.items(kind, "-n", self.namespace, "-l", label)]


@pytest.fixture(scope="module")
def prepared(cluster: Cluster) -> Cluster:
    """With the definition, and with the trainer's image on one node."""
    cluster.plane.kubectl.run("apply", "--server-side", "-f", str(CRD))
    cluster.nodes[0].load(trainer_image())
    return cluster


@pytest.fixture
def site(prepared: Cluster, namespace: str, tmp_path: Path) -> Iterator[Site]:
    """Everything but the operator."""
    cluster, kubectl = prepared, prepared.plane.kubectl
    volume = tmp_path / "volume"
    write_model(volume / "model")
    write_data(volume / "rows")
    (volume / "out").mkdir()
    # pods are nobody here, and safetensors are written for their owner alone
    for path in (volume, *volume.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o644)
    rows = {p.name: p.read_text(encoding="utf-8") for p in (volume / "rows").glob("*.jsonl")}
    meta = {"namespace": namespace}
    kubectl.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "rows", **meta}, "data": rows},
        *_disk(namespace, volume),
    )
    yield Site(kubectl=kubectl, namespace=namespace, network=cluster.nodes[0].cluster, folder=volume)
    kubectl.run("delete", "pv", f"disk-{namespace}", "--wait=false")


def _disk(namespace: str, folder: Path) -> Iterator[dict[str, Any]]:
    size = {"storage": "1Gi"}
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    yield {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"disk-{namespace}"},
        "spec": {**common, "capacity": size, "hostPath": {"path": str(folder)}, "nodeAffinity": _on("node-1")},
    }
    claim = {**common, "resources": {"requests": size}, "volumeName": f"disk-{namespace}"}
    yield {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "disk", "namespace": namespace},
        "spec": claim,
    }


def _on(node: str) -> dict[str, Any]:
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    return {"required": {"nodeSelectorTerms": [term]}}


@contextmanager
def running(site: Site) -> Iterator[Any]:
    with operator(
        site.network, site.kubectl.kubeconfig, site.namespace, site.folder.parent / "operator.log"
    ) as process:
        yield process


def _none(site: Site, kind: str) -> bool:
    return not site.owned(kind)


def test_a_job_goes_from_apply_to_an_adapter(site: Site) -> None:
    with running(site):
        site.submit()
        options = site.wait_for_phase("AwaitingSelection", "Planned", "Starting", "Training")["options"]
        site.submit(plan={"option": options[0]["id"]})
        told = site.wait_for_phase("Training", "Succeeded")
        status = site.wait_for_phase("Succeeded")
    assert told["plan"]["option"] == options[0]["id"]
    assert status["evaluation"]["decision"] in {"Keep", "Iterate"}
    assert (site.folder / "out" / "adapter_model.safetensors").is_file()
    assert [a["outcome"] for a in status["attempts"]] == ["Completed"]
    site.kubectl.run("delete", "finetunejob", NAME, "-n", site.namespace)
    for kind in ("jobs", "pods", "configmaps", "services"):
        wait_for(partial(_none, site, kind), f"no {kind} are left", seconds=60)


def test_an_operator_that_is_killed_at_any_point_doubles_nothing(site: Site) -> None:
    site_phases = ("Inspecting", "AwaitingSelection", "Starting", "Training")
    chosen: dict[str, Any] = {}
    for phase in site_phases:
        with running(site) as process:
            site.submit(**chosen)
            status = site.wait_for_phase(phase, *site_phases[site_phases.index(phase) + 1 :], "Succeeded")
            process.send_signal(signal.SIGKILL)
        if status.get("options") and not chosen:
            chosen = {"plan": {"option": status["options"][0]["id"]}}
    with running(site):
        site.submit(**chosen)
        status = site.wait_for_phase("Succeeded")
    assert [a["number"] for a in status["attempts"]] == [1]
    jobs = site.owned("jobs")
    assert len([j for j in jobs if "-look-" in j]) == 1
    assert len(jobs) == 2


def test_a_suspended_job_goes_on_from_its_checkpoint(site: Site) -> None:
    with running(site):
        site.submit(
            plan={"option": "recommended"},
            training={
                "epochs": "40",
                "batchSize": 8,
                "learningRate": "1e-3",
                "precision": "FP32",
                "checkpoint": {"everySteps": 5},
            },
        )
        wait_for(lambda: (site.status().get("checkpoint") or {}).get("step"), "a checkpoint", seconds=SLOW)
        site.kubectl.run(
            "patch", "finetunejob", NAME, "-n", site.namespace, "--type=merge", "-p", '{"spec":{"suspend":true}}'
        )
        site.wait_for_phase("Suspended")
        assert [p for p in site.owned("pods") if "-look-" not in p] == []
        site.kubectl.run(
            "patch", "finetunejob", NAME, "-n", site.namespace, "--type=merge", "-p", '{"spec":{"suspend":false}}'
        )
        status = site.wait_for_phase("Succeeded")
    assert status["restarts"] == 0
