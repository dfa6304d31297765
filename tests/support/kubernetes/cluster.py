"""A whole cluster in namespaces: control plane, nodes that run pods, and DNS. Needs root."""

import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.kubernetes.binaries import Command
from tests.support.kubernetes.building import built
from tests.support.kubernetes.control_plane import ControlPlane, control_plane
from tests.support.kubernetes.images import pause_image
from tests.support.kubernetes.network import GATEWAY, bridge, enter
from tests.support.kubernetes.node import Node, node
from tests.support.kubernetes.node_files import CLUSTER_DNS
from tests.support.kubernetes.processes import Process
from tests.support.kubernetes.programs import COREDNS

PACKAGES: Final = {"ip": "iproute2", "iptables": "iptables", "nsenter": "util-linux", "buildah": "buildah"}
"""What has to be on PATH, and Debian's package for it."""

DNS_PORT: Final = 5353

COREFILE: Final = """\
.:{port} {{
  bind {address}
  errors
  kubernetes cluster.local {{
    kubeconfig {kubeconfig} test
    ttl 5
  }}
  cache 5
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A running one."""

    plane: ControlPlane
    nodes: tuple[Node, ...]


@contextmanager
def cluster(folder: Path, program: Command, *, num_nodes: int = 1, images: Sequence[Path] = ()) -> Iterator[Cluster]:
    """Start one whose nodes have those images, and leave nothing of it behind.

    Raises:
        RuntimeError: this machine can't; with what to do about it.
    """
    _check_machine()
    pinned = [pause_image(), *images]
    with ExitStack() as stack:
        network = stack.enter_context(bridge(f"ft-{uuid.uuid4().hex[:6]}"))
        plane = stack.enter_context(control_plane(folder, program, network=network, address=GATEWAY))
        nodes = [
            stack.enter_context(node(plane, network, index, siblings=num_nodes, images=pinned))
            for index in range(num_nodes)
        ]
        stack.enter_context(_dns(plane, network))
        yield Cluster(plane=plane, nodes=tuple(nodes))


def _check_machine() -> None:
    if os.geteuid():
        raise RuntimeError("nodes in namespaces of this machine need root: run it as root")
    missing = [package for command, package in PACKAGES.items() if not shutil.which(command)]
    if missing:
        raise RuntimeError(f"not installed: {', '.join(missing)}; on Debian: make cluster-packages")
    if not Path("/sys/fs/cgroup/memory").is_dir():
        raise RuntimeError(
            "/sys/fs/cgroup is cgroup v2, and nodes here are made for v1 only: run it on a machine that has v1"
        )


@contextmanager
def _dns(plane: ControlPlane, network: str) -> Iterator[None]:
    corefile = plane.place.folder / "Corefile"
    text = COREFILE.format(port=DNS_PORT, address=GATEWAY, kubeconfig=plane.kubeconfig)
    corefile.write_text(text, encoding="utf-8")
    command: list[str | Path] = [*enter(network), built(COREDNS) / "coredns", "-conf", corefile]
    process = Process("coredns", command, plane.place.folder / "coredns.log")
    process.start()
    try:
        plane.kubectl.create(*_dns_service())
        yield
    finally:
        process.stop()


def _dns_service() -> tuple[dict[str, Any], ...]:
    ports = [{"name": p.lower(), "protocol": p, "port": 53, "targetPort": DNS_PORT} for p in ("UDP", "TCP")]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system"},
        "spec": {"clusterIP": CLUSTER_DNS, "ports": ports},
    }
    labels = {"kubernetes.io/service-name": "kube-dns"}
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": p["name"], "protocol": p["protocol"], "port": DNS_PORT} for p in ports],
        "endpoints": [{"addresses": [GATEWAY]}],
    }
    return service, endpoints
