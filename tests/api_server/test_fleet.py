"""A job of seven billion parameters on nodes of 8 x 24, 4 x 40 and 8 x 80 GiB, half of them busy."""

import asyncio
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from finetune_operator.config import Settings
from finetune_operator.factory import Logic
from finetune_operator.handlers.run import run
from finetune_operator.kube.kinds import Key
from finetune_operator.planner.catalogue import CATALOGUE
from finetune_operator.reconciler.hardware import SeenHardware
from tests.support.fleet import FACTS, RESULT, Fleet, bound_claim, define, make_job
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.gpu_nodes import A10, A100_40, H100, create_nodes, make_node
from tests.support.kubernetes.kubectl import Kubectl
from tests.support.kubernetes.processes import free_port
from tests.support.operator_process import Running, started

NODES: Final = {"a10": (A10, 8), "a100": (A100_40, 4), "h100": (H100, 8)}
"""By name: device and how many."""

HELD: Final = {node: count // 2 for node, (_, count) in NODES.items()}
PROGRAM: Final = str(Path(sys.executable).with_name("kubectl-finetune"))
LARGE: Final = FACTS.model_copy(
    update={"model_config_json": json.dumps(CATALOGUE["meta-llama/Llama-3.3-70B-Instruct"])}
)
"""Ten times as many parameters."""

NOT_LISTED: Final = "full-1x24g"


@pytest.fixture(scope="module")
def nodes(kwok: ControlPlane) -> Iterator[Kubectl]:
    define(kwok.kubectl)
    create_nodes(kwok.kubectl, [make_node(name, gpu, count) for name, (gpu, count) in NODES.items()])
    yield kwok.kubectl
    kwok.kubectl.run("delete", "nodes", *NODES)


@pytest.fixture
def fleet(nodes: Kubectl, namespace: str) -> Iterator[Fleet]:
    """Half of each node's devices are somebody else's; nothing is held in the end."""
    nodes.create(*bound_claim(namespace))
    found = Fleet(nodes, namespace)
    for node, count in HELD.items():
        found.hold(f"held-{node}", node, count)
    yield found
    nodes.run("delete", "ftj,jobs,pods", "--all", "-n", namespace)


@pytest.fixture
def operator(fleet: Fleet, tmp_path: Path) -> Iterator[Running]:
    with started(fleet.kubectl, lease=fleet.namespace, log=tmp_path / "operator.log") as running:
        yield running
        assert running.complaints() == []
        assert running.process.poll() is None


def submit(fleet: Fleet, name: str, **changes: Any) -> None:
    """Apply a job, and let its model and data be read."""
    fleet.kubectl.apply(make_job(name, fleet.namespace, {k.replace("__", "."): v for k, v in changes.items()}))
    fleet.inspect(name)


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in status["conditions"] if c["type"] == kind)
    return found


def options_of(fleet: Fleet, name: str, folder: Path) -> str:
    """What `kubectl finetune options` prints of a job."""
    program = folder / "kubectl"
    first, *more = fleet.kubectl.program
    command = shlex.join([shutil.which(first) or first, *more])
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    own = {"PATH": f"{folder}:{os.environ['PATH']}", "KUBECONFIG": str(fleet.kubectl.kubeconfig), "COLUMNS": "200"}
    done = subprocess.run(
        [PROGRAM, "options", name, "--namespace", fleet.namespace],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.usefixtures("operator")
def test_options_differ_by_class_of_nodes(fleet: Fleet) -> None:
    submit(fleet, "any")
    status = fleet.wait_for_phase("any", "AwaitingSelection")
    listed = {o["device"]["product"] for o in status["options"]}
    assert len(listed) >= 2
    assert listed <= {gpu.product for gpu, _ in NODES.values()}
    for node, (gpu, count) in NODES.items():
        own = {"spec__hardware": {"nodeSelector": {"kubernetes.io/hostname": node}}, "spec__method": "LoRA"}
        submit(fleet, f"on-{node}", **own)
        found = fleet.wait_for_phase(f"on-{node}", "AwaitingSelection", "Starting", "Planned")["options"]
        assert {o["device"]["product"] for o in found} == {gpu.product}
        assert max(o["devicesPerNode"] for o in found) <= count
        assert all(o["memory"]["available"] == o["device"]["memory"] for o in found)


@pytest.mark.usefixtures("operator")
def test_a_choice_waits_for_its_devices_and_starts_when_they_are_free(fleet: Fleet) -> None:
    whole = {"nodes": 1, "devicesPerNode": 8, "nodeSelector": {"kubernetes.io/hostname": "h100"}}
    submit(fleet, "whole", spec__method="LoRA", spec__hardware=whole, spec__plan={"option": "recommended"})
    status = fleet.wait_for_phase("whole", "Waiting")
    assert condition(status, "Admitted")["message"] == (
        "needs 8 free devices of NVIDIA-H100-80GB-HBM3 (nvidia.com/gpu) on 1 node at once; none of 1 free now"
    )
    assert fleet.pods("whole", "trainer") == []
    fleet.release("held-h100")
    fleet.wait_for_phase("whole", "Training")
    assert [p["spec"]["nodeName"] for p in fleet.pods("whole", "trainer")] == ["h100"]
    fleet.end("whole", "trainer", RESULT)
    fleet.wait_for_phase("whole", "Succeeded")


def test_devices_that_another_namespace_s_pods_hold_aren_t_free(fleet: Fleet, tmp_path: Path) -> None:
    elsewhere = Fleet(fleet.kubectl, f"{fleet.namespace}-b")
    fleet.kubectl.make_namespace(elsewhere.namespace)
    elsewhere.hold("held-there", "h100", 4)
    own = ("--namespaces", fleet.namespace)
    with started(fleet.kubectl, lease=fleet.namespace, log=tmp_path / "operator.log", flags=own) as running:
        half = {"nodes": 1, "devicesPerNode": 4, "nodeSelector": {"kubernetes.io/hostname": "h100"}}
        submit(fleet, "half", spec__method="LoRA", spec__hardware=half, spec__plan={"option": "recommended"})
        status = fleet.wait_for_phase("half", "Waiting")
        assert condition(status, "Admitted")["message"].endswith("on 1 node at once; none of 1 free now")
        fleet.kubectl.run("delete", "namespace", elsewhere.namespace)
        fleet.wait_for_phase("half", "Training")
        assert running.complaints() == []


@pytest.mark.usefixtures("operator")
def test_an_impossible_choice_shows_need_have_and_hardware(fleet: Fleet, tmp_path: Path) -> None:
    submit(fleet, "too-much", spec__plan={"option": NOT_LISTED})
    status = fleet.wait_for_phase("too-much", "Infeasible")
    told = condition(status, "Planned")
    assert (told["status"], told["reason"]) == ("False", "InfeasibleSelection")
    for part in (f"option {NOT_LISTED}", "needs", "GiB", "has", "it takes at least"):
        assert part in told["message"]
    assert status["hardware"]["minimum"]["devices"] >= 1
    assert status["options"] != []
    shown = options_of(fleet, "too-much", tmp_path)
    assert NOT_LISTED in shown
    assert status["hardware"]["minimum"]["memory"] in shown


@pytest.mark.usefixtures("operator")
def test_where_nothing_is_viable_need_have_and_hardware_are_shown(fleet: Fleet, tmp_path: Path) -> None:
    small = {"nodes": 1, "devicesPerNode": 1, "nodeSelector": {"kubernetes.io/hostname": "a10"}}
    whole = {"spec.method": "Full", "spec.hardware": small, "spec.plan": {"option": "recommended"}}
    fleet.kubectl.apply(make_job("full", fleet.namespace, whole))
    fleet.inspect("full", LARGE)
    status = fleet.wait_for_phase("full", "Infeasible")
    told = condition(status, "Planned")
    assert told["reason"] == "Infeasible"
    for part in ("nothing that the job allows is viable on the cluster", "needs", "has", "it takes at least"):
        assert part in told["message"]
    assert status["hardware"]["minimum"]["memory"] in options_of(fleet, "full", tmp_path)


class Watched:
    """What the operator sees of hardware; jobs are left alone."""

    def __init__(self) -> None:
        self.hardware = SeenHardware()

    async def reconcile(self, _: Key) -> timedelta | None:
        """Nothing."""
        return None

    def free(self) -> dict[str, int]:
        """Devices that are free by the product's first word."""
        classes = self.hardware.capacity("the cluster", {}, ()).classes
        return {
            c.device.product: sum(free * count for free, count in c.free_devices)
            for c in classes
            if c.resource == "nvidia.com/gpu"
        }


@asynccontextmanager
async def watched(kubectl: Kubectl, namespace: str) -> AsyncIterator[Watched]:
    """The operator's own list, watch and account of hardware in this process."""
    seen = Watched()
    settings = Settings(
        kubeconfig=kubectl.kubeconfig,
        trainer_image="none:1",
        lease_namespace=namespace,
        health_host="127.0.0.1",
        health_port=free_port(),
    )
    running = asyncio.create_task(
        run(settings, lambda _: Logic(seen, waits=lambda _: False, listeners=(seen.hardware.observe,)))
    )
    try:
        yield seen
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def becomes(look: Callable[[], dict[str, int]], wanted: dict[str, int]) -> None:
    """Wait until it is so, and fail with what it is instead."""
    with suppress(TimeoutError):
        async with asyncio.timeout(30):
            while look() != wanted:  # noqa: ASYNC110  polled, with a deadline
                await asyncio.sleep(0.05)
    assert look() == wanted


@pytest.mark.anyio
async def test_free_devices_are_right_after_every_pod_event(fleet: Fleet) -> None:
    free = {gpu.product: count - HELD[node] for node, (gpu, count) in NODES.items()}
    h100 = H100.product
    async with watched(fleet.kubectl, fleet.namespace) as seen:
        await becomes(seen.free, free)
        await asyncio.to_thread(fleet.hold, "one", "h100", 1)
        await becomes(seen.free, free | {h100: 3})
        await asyncio.to_thread(fleet.hold, "two", "h100", 2)
        await becomes(seen.free, free | {h100: 1})
        # one that is placed nowhere holds nothing
        pod = {"limits": {"nvidia.com/gpu": "8"}}
        nowhere = {"containers": [{"name": "main", "image": "none", "resources": pod}]}
        await asyncio.to_thread(
            fleet.kubectl.create,
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "nowhere", "namespace": fleet.namespace},
                "spec": nowhere,
            },
        )
        await asyncio.to_thread(fleet.release, "one")
        await becomes(seen.free, free | {h100: 2})
        await asyncio.to_thread(fleet.kubectl.run, "delete", "pod", "two", "one", "nowhere", "-n", fleet.namespace)
        await becomes(seen.free, free)
        await asyncio.to_thread(fleet.kubectl.run, "cordon", "a10")
        await becomes(seen.free, {k: v for k, v in free.items() if k != A10.product})
        await asyncio.to_thread(fleet.kubectl.run, "uncordon", "a10")
        await becomes(seen.free, free)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
