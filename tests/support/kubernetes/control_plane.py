"""A control plane as processes of this machine: etcd, API server, controller manager and scheduler."""

import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.kubernetes.binaries import Command
from tests.support.kubernetes.certificates import Authority
from tests.support.kubernetes.flags import (
    Place,
    flags_of_apiserver,
    flags_of_controllers,
    flags_of_etcd,
    flags_of_scheduler,
)
from tests.support.kubernetes.kubectl import Kubectl, KubectlError
from tests.support.kubernetes.network import within
from tests.support.kubernetes.processes import Process, free_port
from tests.support.kubernetes.waiting import wait_for

START_SECONDS: Final = 120.0
"""Guards against hanging; it takes five seconds."""

API_SERVER: Final = "kube-apiserver"
CONTROLLERS: Final = "kube-controller-manager"
SCHEDULER: Final = "kube-scheduler"


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """A running one."""

    place: Place
    authority: Authority
    kubectl: Kubectl
    """As administrator."""
    program: Command
    """What starts another program of the same release, wherever the caller is."""
    command: Command
    """The same, where the control plane is."""
    processes: Mapping[str, Process]

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.kubectl.kubeconfig

    def kubectl_of_service_account(self, name: str, *, namespace: str) -> Kubectl:
        """Kubectl with that account's rights; its token is good for an hour."""
        token = self.kubectl.run("create", "token", name, "-n", namespace).strip()
        kubeconfig = self.authority.write_token_kubeconfig(f"{namespace}.{name}", token)
        return Kubectl(program=self.command("kubectl"), kubeconfig=kubeconfig)

    def kubectl_of_user(self, user: str, *, group: str | None = None) -> Kubectl:
        """Kubectl as that user, who may do only what RBAC binds to them."""
        kubeconfig = self.authority.write_kubeconfig(user, user=user, group=group)
        return Kubectl(program=self.command("kubectl"), kubeconfig=kubeconfig)

    def audit(self, user: str | None = None) -> list[dict[str, Any]]:
        """Every request so far as the audit log has it, or that user's alone."""
        with self.place.audit_log.open(encoding="utf-8") as log:
            events = [json.loads(line) for line in log if line.endswith("\n")]
        return [e for e in events if user in {None, e["user"].get("username")}]

    def stop_api_server(self, sent: int = signal.SIGKILL) -> None:
        """End it and wait until it is gone; with SIGTERM it waits as long as it is let for its watchers to leave."""
        self.processes[API_SERVER].stop(sent)

    def start_api_server(self) -> None:
        """Start it again, and wait until it is ready."""
        self.processes[API_SERVER].start()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until the API server says that it is."""
        answers: list[str] = []

        def is_ready() -> bool:
            self.processes["etcd"].check()
            self.processes[API_SERVER].check()
            try:
                answers.append(self.kubectl.run("get", "--raw", "/readyz"))
            except KubectlError as e:
                answers.append(str(e))
            return answers[-1] == "ok"

        try:
            wait_for(is_ready, "API server ready", seconds=START_SECONDS)
        except TimeoutError as e:
            raise TimeoutError(f"API server: not ready within {START_SECONDS:g} s; it says {answers[-1]}") from e


@contextmanager
def control_plane(
    folder: Path,
    program: Command,
    *,
    feature_gates: Sequence[str] = (),
    network: str | None = None,
    address: str = "127.0.0.1",
) -> Iterator[ControlPlane]:
    """Start one, and end it; everything it writes is in the folder.

    Its ports are free ones, or the usual ones where it has a network namespace of its own.
    """
    ports = [6443, 2379, 2380] if network else [free_port() for _ in range(3)]
    place = Place(
        folder=folder,
        address=address,
        port=ports[0],
        etcd_port=ports[1],
        etcd_peer_port=ports[2],
        feature_gates=tuple(feature_gates),
    )
    plane = _make(place, program, within(network, program) if network else program)
    with ExitStack() as stack:
        for name in ("etcd", API_SERVER):
            _start(plane, name, stack)
        plane.wait_until_ready()
        for name in (CONTROLLERS, SCHEDULER):
            _start(plane, name, stack)
        wait_for(lambda: plane.kubectl.read("serviceaccount", "default"), "controllers at work", seconds=START_SECONDS)
        yield plane


def _start(plane: ControlPlane, name: str, stack: ExitStack) -> None:
    process = plane.processes[name]
    stack.callback(process.stop)
    process.start()


def _make(place: Place, program: Command, command: Command) -> ControlPlane:
    authority = Authority(place.folder, f"https://{place.address}:{place.port}")
    flags = _flags(place, authority)
    admin = authority.write_kubeconfig("admin", user="admin", group="system:masters")
    return ControlPlane(
        place=place,
        authority=authority,
        kubectl=Kubectl(program=command("kubectl"), kubeconfig=admin),
        program=program,
        command=command,
        processes={
            name: Process(name, [*command(name), *own], place.folder / f"{name}.log") for name, own in flags.items()
        },
    )


def _flags(place: Place, authority: Authority) -> dict[str, list[str]]:
    certificate, key = authority.write_authority()
    hosts = ("127.0.0.1", "10.0.0.1", place.address, "localhost", "kubernetes", "kubernetes.default.svc")
    accounts = authority.write_pair("service-accounts", user="service-accounts")[1]
    return {
        "etcd": flags_of_etcd(place),
        API_SERVER: flags_of_apiserver(
            place,
            authority=certificate,
            server=authority.write_pair("server", *dict.fromkeys(hosts), user="kube-apiserver"),
            kubelet_client=authority.write_pair("kubelet-client", user="kubelet-client", group="system:masters"),
            service_accounts=accounts,
        ),
        CONTROLLERS: flags_of_controllers(
            authority.write_kubeconfig("controllers", user="system:kube-controller-manager"),
            place,
            authority=(certificate, key),
            service_accounts=accounts,
        ),
        SCHEDULER: flags_of_scheduler(authority.write_kubeconfig("scheduler", user="system:kube-scheduler"), place),
    }
