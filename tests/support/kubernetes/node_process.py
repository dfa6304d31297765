"""The first processes of a node: `enter` joins its cgroups and makes its namespaces, `init` is process 1 in them.

Each reads JSON: `hostname`, `namespace` (of the network, and the cgroups' name), `folder`, `path`, `images`, and
the command lines `containerd`, `import`, `kubelet` and `proxy`.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

CGROUPS: Final = Path("/sys/fs/cgroup")
INSISTED: Final = {"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}
"""Settings of the whole machine that the kubelet insists on: files of the node's own, so that the machine keeps its."""

SOCKET_SECONDS: Final = 30.0


def enter(spec: dict[str, Any]) -> None:
    """Become the process whose child is process 1; killed, it takes the node with it."""
    for hierarchy in CGROUPS.iterdir():
        own = hierarchy / spec["namespace"]
        own.mkdir(exist_ok=True)
        if hierarchy.name.startswith("cpuset"):
            for limit in ("cpuset.cpus", "cpuset.mems"):
                (own / limit).write_text((hierarchy / limit).read_text())
        (own / "cgroup.procs").write_text(str(os.getpid()))
    spaces = ["unshare", "--cgroup", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child=KILL"]
    command = ["nsenter", f"--net=/run/netns/{spec['namespace']}", *spaces, "--propagation=slave"]
    arguments = [*command, sys.executable, "-m", "tests.support.kubernetes.node_process", "init", sys.argv[2]]
    os.execvp(arguments[0], arguments)  # noqa: S606 - no shell is the point


def init(spec: dict[str, Any]) -> None:
    """Mount what a node has, start its programs, and take in what is orphaned."""
    os.environ["PATH"] = os.pathsep.join([*spec["path"], os.environ["PATH"]])
    folder = Path(spec["folder"])
    _mount_all(spec["hostname"], folder)
    _start(spec["containerd"], folder / "containerd.log")
    _wait_for(folder / "cri.sock")
    for image in spec["images"]:
        subprocess.run([*spec["import"], image], check=True, stdout=subprocess.DEVNULL)
    _start(spec["kubelet"], folder / "kubelet.log")
    _start(spec["proxy"], folder / "kube-proxy.log")
    while True:
        os.wait()


def _mount_all(name: str, folder: Path) -> None:
    hierarchies = sorted(p.name for p in CGROUPS.iterdir() if p.name != "unified")
    _run("mount", "-t", "proc", "proc", "/proc")
    _run("hostname", name)
    _run("umount", "-R", "/sys")
    _run("mount", "-t", "sysfs", "sysfs", "/sys")
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "cgroups", str(CGROUPS))
    for hierarchy in hierarchies:
        (CGROUPS / hierarchy).mkdir()
        options = "none,name=systemd" if hierarchy == "systemd" else hierarchy
        _run("mount", "-t", "cgroup", "-o", options, "cgroup", str(CGROUPS / hierarchy))
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for machines in ("/var/lib", "/var/log"):
        _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", machines)
    for part in ("netns", "lock"):
        Path("/run", part).mkdir()
    _run("mount", "--make-rshared", "/")
    _run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    for setting, value in INSISTED.items():
        file = folder / setting.replace("/", ".")
        file.write_text(value)
        _run("mount", "--bind", str(file), f"/proc/sys/{setting}")


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _start(command: list[str], log: Path) -> None:
    with log.open("ab") as file:
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + SOCKET_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            sys.exit(f"{path}: not there after {SOCKET_SECONDS:g} s")
        time.sleep(0.05)


if __name__ == "__main__":
    {"enter": enter, "init": init}[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))
