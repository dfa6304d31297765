"""A namespace with a model, rows and a place for the output, and the job that is applied there."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.kubernetes.kubectl import Kubectl
from tests.support.kubernetes.waiting import wait_for
from tests.support.tiny_model import write_model
from tests.support.training_jobs import CONTRACT, write_data

NAME: Final = "colors"
"""Of the job."""

SLOW: Final = 1200.0
"""Guards against hanging: a pod imports the whole training stack."""

TRAINING: Final[dict[str, Any]] = {
    "epochs": "6",
    "batchSize": 8,
    "learningRate": "3e-3",
    "precision": "FP32",
    "checkpoint": {"everySteps": 5},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A namespace, and the job in it."""

    kubectl: Kubectl
    namespace: str
    network: str
    """Namespace of the network that the API server is in."""
    folder: Path
    """The volume, seen from this machine."""

    def manifest(self, **spec: Any) -> dict[str, Any]:
        """The job."""
        rows = {
            name: {"source": {"configMap": {"name": "rows", "key": f"{name}.jsonl"}}} for name in ("train", "check")
        }
        whole: dict[str, Any] = {
            "model": {"source": {"volume": {"claimName": "disk", "path": "model"}}},
            "dataset": {"train": rows["train"], "evaluation": rows["check"], "maxLength": 256, "contract": CONTRACT},
            "training": TRAINING,
            "hardware": {"accelerator": "CPU"},
            "output": {"volume": {"claimName": "disk", "path": "out"}},
        }
        return {
            "apiVersion": "finetune-operator.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": NAME, "namespace": self.namespace},
            "spec": whole | spec,
        }

    def submit(self, **spec: Any) -> None:
        """Apply it."""
        self.kubectl.apply(self.manifest(**spec))

    def patch(self, text: str) -> None:
        """Merge into it."""
        self.kubectl.run("patch", "finetunejob", NAME, "-n", self.namespace, "--type=merge", "-p", text)

    def delete(self) -> None:
        """Delete it, and don't wait for what it owns."""
        self.kubectl.run("delete", "finetunejob", NAME, "-n", self.namespace, "--wait=false")

    def status(self) -> dict[str, Any]:
        """As the API server holds it."""
        found = self.kubectl.read("finetunejob", NAME, "-n", self.namespace)
        return dict((found or {}).get("status") or {})

    def wait_for_phase(self, *phases: str, seconds: float = SLOW) -> dict[str, Any]:
        """The status, as soon as it is in one of those phases; an end that wasn't waited for is told at once."""

        def look() -> dict[str, Any] | None:
            status = self.status()
            ended = {"Failed", "Invalid", "Infeasible"} - set(phases)
            assert status.get("phase") not in ended, status
            return status if status.get("phase") in phases else None

        return wait_for(look, f"{NAME} is {' or '.join(phases)}", seconds=seconds)

    def owned(self, kind: str) -> list[str]:
        """Names of what was made for the job."""
        label = f"finetune-operator.dev/job={NAME}"
        return [i["metadata"]["name"] for i in self.kubectl.items(kind, "-n", self.namespace, "-l", label)]

    def everything(self) -> set[tuple[str, str]]:
        """Kind and name of every object of every kind in the namespace; Events go by themselves."""
        listed = self.kubectl.run("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
        kinds = ",".join(k for k in listed if not k.startswith("events"))
        found = self.kubectl.items(kinds, "-n", self.namespace)
        return {(i["kind"], i["metadata"]["name"]) for i in found}


def make_site(kubectl: Kubectl, namespace: str, network: str, folder: Path) -> Site:
    """Fill the namespace, and a folder that becomes its volume."""
    write_model(folder / "model")
    write_data(folder / "rows")
    (folder / "out").mkdir()
    # pods are nobody here, and safetensors are written for their owner alone
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o644)
    rows = {p.name: p.read_text(encoding="utf-8") for p in (folder / "rows").glob("*.jsonl")}
    meta = {"namespace": namespace}
    kubectl.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "rows", **meta}, "data": rows},
        *_disk(namespace, folder),
    )
    return Site(kubectl=kubectl, namespace=namespace, network=network, folder=folder)


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
