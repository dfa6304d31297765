"""The rules of Kubernetes' Pod Security Standard `restricted`, which has those of `baseline` in it, for a pod's spec.

Written from the published standard (kubernetes.io/docs/concepts/security/pod-security-standards), in its order.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

SPEC = Mapping[str, Any]
CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
VOLUMES: Final = frozenset(
    {
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected",
        "secret",
    }
)  # fmt: skip
"""Kinds of volume that may be used; images are among them from Kubernetes 1.33."""

SECCOMP: Final = frozenset({"RuntimeDefault", "Localhost"})
APPARMOR: Final = frozenset({"RuntimeDefault", "Localhost"})
SELINUX: Final = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
SYSCTLS: Final = frozenset(
    {
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
    }
)  # fmt: skip


def violations(spec: SPEC) -> list[str]:
    """What admission would say against a pod; empty where it takes it."""
    return [*_of_pod(spec), *_of_volumes(spec), *(fault for c in containers(spec) for fault in _of_container(c, spec))]


def containers(spec: SPEC) -> Iterator[SPEC]:
    """All of them."""
    for kind in CONTAINERS:
        yield from spec.get(kind) or ()


def _of_pod(spec: SPEC) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield f"{name} is true"
    context = spec.get("securityContext") or {}
    for found in context.get("sysctls") or ():
        if found["name"] not in SYSCTLS:
            yield f"the sysctl {found['name']} isn't safe"
    yield from _of_context(context, "the pod")


def _of_volumes(spec: SPEC) -> Iterator[str]:
    for volume in spec.get("volumes") or ():
        for kind in volume.keys() - {"name"} - VOLUMES:
            yield f"the volume {volume['name']} is a {kind}"


def _of_context(context: SPEC, where: str) -> Iterator[str]:
    """What holds for a pod's context as for a container's."""
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield f"{where} is a host process"
    if context.get("runAsUser") == 0:
        yield f"{where} runs as user 0"
    if context.get("runAsNonRoot") is False:
        yield f"{where} may run as root"
    seccomp = context.get("seccompProfile")
    if seccomp is not None and seccomp.get("type") not in SECCOMP:
        yield f"{where} has the seccomp profile {seccomp.get('type')}"
    apparmor = context.get("appArmorProfile")
    if apparmor is not None and apparmor.get("type") not in APPARMOR:
        yield f"{where} has the AppArmor profile {apparmor.get('type')}"
    selinux = context.get("seLinuxOptions") or {}
    if selinux.get("type", "") not in SELINUX or selinux.get("user") or selinux.get("role"):
        yield f"{where} has SELinux options of its own"


def _of_container(found: SPEC, spec: SPEC) -> Iterator[str]:
    name, context, pod = found["name"], found.get("securityContext") or {}, spec.get("securityContext") or {}
    yield from _of_context(context, name)
    if context.get("procMount", "Default") != "Default":
        yield f"{name} sees all of /proc"
    if context.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield f"{name} doesn't say that it runs as another user than root"
    if context.get("seccompProfile") is None and pod.get("seccompProfile") is None:
        yield f"{name} has no seccomp profile"
    yield from _of_rights(name, context)
    if any(port.get("hostPort") for port in found.get("ports") or ()):
        yield f"{name} takes a port of its host"
    if any(_names_host(found.get(probe)) for probe in ("livenessProbe", "readinessProbe", "startupProbe")):
        yield f"{name} is probed at another host"
    if any(_names_host(hook) for hook in (found.get("lifecycle") or {}).values()):
        yield f"{name} has a hook at another host"


def _of_rights(name: str, context: SPEC) -> Iterator[str]:
    if context.get("privileged"):
        yield f"{name} is privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"{name} may gain privileges"
    capabilities = context.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield f"{name} keeps capabilities"
    if set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}:
        yield f"{name} adds capabilities"


def _names_host(probe: SPEC | None) -> bool:
    return any((probe or {}).get(kind, {}).get("host") for kind in ("httpGet", "tcpSocket"))
