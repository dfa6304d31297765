"""A FineTuneJob trains in a pod of a real kubelet, and outlives what happens to its operator."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from finetune_trainer.history import History
from tests.cluster import audit
from tests.cluster.product import operator
from tests.cluster.site import SLOW, Site
from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.waiting import wait_for

PHASES: Final = ("Inspecting", "AwaitingSelection", "Starting", "Training")
"""Of a job that waits for a choice, one after the other."""

Record = Callable[[str, object], None]

GONE_SECONDS: Final = 30.0
"""Until nothing is left of a job that was deleted: what is promised."""


@contextmanager
def running(site: Site) -> Iterator[Any]:
    log = site.folder.parent / "operator.log"
    with operator(site.network, site.kubectl.kubeconfig, site.namespace, log) as process:
        yield process


def since(phase: str) -> tuple[str, ...]:
    """That phase and all later ones: a look may miss a short one."""
    return (*PHASES[PHASES.index(phase) :], "Succeeded")


def with_lease(site: Site) -> set[tuple[str, str]]:
    """What is there before a job is: of the operator, its lease."""
    wait_for(lambda: site.kubectl.items("leases", "-n", site.namespace), "the operator leads", seconds=SLOW)
    return site.everything()


def delete_whole(site: Site, before: set[tuple[str, str]]) -> float:
    """Delete the job; seconds until nothing but what was there before is left."""
    began = time.monotonic()
    site.delete()
    wait_for(lambda: site.everything() <= before, "nothing is left of the job", seconds=GONE_SECONDS)
    return round(time.monotonic() - began, 1)


def test_an_operator_that_is_killed_at_any_point_doubles_nothing(
    site: Site, with_trainer: Cluster, record_property: Record
) -> None:
    before = site.everything() | {("Lease", "finetune-operator")}
    chosen: dict[str, Any] = {}
    met: list[str] = []
    for phase in PHASES:
        with running(site) as process:
            site.submit(**chosen)
            status = site.wait_for_phase(*since(phase))
            met.append(status["phase"])
            process.send_signal(signal.SIGKILL)
            process.wait()
        if status.get("options") and not chosen:
            chosen = {"plan": {"option": status["options"][0]["id"]}}
    with running(site):
        status = site.wait_for_phase("Succeeded")
    # while nobody looked after it, it may have come to its end
    assert met in ([*PHASES], [*PHASES[:-1], "Succeeded"])
    assert [(a["number"], a["outcome"]) for a in status["attempts"]] == [(1, "Completed")]
    made = audit.created(audit.within(with_trainer.plane.audit(), site.namespace), "jobs", "pods")
    assert set(made.values()) == {1}
    assert {name for kind, name in made if kind == "jobs"} == set(site.owned("jobs"))
    assert sorted("-look-" in name for kind, name in made if kind == "jobs") == [False, True]
    assert len([name for kind, name in made if kind == "pods"]) == 2
    record_property("seconds after Succeeded", delete_whole(site, before))


def test_a_suspended_job_goes_on_from_its_checkpoint(site: Site) -> None:
    with running(site):
        site.submit(plan={"option": "recommended"})
        wait_for(lambda: list((site.folder / "out" / "checkpoints").glob("checkpoint-*")), "a checkpoint", seconds=SLOW)
        site.patch(json.dumps({"spec": {"suspend": True}}))
        saved = site.wait_for_phase("Suspended")["checkpoint"]
        assert [p for p in site.owned("pods") if "-look-" not in p] == []
        site.patch(json.dumps({"spec": {"suspend": False}}))
        status = site.wait_for_phase("Succeeded")
    assert status["restarts"] == 0
    resumed = History(site.folder / "out" / ".finetune" / "history.jsonl").resumptions()
    assert list(resumed) == [saved["step"]]
    assert saved["step"] > 0


@pytest.mark.parametrize("phase", PHASES)
def test_nothing_is_left_of_a_job_deleted_in_any_phase(site: Site, phase: str, record_property: Record) -> None:
    chosen = {} if phase in {"Inspecting", "AwaitingSelection"} else {"plan": {"option": "recommended"}}
    with running(site):
        before = with_lease(site)
        site.submit(**chosen)
        site.wait_for_phase(phase)
        assert site.everything() > before
        record_property(f"seconds after {phase}", delete_whole(site, before))
