from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from finetune_operator.kube.errors import ForbiddenError
from finetune_operator.kube.events import EventRecorder
from finetune_operator.kube.kinds import EVENTS, FINE_TUNE_JOBS, Object
from tests.support.fake_cluster import FakeCluster

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 1, 12, 0, 0, 250000, tzinfo=UTC)


@dataclass(frozen=True)
class Told:
    warning: bool
    reason: str
    message: str


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def job(cluster: FakeCluster) -> Object:
    return cluster.add(FINE_TUNE_JOBS, {"metadata": {"namespace": "ns", "name": "a"}, "spec": {}})


def recorder(cluster: FakeCluster) -> EventRecorder:
    return EventRecorder(cluster, "pod_1", lambda: NOW)


async def test_an_event_says_what_happened_to_which_object(cluster: FakeCluster, job: Object) -> None:
    await recorder(cluster).record(job, Told(warning=True, reason="Infeasible", message="needs 80 GiB"))
    (event,) = cluster.all_of(EVENTS)
    assert (event["type"], event["reason"], event["note"]) == ("Warning", "Infeasible", "needs 80 GiB")
    assert event["eventTime"] == "2026-05-01T12:00:00.250000Z"
    assert (event["reportingController"], event["reportingInstance"]) == ("finetune-operator", "pod_1")
    regarding = event["regarding"]
    assert (regarding["kind"], regarding["name"], regarding["uid"]) == ("FineTuneJob", "a", job["metadata"]["uid"])


async def test_the_same_again_is_one_event(cluster: FakeCluster, job: Object) -> None:
    note = Told(warning=False, reason="Running", message="3 pods run")
    await recorder(cluster).record(job, note)
    await recorder(cluster).record(job, note)
    assert len(cluster.all_of(EVENTS)) == 1
    job["metadata"]["resourceVersion"] = "99"
    await recorder(cluster).record(job, note)
    assert len(cluster.all_of(EVENTS)) == 2


async def test_a_long_note_is_cut_to_what_the_server_takes(cluster: FakeCluster, job: Object) -> None:
    for length in (1024, 1025):
        await recorder(cluster).record(job, Told(warning=False, reason=f"R{length}", message="x" * length))
    notes = [event["note"] for event in cluster.all_of(EVENTS)]
    assert notes == ["x" * 1024, "x" * 1021 + "…"]


async def test_a_note_s_length_is_counted_in_bytes(cluster: FakeCluster, job: Object) -> None:
    await recorder(cluster).record(job, Told(warning=False, reason="R", message="Zeile für Zeile: " + "ü" * 600))
    (event,) = cluster.all_of(EVENTS)
    assert 1020 <= len(event["note"].encode()) <= 1024
    assert event["note"].endswith("ü…")


async def test_an_event_that_cannot_be_written_stops_nothing(
    cluster: FakeCluster, job: Object, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.fail("create", EVENTS, ForbiddenError(403, "Forbidden", "no right"))
    await recorder(cluster).record(job, Told(warning=False, reason="Running", message="3 pods run"))
    assert cluster.all_of(EVENTS) == []
    assert "no right" in caplog.text
