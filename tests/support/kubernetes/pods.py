"""Pods for tests of the cluster itself."""

from typing import Any, Final

from tests.support.kubernetes.images import PYTHON_IMAGE
from tests.support.kubernetes.kubectl import Kubectl
from tests.support.kubernetes.waiting import wait_for

USER: Final = 65534
"""Nobody."""


def make_pod(namespace: str, code: str, name: str = "pod", **spec: Any) -> dict[str, Any]:
    """A pod that the restricted standard lets in, with that Python."""
    container = {
        "name": "main",
        "image": PYTHON_IMAGE,
        "imagePullPolicy": "Never",
        "command": ["python3", "-u", "-c", code],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"limits": {"memory": "64Mi"}},
    }
    security = {"runAsNonRoot": True, "runAsUser": USER, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": security,
            "containers": [container],
            **spec,
        },
    }


def wait_for_phase(kubectl: Kubectl, namespace: str, phase: str, name: str = "pod") -> dict[str, Any]:
    """The pod, as soon as it is in that phase."""

    def look() -> dict[str, Any] | None:
        pod: dict[str, Any] = kubectl.read("pod", name, "-n", namespace)
        return pod if pod["status"].get("phase") == phase else None

    return wait_for(look, f"pod {name} {phase}")
