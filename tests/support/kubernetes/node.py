"""A node: kubelet, containerd and kube-proxy in namespaces and cgroups of their own. Needs root."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.kubernetes.building import built
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.network import ALL_PODS, connect, network_namespace
from tests.support.kubernetes.node_files import socket_of, write_cni, write_containerd, write_kubelet
from tests.support.kubernetes.node_process import CGROUPS
from tests.support.kubernetes.paths import ROOT
from tests.support.kubernetes.processes import Process
from tests.support.kubernetes.programs import CNI, CONTAINERD, RUNC
from tests.support.kubernetes.waiting import wait_for

READY_SECONDS: Final = 300.0
"""Guards against hanging; it takes four seconds, and images of gigabytes a minute."""

PINNED: Final = "io.cri-containerd.pinned=pinned"
"""Label of an image that is never collected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A running one."""

    name: str
    cluster: str
    """Network namespace that its link is in."""
    index: int
    process: Process
    folder: Path

    def load(self, image: Path) -> None:
        """Import an image's archive; it is there to stay."""
        subprocess.run([*_import(self.folder), image], check=True, capture_output=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seat:
    """Where a node is."""

    name: str
    namespace: str
    """Of the network, and the name of its cgroups."""
    index: int
    address: str
    folder: Path


@contextmanager
def node(
    plane: ControlPlane, cluster: str, index: int, *, siblings: int, images: Sequence[Path] = ()
) -> Iterator[Node]:
    """Start one, wait until it is ready, and leave nothing of it behind."""
    name = f"node-{index + 1}"
    namespace = f"{cluster}-{name}"
    folder = plane.place.folder / name
    folder.mkdir()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(network_namespace(namespace))
        address = connect(cluster, namespace, index, siblings)
        seat = _Seat(name=name, namespace=namespace, index=index, address=address, folder=folder)
        spec = _write_spec(plane, seat, images)
        command: list[str | Path] = [sys.executable, "-m", "tests.support.kubernetes.node_process", "enter", spec]
        process = Process(name, command, folder / "node.log", cwd=ROOT)
        stack.callback(_remove_cgroups, namespace)
        stack.callback(process.stop, signal.SIGKILL)
        process.start()
        _wait_until_ready(plane, name, process)
        yield Node(name=name, cluster=cluster, index=index, process=process, folder=folder)


def _write_spec(plane: ControlPlane, seat: _Seat, images: Sequence[Path]) -> Path:
    folder = seat.folder
    programs = {p.name: built(p) for p in (CONTAINERD, RUNC, CNI)}
    write_containerd(folder, runc=programs["runc"] / "runc", cni=programs["cni"])
    write_cni(folder, seat.index)
    pair = plane.authority.write_pair(
        seat.name, seat.address, seat.name, user=f"system:node:{seat.name}", group="system:nodes"
    )
    write_kubelet(folder, address=seat.address, authority=plane.place.folder / "ca.crt", pair=pair)
    spec: dict[str, Any] = {
        "hostname": seat.name,
        "namespace": seat.namespace,
        "folder": str(folder),
        "path": [str(p) for p in programs.values()],
        "images": [str(i) for i in images],
        "containerd": [str(programs["containerd"] / "containerd"), "-c", str(folder / "containerd.toml")],
        "import": _import(folder),
        "kubelet": _kubelet(plane, seat),
        "proxy": _proxy(plane, seat.name),
    }
    path = folder / "node.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    return path


def _import(folder: Path) -> list[str]:
    ctr = [str(built(CONTAINERD) / "ctr"), "-a", str(socket_of(folder)), "-n", "k8s.io"]
    return [*ctr, "images", "import", "--local", "--label", PINNED]


def _kubelet(plane: ControlPlane, seat: _Seat) -> list[str]:
    user = f"system:node:{seat.name}"
    kubeconfig = plane.authority.write_kubeconfig(f"kubelet-{seat.name}", user=user, group="system:nodes")
    return [
        *plane.program("kubelet"),
        f"--config={seat.folder / 'kubelet.yaml'}",
        f"--kubeconfig={kubeconfig}",
        f"--root-dir={seat.folder / 'kubelet'}",
        f"--cert-dir={seat.folder / 'kubelet' / 'pki'}",
        f"--hostname-override={seat.name}",
        f"--node-ip={seat.address}",
    ]


def _proxy(plane: ControlPlane, name: str) -> list[str]:
    kubeconfig = plane.authority.write_kubeconfig(f"proxy-{name}", user="system:kube-proxy")
    tracking = ("max-per-core", "tcp-timeout-established", "tcp-timeout-close-wait")
    return [
        *plane.program("kube-proxy"),
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={name}",
        "--proxy-mode=iptables",
        *(f"--conntrack-{setting}=0" for setting in tracking),
        f"--cluster-cidr={ALL_PODS}",
    ]


def _wait_until_ready(plane: ControlPlane, name: str, process: Process) -> None:
    def look() -> bool:
        process.check()
        found = plane.kubectl.read("node", name)
        conditions = found["status"].get("conditions", ()) if found else ()
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    try:
        wait_for(look, f"{name} ready", seconds=READY_SECONDS)
    except (TimeoutError, RuntimeError) as e:
        logs = [process.log, *(process.log.parent / f"{n}.log" for n in ("containerd", "kubelet"))]
        said = [f"{log.name}: {line}" for log in logs if log.exists() for line in log.read_text().splitlines()[-4:]]
        raise RuntimeError("\n".join([f"{name} doesn't become ready", *said])) from e


def _remove_cgroups(name: str) -> None:
    for hierarchy in CGROUPS.iterdir():
        groups = sorted((hierarchy / name).rglob("*"), key=lambda p: len(p.parts), reverse=True)
        for group in [*(g for g in groups if g.is_dir()), hierarchy / name]:
            _remove_cgroup(group)


def _remove_cgroup(group: Path) -> None:
    # The kernel lets go of a group a moment after its last process has gone.
    deadline = time.monotonic() + 5
    while group.exists() and time.monotonic() < deadline:
        with suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.05)
