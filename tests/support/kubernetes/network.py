"""The cluster's network: namespaces of its own, so that the machine's interfaces, routes and rules stay as they are."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.support.kubernetes.binaries import Command

GATEWAY: Final = "172.30.0.1"
"""Address of the bridge, where the API server and DNS listen."""

NODE_ADDRESS: Final = "172.30.0.{}"
PODS: Final = "10.88.{}.0/24"
"""Addresses of one node's pods."""

ALL_PODS: Final = "10.88.0.0/16"
FIRST_NODE: Final = 11
"""Last part of the first node's address."""


def ip(*arguments: str) -> None:
    """Change the network."""
    command = ["ip", *arguments]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def within(namespace: str, command: Command) -> Command:
    """The same programs, started in that network namespace."""
    return lambda name: (*enter(namespace), *command(name))


def enter(namespace: str) -> tuple[str, ...]:
    """What a command is started through to be in that network namespace."""
    return ("nsenter", f"--net=/run/netns/{namespace}", "--")


@contextmanager
def network_namespace(name: str) -> Iterator[str]:
    """One with nothing but its loopback, which goes with everything in it."""
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        ip("netns", "delete", name)


@contextmanager
def bridge(name: str) -> Iterator[str]:
    """The network namespace of the control plane, with a bridge for nodes, over which it forwards."""
    with network_namespace(name):
        ip("-n", name, "link", "add", "nodes", "type", "bridge")
        ip("-n", name, "address", "add", f"{GATEWAY}/24", "dev", "nodes")
        ip("-n", name, "link", "set", "nodes", "up")
        subprocess.run([*enter(name), "sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True)
        yield name


def connect(cluster: str, node: str, index: int, siblings: int) -> str:
    """Put a node's namespace on the bridge, with routes to every sibling's pods; its address."""
    address = address_of(index)
    outer = f"node{index}"
    ip("-n", cluster, "link", "add", outer, "type", "veth", "peer", "name", "lan0", "netns", node)
    ip("-n", cluster, "link", "set", outer, "master", "nodes", "up")
    ip("-n", node, "address", "add", f"{address}/24", "dev", "lan0")
    ip("-n", node, "link", "set", "lan0", "up")
    ip("-n", node, "route", "add", "default", "via", GATEWAY)
    ip("-n", cluster, "route", "replace", PODS.format(index), "via", address)
    for other in range(siblings):
        if other != index:
            ip("-n", node, "route", "replace", PODS.format(other), "via", address_of(other))
    return address


def address_of(index: int) -> str:
    """Address of the node of that index, from 0."""
    return NODE_ADDRESS.format(FIRST_NODE + index)
