"""What a node's programs read: containerd's, the kubelet's and CNI's configuration."""

import json
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.kubernetes.network import PODS

PAUSE_IMAGE: Final = "localhost/pause:1"
CLUSTER_DNS: Final = "10.0.0.10"

CONTAINERD: Final = """\
version = 3
root = "{folder}/lib"
state = "/run/containerd"
[grpc]
  address = "{socket}"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        SystemdCgroup = false
        BinaryName = "{runc}"
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{cni}"]
    conf_dir = "{folder}/cni"
"""
"""A score below a process's own is for who may lower it; the namespaces' root may not."""


def write_containerd(folder: Path, *, runc: Path, cni: Path) -> None:
    """containerd.toml, with nothing outside the folder but its run-time state."""
    text = CONTAINERD.format(folder=folder, socket=socket_of(folder), pause=PAUSE_IMAGE, runc=runc, cni=cni)
    (folder / "containerd.toml").write_text(text, encoding="utf-8")


def write_cni(folder: Path, index: int) -> None:
    """A bridge for the node's pods, whose addresses are routed and not translated."""
    addresses = {
        "type": "host-local",
        "dataDir": "/run/cni-addresses",
        "ranges": [[{"subnet": PODS.format(index)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    pods = {"type": "bridge", "bridge": "pods", "isGateway": True, "hairpinMode": True, "ipam": addresses}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    (folder / "cni").mkdir()
    text = json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": [pods, ports]})
    (folder / "cni" / "pods.conflist").write_text(text, encoding="utf-8")


def write_kubelet(folder: Path, *, address: str, authority: Path, pair: tuple[Path, Path]) -> None:
    """kubelet.yaml: no image is ever collected, since none could be fetched again."""
    settings: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": address,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pair[0]),
        "tlsPrivateKeyFile": str(pair[1]),
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "maxOpenFiles": 20000,
        "clusterDNS": [CLUSTER_DNS],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{socket_of(folder)}",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "localStorageCapacityIsolation": False,
        "podLogsDir": str(folder / "pod-logs"),
        "resolvConf": "",
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "4s",
    }
    (folder / "kubelet.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def socket_of(folder: Path) -> Path:
    """Where containerd listens; a path of at most 107 characters."""
    return folder / "cri.sock"
