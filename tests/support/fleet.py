"""FineTuneJobs on nodes that nobody has: what a kubelet, a trainer and a person do, played."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from finetune_operator.api.crd import CRD_NAME
from finetune_operator.planner.catalogue import CATALOGUE
from finetune_operator.renderers.names import COMPONENT_LABEL, JOB_LABEL
from finetune_trainer.events import DataFacts, Event, InspectionFacts, ResultEvent, TokenLengths, format_event
from tests.support.bad_jobs import changed, make_cluster_job
from tests.support.kubernetes.kubectl import Kubectl, KubectlError
from tests.support.kubernetes.kwok import end_pod
from tests.support.kubernetes.paths import ROOT
from tests.support.kubernetes.waiting import wait_for
from tests.support.trainer_builders import make_shape

MODEL: Final = "Qwen/Qwen2.5-7B-Instruct"
CLAIM: Final = "results"

_LENGTHS: Final = TokenLengths(p50=280, p95=800, max=2048, total=4_000_000, answer_total=1_000_000)
_DATA: Final = DataFacts(format="Alpaca", rows=12_400, skipped=0, faults=(), fault_count=0, lengths=_LENGTHS)
FACTS: Final = InspectionFacts(
    model_config_json=json.dumps(CATALOGUE[MODEL]),
    weight_bytes=15 << 30,
    train=_DATA,
    evaluation=_DATA,
    evaluated=make_shape(),
)
"""What an inspection says of a model of seven billion parameters and a day's worth of rows."""

RESULT: Final = ResultEvent(
    decision="Keep",
    because="loss went from 3 to 2",
    next_step="use it",
    rows=100,
    baseline={"loss": 3.0},
    tuned={"loss": 2.0},
    memory_predicted=30 << 30,
    memory_measured=31 << 30,
    output="/output/a",
    output_bytes=100 << 20,
    digest=f"sha256:{0:064}",
    report="/output/a/finetune_report.md",
)
"""What a training says that has ended well."""


def define(kubectl: Kubectl) -> None:
    """Make FineTuneJobs known, as they are now."""
    kubectl.run("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    kubectl.wait_for_condition("crd", CRD_NAME, "Established")
    wait_for(lambda: _is_served(kubectl), "FineTuneJobs to be served")


def _is_served(kubectl: Kubectl) -> bool:
    """An API server that has only just made room for a kind asks to be left alone for a while."""
    try:
        kubectl.run("get", CRD_NAME, "--all-namespaces")
    except KubectlError:
        return False
    return True


def make_job(name: str, namespace: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Model from the hub, rows from a ConfigMap, output on the claim."""
    own = {
        "metadata.namespace": namespace,
        "spec.model.source": {"hub": {"repo": MODEL}},
        "spec.dataset.train.source": {"configMap": {"name": "rows", "key": "train.jsonl"}},
        "spec.output.volume": {"claimName": CLAIM, "path": name},
    }
    return changed(make_cluster_job(name), {**own, **(changes or {})})


def bound_claim(namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A volume that nobody reads, and the claim that has it: the scheduler asks for both."""
    spec = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    capacity = {"storage": "1Ti"}
    claim, volume = {"namespace": namespace, "name": CLAIM}, f"{namespace}-{CLAIM}"
    return (
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {**spec, "capacity": capacity, "hostPath": {"path": "/none"}, "claimRef": claim},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": claim,
            "spec": {**spec, "volumeName": volume, "resources": {"requests": capacity}},
        },
    )


@dataclass(frozen=True, slots=True)
class Fleet:
    """One namespace of a cluster with an operator and with nodes that nobody has."""

    kubectl: Kubectl
    namespace: str

    def read(self, name: str) -> dict[str, Any]:
        """The job."""
        found: dict[str, Any] = self.kubectl.read("ftj", name, "-n", self.namespace, "--show-managed-fields")
        return found

    def status(self, name: str) -> dict[str, Any]:
        """What is said of the job."""
        found: dict[str, Any] = self.read(name).get("status") or {}
        return found

    def wait_for_phase(self, name: str, *phases: str) -> dict[str, Any]:
        """The job's status as soon as it is in one of them, of the spec as it is."""

        def look() -> dict[str, Any] | None:
            job = self.read(name)
            status: dict[str, Any] = job.get("status") or {}
            seen = status.get("observedGeneration") == job["metadata"]["generation"]
            return status if seen and status.get("phase") in phases else None

        return wait_for(look, f"{name} to be {' or '.join(phases)}; it is {self.status(name).get('phase')}")

    def pods(self, name: str, component: str) -> list[dict[str, Any]]:
        """A job's pods of one sort."""
        selector = f"{JOB_LABEL}={name},{COMPONENT_LABEL}={component}"
        return self.kubectl.items("pods", "-n", self.namespace, "-l", selector)

    def end(self, name: str, component: str, said: Event, code: int = 0) -> None:
        """Let a job's pod say that as soon as it runs, and end."""

        def running() -> list[dict[str, Any]]:
            return [p for p in self.pods(name, component) if p["status"]["phase"] == "Running"]

        pods = wait_for(running, f"a running pod of {name}")
        for pod in pods:
            end_pod(
                self.kubectl,
                pod["metadata"]["name"],
                namespace=self.namespace,
                exit_code=code,
                said=format_event(said),
            )

    def inspect(self, name: str, facts: InspectionFacts = FACTS) -> None:
        """Let model and data be read."""
        self.end(name, "inspection", facts)

    def hold(self, name: str, node: str, devices: int) -> None:
        """A pod of somebody else's that has devices of a node."""
        resources = {"limits": {"nvidia.com/gpu": str(devices)}}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "nodeSelector": {"kubernetes.io/hostname": node},
                "containers": [{"name": "main", "image": "none", "resources": resources}],
            },
        }
        self.kubectl.create(pod)
        self.wait_for_pod(name, lambda p: p["status"]["phase"] == "Running")

    def release(self, name: str) -> None:
        """It ends, and its devices are free."""
        end_pod(self.kubectl, name, namespace=self.namespace, exit_code=0)

    def wait_for_pod(self, name: str, so: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until a pod is so."""

        def look() -> bool:
            pod = self.kubectl.read("pod", name, "-n", self.namespace)
            return bool(pod) and so(pod)

        wait_for(look, f"pod {name}")
