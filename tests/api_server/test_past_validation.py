"""Objects that were written past validation: told what is wrong with them, by an operator that goes on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from finetune_operator.api.crd import render_crd
from tests.support.bad_jobs import make_cluster_job
from tests.support.fleet import Fleet, define
from tests.support.garbage import SPECS, STATUSES
from tests.support.kubernetes.kubectl import Kubectl
from tests.support.kubernetes.waiting import wait_for
from tests.support.operator_process import Running, started

ANYTHING: Final = {"x-kubernetes-preserve-unknown-fields": True}
GOOD: Final = "good"


def relaxed() -> dict[str, Any]:
    """The definition, with a schema that lets everything through."""
    found = render_crd()
    schema = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema.pop("x-kubernetes-validations", None)
    schema.pop("required", None)
    schema["properties"] |= {"metadata": {"type": "object"}, "spec": ANYTHING, "status": ANYTHING}
    return found


@pytest.fixture
def fleet(kubectl: Kubectl, namespace: str) -> Iterator[Fleet]:
    """The schema is as it should be in the end."""
    kubectl.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump(relaxed()))
    found = Fleet(kubectl, namespace)
    job = make_cluster_job("probe") | {"spec": 7}
    job["metadata"]["namespace"] = namespace

    def takes_anything() -> bool:
        return "created" in kubectl.run("create", "--validate=false", "-f", "-", stdin=json.dumps(job))

    def tries() -> bool:
        try:
            return takes_anything()
        except RuntimeError:
            return False

    wait_for(tries, "the schema to let anything through")
    yield found
    kubectl.run("delete", "ftj", "--all", "-n", namespace)
    define(kubectl)


@pytest.fixture
def operator(fleet: Fleet, tmp_path: Path) -> Iterator[Running]:
    flags = ("--namespaces", fleet.namespace)
    with started(fleet.kubectl, lease=fleet.namespace, log=tmp_path / "operator.log", flags=flags) as running:
        yield running


def write(fleet: Fleet, name: str, **fields: Any) -> None:
    job = {**make_cluster_job(name), **fields}
    job["metadata"]["namespace"] = fleet.namespace
    fleet.kubectl.run("create", "--validate=false", "-f", "-", stdin=json.dumps(job))


def accepted(job: dict[str, Any]) -> dict[str, Any] | None:
    status = job.get("status")
    conditions = status.get("conditions") if isinstance(status, dict) else None
    if not isinstance(conditions, list):
        return None
    return next((c for c in conditions if isinstance(c, dict) and c.get("type") == "Accepted"), None)


def told(fleet: Fleet, names: set[str]) -> dict[str, dict[str, Any]]:
    """What is said of whether each is a job, once it is said of all."""

    def look() -> dict[str, dict[str, Any]] | None:
        jobs = {j["metadata"]["name"]: j for j in fleet.kubectl.items("ftj", "-n", fleet.namespace)}
        found = {name: c for name, job in jobs.items() if (c := accepted(job)) is not None}
        return found if names <= found.keys() else None

    return wait_for(look, f"a condition on each of {len(names)}")


def test_each_spec_that_is_none_is_told_so_and_the_next_job_is_worked_on(fleet: Fleet, operator: Running) -> None:
    for name, spec in SPECS.items():
        write(fleet, name, spec=spec)
    write(fleet, GOOD)
    found = told(fleet, {*SPECS, GOOD})
    assert found.pop(GOOD)["status"] == "True"
    assert {n for n in SPECS if (found[n]["status"], found[n]["reason"]) != ("False", "InvalidSpec")} == set()
    assert all(len(found[n]["message"]) > 10 for n in SPECS)
    assert operator.process.poll() is None
    assert operator.complaints() == []


def test_each_status_that_is_none_is_begun_anew(fleet: Fleet, operator: Running) -> None:
    names = {f"status-{name}" for name in STATUSES}
    for name, status in STATUSES.items():
        write(fleet, f"status-{name}", status=status)
        patch = json.dumps([{"op": "add", "path": "/status", "value": status}])
        fleet.kubectl.run(
            *("patch", "ftj", f"status-{name}", "-n", fleet.namespace),
            *("--subresource=status", "--type=json", "-p", patch),
        )
    write(fleet, GOOD)
    found = told(fleet, {*names, GOOD})
    assert {n: found[n]["message"] for n in {*names, GOOD} if found[n]["status"] != "True"} == {}
    assert operator.process.poll() is None
    assert operator.complaints() == []


def test_what_an_older_definition_lets_through_is_told_so(fleet: Fleet, operator: Running) -> None:
    """Written before a rule was there, and left as it is when the rule comes."""
    assert operator.process.poll() is None
    spec = {**make_cluster_job()["spec"], "training": {"batchSize": 5}, "hardware": {"nodes": 2}}
    write(fleet, "old", spec=spec)
    define(fleet.kubectl)
    found = told(fleet, {"old"})["old"]
    assert (found["status"], found["reason"]) == ("False", "InvalidSpec")
    assert "spec.training.batchSize: 5 rows can't be shared evenly by 2 devices" in found["message"]
