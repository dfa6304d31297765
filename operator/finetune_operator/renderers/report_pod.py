"""A short-lived pod that reads a job's output volume, and the program that packs a report in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from finetune_operator.constants import API_VERSION, KIND

CONTAINER: Final = "report"
"""Of the pod."""

MOUNT: Final = "/output"
"""Where the volume is in it."""

LIFE_SECONDS: Final = 900
"""The pod ends by itself after that, where nobody could delete it."""

COPIED_OF_POD: Final = ("imagePullSecrets", "tolerations", "serviceAccountName")
"""What the trainer's pod has that decides whether ours may run where its volume is."""

COPIED_OF_SECURITY: Final = ("runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy", "supplementalGroups")
"""Who may read what the trainer wrote."""

WAIT_PROGRAM: Final = f"import time; time.sleep({LIFE_SECONDS})"
"""What the pod does: nothing, for as long as it takes."""

PACK_PROGRAM: Final = """
import os, sys, tarfile
folder, *names = sys.argv[1:]
with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
    for name in names:
        path = os.path.join(folder, name)
        found = sorted(os.path.join(name, n) for n in os.listdir(path)) if os.path.isdir(path) else [name]
        for one in found:
            whole = os.path.join(folder, one)
            if os.path.isfile(whole) and not os.path.islink(whole):
                archive.add(whole, one, recursive=False)
"""
"""Writes those files of a folder, and those in its folders of that name, to standard output as a tar stream; what isn't
there is left out. By Python, which the trainer's image has for certain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPod:
    """What a pod that reads a report is made of."""

    name: str
    namespace: str
    owner: str
    """Name of the job."""
    owner_uid: str
    claim: str
    """PersistentVolumeClaim of the output."""
    image: str
    python: str = "python"
    """In the image."""
    template: Mapping[str, Any]
    """Spec of the trainer's pods; empty where it isn't there any more."""
    trainer: Mapping[str, Any]
    """The trainer's container in it; likewise."""


def render_report_pod(pod: ReportPod) -> dict[str, Any]:
    """The pod: within the restricted Pod Security Standard, without a token, the volume read-only."""
    spec = {part: pod.template[part] for part in COPIED_OF_POD if part in pod.template}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "labels": {"app.kubernetes.io/name": "finetune-report", "app.kubernetes.io/managed-by": "finetune-cli"},
            # it goes with the job, should nobody delete it before
            "ownerReferences": [{"apiVersion": API_VERSION, "kind": KIND, "name": pod.owner, "uid": pod.owner_uid}],
        },
        "spec": {
            **spec,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LIFE_SECONDS,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": _security(pod),
            "containers": [_container(pod)],
            "volumes": [{"name": "output", "persistentVolumeClaim": {"claimName": pod.claim, "readOnly": True}}],
        },
    }


def _security(pod: ReportPod) -> dict[str, Any]:
    known = {**(pod.template.get("securityContext") or {}), **(pod.trainer.get("securityContext") or {})}
    copied = {part: known[part] for part in COPIED_OF_SECURITY if part in known}
    return {**copied, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def _container(pod: ReportPod) -> dict[str, Any]:
    small = {"cpu": "100m", "memory": "128Mi"}
    return {
        "name": CONTAINER,
        "image": pod.image,
        "imagePullPolicy": "IfNotPresent",
        "command": [pod.python, "-c", WAIT_PROGRAM],
        "resources": {"requests": small, "limits": small},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "output", "mountPath": MOUNT, "readOnly": True}],
    }


def pack_command(pod: ReportPod, folder: str, *names: str) -> tuple[str, ...]:
    """The command that packs those files of a folder below the volume's root."""
    return (pod.python, "-c", PACK_PROGRAM, f"{MOUNT}/{folder}", *names)
