"""The command lines of the control plane's programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

SERVICE_ADDRESSES: Final = "10.0.0.0/24"
"""Of ClusterIP services; the first is the API server's own."""

AUDIT_POLICY: Final[dict[str, Any]] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {
            "level": "Request",
            "verbs": ["patch"],
            "resources": [{"group": "finetune-operator.dev", "resources": ["finetunejobs/status"]}],
        },
        {"level": "Metadata"},
    ],
}
"""Who asked for what and what came of it, and what a status was to be; one line for each request, and one more when a
watch ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one control plane is."""

    folder: Path
    address: str
    port: int
    etcd_port: int
    etcd_peer_port: int
    feature_gates: tuple[str, ...] = ()
    """`Name=true` or `Name=false`, for every program alike."""

    @property
    def audit_log(self) -> Path:
        """One JSON object a line."""
        return self.folder / "audit.log"


def flags_of_etcd(place: Place) -> list[str]:
    """Nothing is flushed to disk: no test outlives a machine's crash."""
    clients = f"http://127.0.0.1:{place.etcd_port}"
    return [
        f"--data-dir={place.folder / 'etcd'}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls=http://127.0.0.1:{place.etcd_peer_port}",
        "--log-level=error",
    ]


def flags_of_apiserver(
    place: Place,
    *,
    authority: Path,
    server: tuple[Path, Path],
    kubelet_client: tuple[Path, Path],
    service_accounts: Path,
) -> list[str]:
    """With Node and RBAC authorization, and an audit log."""
    policy = place.folder / "audit-policy.yaml"
    policy.write_text(yaml.safe_dump(AUDIT_POLICY), encoding="utf-8")
    return [
        f"--etcd-servers=http://127.0.0.1:{place.etcd_port}",
        f"--bind-address={place.address}",
        f"--advertise-address={place.address}",
        f"--secure-port={place.port}",
        f"--tls-cert-file={server[0]}",
        f"--tls-private-key-file={server[1]}",
        f"--client-ca-file={authority}",
        f"--kubelet-client-certificate={kubelet_client[0]}",
        f"--kubelet-client-key={kubelet_client[1]}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={service_accounts}",
        f"--service-account-signing-key-file={service_accounts}",
        f"--service-cluster-ip-range={SERVICE_ADDRESSES}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={place.audit_log}",
        "--audit-log-maxsize=100000",  # MB; smaller, and a test would look at the last piece only
        f"--cert-dir={place.folder}",
        *_gates(place),
    ]


def flags_of_controllers(
    kubeconfig: Path, place: Place, *, authority: tuple[Path, Path], service_accounts: Path
) -> list[str]:
    """Every controller, each with a service account of its own, as clusters have it."""
    return [
        *_flags_of_client(kubeconfig, place),
        f"--service-account-private-key-file={service_accounts}",
        f"--root-ca-file={authority[0]}",
        "--use-service-account-credentials",
        f"--cluster-signing-cert-file={authority[0]}",
        f"--cluster-signing-key-file={authority[1]}",
    ]


def flags_of_scheduler(kubeconfig: Path, place: Place) -> list[str]:
    """The default profile."""
    return _flags_of_client(kubeconfig, place)


def _flags_of_client(kubeconfig: Path, place: Place) -> list[str]:
    kinds: Sequence[str] = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    return [
        *(f"--{kind}={kubeconfig}" for kind in kinds),
        "--leader-elect=false",
        "--secure-port=0",
        f"--cert-dir={place.folder}",
        "--kube-api-qps=1000",
        "--kube-api-burst=1000",
        *_gates(place),
    ]


def _gates(place: Place) -> list[str]:
    return [f"--feature-gates={','.join(place.feature_gates)}"] if place.feature_gates else []
