"""Kwok: nodes that stay alive without a kubelet, and pods that only seem to run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.kubernetes.building import built
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.gpu_nodes import MANAGED
from tests.support.kubernetes.kubectl import Kubectl, Manifest
from tests.support.kubernetes.processes import Process, free_port
from tests.support.kubernetes.programs import KWOK

STAGES: Final = Path(__file__).with_name("kwok_stages.yaml")
"""What becomes of its nodes and pods, and when."""

LEASE_SECONDS: Final = 40
"""As kubelets have it; without a lease the nodes would be lost after that time."""


LOGS: Final = "logs.kwok.x-k8s.io"

LOGS_DEFINITION: Final[Manifest] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": LOGS},
    "spec": {
        "group": "kwok.x-k8s.io",
        "scope": "Namespaced",
        "names": {"kind": "Logs", "listKind": "LogsList", "plural": "logs", "singular": "logs"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                "subresources": {"status": {}},
            }
        ],
    },
}
"""By which kwok is told what a pod has said."""


@contextmanager
def kwok(plane: ControlPlane, stages: Path = STAGES) -> Iterator[Process]:
    """Run it beside the API server; ended, its nodes are lost as with a kubelet that crashed.

    Args:
        plane: where its nodes and pods are.
        stages: what becomes of them, and when.
    """
    plane.kubectl.apply(LOGS_DEFINITION)
    plane.kubectl.wait_for_condition("crd", LOGS, "Established")
    process = Process("kwok", _command(plane, stages), plane.place.folder / "kwok.log")
    process.start()
    try:
        yield process
    finally:
        process.stop()


def _command(plane: ControlPlane, stages: Path) -> list[str | Path]:
    selector = ",".join(f"{name}={value}" for name, value in MANAGED.items())
    port = free_port()
    certificate, key = plane.authority.write_pair("kwok", "127.0.0.1", user="kwok")
    return [
        built(KWOK) / "kwok",
        f"--kubeconfig={plane.kubeconfig}",
        f"--config={stages}",
        f"--manage-nodes-with-annotation-selector={selector}",
        f"--node-lease-duration-seconds={LEASE_SECONDS}",
        "--enable-crds=Logs",
        "--node-ip=127.0.0.1",
        f"--node-port={port}",
        f"--server-address=127.0.0.1:{port}",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={key}",
    ]


def write_log(plane: ControlPlane, name: str, text: str, *, namespace: str) -> None:
    """Let that be what all containers of a pod that seems to run have said so far."""
    folder = plane.place.folder / "pod-logs"
    folder.mkdir(exist_ok=True)
    file = folder / f"{namespace}.{name}.log"
    file.write_text("".join(f"{_now()} stdout F {line}\n" for line in text.splitlines()), encoding="utf-8")
    plane.kubectl.apply(
        {
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "Logs",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"logs": [{"logsFile": str(file), "follow": False}]},
        }
    )


def end_pod(
    kubectl: Kubectl, name: str, *, namespace: str, exit_code: int, reason: str | None = None, said: str = ""
) -> None:
    """Let a pod that seems to run end with that code and termination message, as its kubelet would say it."""
    pod: dict[str, Any] = kubectl.read("pod", name, "-n", namespace)
    reason = reason or ("Error" if exit_code else "Completed")
    now = _now()
    terminated = {"exitCode": exit_code, "reason": reason, "startedAt": pod["status"]["startTime"], "finishedAt": now}
    terminated |= {"message": said} if said else {}
    status = {
        "phase": "Failed" if exit_code else "Succeeded",
        "conditions": [_not_ready(c, now) for c in pod["status"]["conditions"]],
        "containerStatuses": [
            {**c, "ready": False, "started": False, "state": {"terminated": terminated}}
            for c in pod["status"]["containerStatuses"]
        ],
    }
    kubectl.patch_status("pod", name, status, namespace=namespace)


def _not_ready(condition: dict[str, Any], now: str) -> dict[str, Any]:
    if condition["type"] not in {"Ready", "ContainersReady"}:
        return condition
    return {**condition, "status": "False", "lastTransitionTime": now}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
