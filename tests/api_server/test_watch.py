"""The operator's process around its logic, against a real API server: watched, worked, led, ended."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.kubectl import Kubectl
from tests.support.kubernetes.paths import ROOT
from tests.support.kubernetes.waiting import wait_for
from tests.support.operator_process import BARE, Running, start

CRD: Final = ROOT / "crds" / "finetunejobs.finetune-operator.dev.yaml"


class Operators:
    """Starts operators that look after one namespace, and ends what is left of them."""

    def __init__(self, kubectl: Kubectl, namespace: str, folder: Path) -> None:
        self.kubectl, self.namespace, self._folder = kubectl, namespace, folder
        self.started: list[Running] = []

    def start(self, *flags: str) -> Running:
        """Start one more, and wait until it is ready."""
        name = f"operator-{len(self.started)}"
        own = ("--namespaces", self.namespace, "--identity", name, *flags)
        running = start(BARE, self.kubectl, lease=self.namespace, log=self._folder / f"{name}.log", flags=own)
        self.started.append(running)
        return running

    def add_job(self, name: str, **labels: str) -> None:
        """A FineTuneJob that the schema takes."""
        rows = {"configMap": {"name": "rows", "key": "rows.jsonl"}}
        spec = {
            "model": {"source": {"volume": {"claimName": "models", "path": "model"}}},
            "dataset": {"train": {"source": rows}, "evaluation": {"source": rows}},
            "output": {"volume": {"claimName": "results", "path": "a"}},
        }
        self.kubectl.create(
            {
                "apiVersion": "finetune-operator.dev/v1alpha1",
                "kind": "FineTuneJob",
                "metadata": {"namespace": self.namespace, "name": name, "labels": labels},
                "spec": spec,
            }
        )

    def wait_for_map(self, name: str) -> dict[str, Any]:
        """What the operator makes of a job."""
        found: dict[str, Any] = wait_for(
            lambda: self.kubectl.read("configmap", f"{name}-map", "-n", self.namespace), f"the map of {name}"
        )
        return found

    def holder(self) -> str:
        """Who leads."""
        lease = self.kubectl.read("lease", "finetune-operator", "-n", self.namespace)
        return str(lease["spec"]["holderIdentity"]) if lease else ""


@contextmanager
def started(kubectl: Kubectl, namespace: str, folder: Path) -> Iterator[Operators]:
    operators = Operators(kubectl, namespace, folder)
    try:
        yield operators
    finally:
        for running in operators.started:
            running.process.kill()
            running.process.wait()


@pytest.fixture
def operators(kubectl: Kubectl, namespace: str, tmp_path: Path) -> Iterator[Operators]:
    kubectl.run("apply", "--server-side", "-f", str(CRD))
    kubectl.run("wait", "--for=condition=Established", "crd/finetunejobs.finetune-operator.dev", "--timeout=60s")
    with started(kubectl, namespace, tmp_path) as found:
        yield found


def test_jobs_are_seen_before_and_after_the_start_and_left_as_they_are(operators: Operators) -> None:
    operators.add_job("before")
    running = operators.start()
    operators.wait_for_map("before")
    operators.add_job("after")
    operators.wait_for_map("after")
    for name in ("before", "after"):
        metadata = operators.kubectl.read("finetunejob", name, "-n", operators.namespace)["metadata"]
        assert "annotations" not in metadata
        assert "finalizers" not in metadata
        assert metadata["generation"] == 1
    assert running.end() == 0
    assert running.complaints() == []


def test_what_is_taken_away_is_made_again_and_what_loses_its_job_goes(operators: Operators) -> None:
    operators.start()
    operators.add_job("a")
    first = operators.wait_for_map("a")
    operators.kubectl.run("delete", "configmap", "a-map", "-n", operators.namespace)
    assert operators.wait_for_map("a")["metadata"]["uid"] != first["metadata"]["uid"]
    operators.kubectl.run("delete", "finetunejob", "a", "-n", operators.namespace)
    wait_for(lambda: not operators.kubectl.read("configmap", "a-map", "-n", operators.namespace), "the map to go")


def test_the_pages_tell_and_events_are_written(operators: Operators) -> None:
    running = operators.start()
    operators.add_job("good")
    operators.add_job("bad", fail="")
    operators.wait_for_map("good")
    wait_for(lambda: "controller_runtime_reconcile_errors_total" in running.page("/metrics")[1], "metrics")

    def failed() -> list[str]:
        errors = 'controller_runtime_reconcile_errors_total{controller="finetunejob"} '
        return [line for line in running.page("/metrics")[1].splitlines() if line.startswith(errors)]

    wait_for(lambda: float(failed()[0].split()[1]) >= 2, "a failure that is tried again")
    text = running.page("/metrics")[1]
    assert 'leader_election_master_status{name="finetune-operator"} 1.0' in text
    assert running.page("/healthz") == (200, "passes: ok\nlists: ok\n")
    (event,) = operators.kubectl.items(
        "events.events.k8s.io", "-n", operators.namespace, "--field-selector=reason=Kept"
    )
    assert (event["regarding"]["name"], event["note"]) == ("good", "made its map")
    failures = [line for line in running.lines() if line["level"] == "error"]
    assert failures[0]["object"] == {"namespace": operators.namespace, "name": "bad"}
    assert failures[0]["reconcileID"] != failures[1]["reconcileID"]
    assert "made to fail" in failures[0]["exc_info"]


def test_a_leader_that_ends_hands_over_at_once_and_one_that_is_killed_is_replaced(operators: Operators) -> None:
    first = operators.start()
    wait_for(lambda: operators.holder() == "operator-0", "the first to lead")
    second, third = operators.start(), operators.start()
    assert first.end() == 0
    wait_for(lambda: operators.holder() in {"operator-1", "operator-2"}, "another to lead", seconds=10)
    leader, standby = (second, third) if operators.holder() == "operator-1" else (third, second)
    leader.end(signal.SIGKILL)
    operators.add_job("a")
    operators.wait_for_map("a")
    assert standby.end() == 0
    assert operators.holder() == ""


def test_a_restart_of_the_api_server_is_survived(control_plane: ControlPlane, operators: Operators) -> None:
    running = operators.start("--leader-election", "false")
    operators.add_job("before")
    operators.wait_for_map("before")
    control_plane.stop_api_server()
    control_plane.start_api_server()
    operators.add_job("after")
    operators.wait_for_map("after")
    assert running.end() == 0


def test_a_leader_that_loses_the_api_server_ends_with_a_sentence(
    control_plane: ControlPlane, operators: Operators
) -> None:
    running = operators.start()
    wait_for(lambda: operators.holder() == "operator-0", "it to lead")
    control_plane.stop_api_server()
    try:
        assert running.process.wait(timeout=60) == 1
    finally:
        control_plane.start_api_server()
    assert running.lines()[-1]["message"].startswith("Ending: the lease couldn't be renewed in time")


def test_steady_work_lists_nothing_and_writes_each_object_once(
    control_plane: ControlPlane, operators: Operators
) -> None:
    running = operators.start()
    before = len(control_plane.audit())
    for number in range(5):
        operators.add_job(f"j{number}")
    for number in range(5):
        operators.wait_for_map(f"j{number}")
    assert running.end() == 0
    asked = [e for e in control_plane.audit()[before:] if e.get("userAgent", "").startswith("finetune-operator/")]
    told = [(e["verb"], e["objectRef"]["resource"]) for e in asked]
    assert [verb for verb, _ in told if verb == "list"] == []
    assert told.count(("patch", "configmaps")) == 5
    assert {e["responseStatus"]["code"] for e in asked if e["stage"] == "ResponseComplete"} <= {200, 201}
