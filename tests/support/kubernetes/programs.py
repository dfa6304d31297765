"""The programs of the cluster: which Go modules, and at which versions."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.kubernetes.paths import CACHE, SOURCES

RELEASES: Final = {"1.34": "1.34.4", "1.35": "1.35.4", "1.36": "1.36.3"}
"""Patch release for each minor one; the module proxy doesn't serve every release of k8s.io/kubernetes."""

DEFAULT_RELEASE: Final = "1.36"
"""What the tests run against where nothing else was asked for."""

KUBE: Final = "kube"
"""Whose module has to name what Kubernetes replaces."""

ETCD: Final = "go.etcd.io/etcd/server/v3 v3.6.8"
"""Is linked into the same binary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is built together, of one module at one version."""

    name: str
    version: str
    packages: tuple[str, ...]
    """Import paths of the commands; none for a module of our own, which is in the sources under its name."""
    pins: tuple[str, ...] = ()
    """What a module of our own requires, as `module version`."""
    tags: str = ""
    cgo: bool = False

    @property
    def folder(self) -> Path:
        """Where it is kept; another name as soon as anything that it is built from differs."""
        digest = hashlib.sha256(repr(self).encode())
        for source in sorted((SOURCES / self.name).rglob("*.go")):
            digest.update(source.read_bytes())
        return CACHE / f"{self.name}-{self.version}-{digest.hexdigest()[:8]}"


def kube(release: str) -> Program:
    """Etcd, the control plane, kubelet, kube-proxy and kubectl in one binary.

    Raises:
        ValueError: there is no such release here.
    """
    if release not in RELEASES:
        raise ValueError(f"KUBERNETES={release}: not built here; write one of {', '.join(RELEASES)}")
    return Program(name=KUBE, version=RELEASES[release], packages=(), pins=(ETCD,))


PAUSE: Final = Program(name="pause", version="1", packages=())
KWOK: Final = Program(name="kwok", version="0.8.0", packages=("sigs.k8s.io/kwok/cmd/kwok",))
COREDNS: Final = Program(name="coredns", version="1.15.0", packages=(), pins=("github.com/coredns/coredns v1.15.0",))
CONTAINERD: Final = Program(
    name="containerd",
    version="2.4.2",
    packages=tuple(
        f"github.com/containerd/containerd/v2/cmd/{command}"
        for command in ("containerd", "containerd-shim-runc-v2", "ctr")
    ),
)
CNI: Final = Program(
    name="cni",
    version="1.9.1",
    packages=tuple(
        f"github.com/containernetworking/plugins/plugins/{plugin}"
        for plugin in ("ipam/host-local", "main/bridge", "main/loopback", "meta/portmap")
    ),
)
RUNC: Final = Program(
    name="runc", version="1.5.2", packages=("github.com/opencontainers/runc",), tags="seccomp", cgo=True
)

HELM: Final = Program(name="helm", version="4.3.1", packages=("helm.sh/helm/v4/cmd/helm",))

NODE: Final = (CONTAINERD, RUNC, CNI, PAUSE, COREDNS)
"""What a node needs besides the kubelet, and its cluster's DNS."""
