"""The checker itself: each rule of `restricted` refuses what breaks it."""

import copy
from typing import Any

import pytest

from tests.support.pod_security import violations

GOOD: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {"name": "c", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
    ],
    "volumes": [{"name": "v", "emptyDir": {}}],
}


def changed(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    spec = copy.deepcopy(GOOD)
    at: Any = spec
    for part in path[:-1]:
        at = at[part] if isinstance(part, int) else at.setdefault(part, {})
    at[path[-1]] = value
    return spec


CONTAINER: tuple[str | int, ...] = ("containers", 0)
CONTEXT: tuple[str | int, ...] = (*CONTAINER, "securityContext")


def test_a_pod_that_keeps_all_rules_is_taken() -> None:
    assert violations(GOOD) == []
    assert violations(changed((*CONTEXT, "capabilities"), {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]})) == []


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("hostNetwork",), True, "hostNetwork is true"),
        (("hostPID",), True, "hostPID is true"),
        (("hostIPC",), True, "hostIPC is true"),
        (("volumes", 0), {"name": "v", "hostPath": {"path": "/"}}, "the volume v is a hostPath"),
        (("volumes", 0), {"name": "v", "nfs": {}}, "the volume v is a nfs"),
        (("securityContext", "sysctls"), [{"name": "kernel.msgmax"}], "the sysctl kernel.msgmax isn't safe"),
        (("securityContext", "runAsUser"), 0, "the pod runs as user 0"),
        (("securityContext", "runAsNonRoot"), None, "c doesn't say that it runs as another user than root"),
        (("securityContext", "seccompProfile"), None, "c has no seccomp profile"),
        (("securityContext", "seccompProfile"), {"type": "Unconfined"}, "the pod has the seccomp profile Unconfined"),
        (("securityContext", "appArmorProfile"), {"type": "Unconfined"}, "the pod has the AppArmor profile Unconfined"),
        (("securityContext", "seLinuxOptions"), {"type": "spc_t"}, "the pod has SELinux options of its own"),
        (("securityContext", "windowsOptions"), {"hostProcess": True}, "the pod is a host process"),
        ((*CONTEXT, "privileged"), True, "c is privileged"),
        ((*CONTEXT, "allowPrivilegeEscalation"), True, "c may gain privileges"),
        ((*CONTEXT, "procMount"), "Unmasked", "c sees all of /proc"),
        ((*CONTEXT, "runAsNonRoot"), False, "c may run as root"),
        ((*CONTEXT, "capabilities"), {"drop": ["NET_RAW"]}, "c keeps capabilities"),
        ((*CONTEXT, "capabilities"), {"drop": ["ALL"], "add": ["SYS_ADMIN"]}, "c adds capabilities"),
        ((*CONTAINER, "ports"), [{"hostPort": 80}], "c takes a port of its host"),
        ((*CONTAINER, "livenessProbe"), {"httpGet": {"host": "x"}}, "c is probed at another host"),
        ((*CONTAINER, "lifecycle"), {"preStop": {"tcpSocket": {"host": "x"}}}, "c has a hook at another host"),
        (("initContainers",), [{"name": "i"}], "i may gain privileges"),
    ],
)
def test_each_rule_refuses_what_breaks_it(path: tuple[str | int, ...], value: Any, says: str) -> None:
    assert says in violations(changed(path, value))
