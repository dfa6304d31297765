"""Pods run for real: restricted ones, on two nodes, with DNS between them, and what a node's end does to them."""

import pytest

from tests.support.kubernetes.kubectl import Kubectl, KubectlError
from tests.support.kubernetes.pods import USER, make_pod, wait_for_phase


def test_a_restricted_pod_runs_and_its_log_is_read(kubectl: Kubectl, namespace: str) -> None:
    code = "import os; print(os.getuid(), os.access('/', os.W_OK), open('/proc/self/status').read())"
    kubectl.create(make_pod(namespace, code))
    wait_for_phase(kubectl, namespace, "Succeeded")
    said = kubectl.run("logs", "pod", "-n", namespace)
    assert said.startswith(f"{USER} False")
    assert "CapEff:\t0000000000000000" in said
    assert "NoNewPrivs:\t1" in said
    assert "Seccomp:\t2" in said


def test_a_pod_that_may_be_root_is_refused(kubectl: Kubectl, namespace: str) -> None:
    with pytest.raises(KubectlError, match=r"violates PodSecurity .*runAsNonRoot"):
        kubectl.create(make_pod(namespace, "", securityContext={}))


def test_a_failure_keeps_its_exit_code(kubectl: Kubectl, namespace: str) -> None:
    kubectl.create(make_pod(namespace, "import sys; sys.exit(7)"))
    pod = wait_for_phase(kubectl, namespace, "Failed")
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 7


def test_memory_past_its_limit_is_told_as_such(kubectl: Kubectl, namespace: str) -> None:
    kubectl.create(make_pod(namespace, "b = bytearray(10**9)"))
    pod = wait_for_phase(kubectl, namespace, "Failed")
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "OOMKilled"


def test_pods_on_two_nodes_find_each_other_by_name(kubectl: Kubectl, namespace: str) -> None:
    serve = "import socket; s = socket.create_server(('', 8000)); c, _ = s.accept(); c.sendall(b'found'); c.close()"
    ask = (
        "import socket, time\n"
        "while True:\n"
        "    try: s = socket.create_connection(('server', 8000), 5); break\n"
        "    except OSError: time.sleep(0.2)\n"
        "print(s.recv(9).decode())"
    )
    service = {"selector": {"app": "server"}, "clusterIP": "None", "ports": [{"port": 8000}]}
    kubectl.create(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "server", "namespace": namespace},
            "spec": service,
        },
        make_pod(namespace, serve, "server", nodeName="node-1"),
        make_pod(namespace, ask, "client", nodeName="node-2"),
    )
    wait_for_phase(kubectl, namespace, "Succeeded", "client")
    assert kubectl.run("logs", "client", "-n", namespace) == "found\n"
