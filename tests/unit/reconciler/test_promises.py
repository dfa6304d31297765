"""What admitted pods will hold and no node shows yet."""

from typing import Any

from finetune_operator.reconciler.promises import Promises
from finetune_operator.renderers.names import PLACEMENT_ANNOTATION
from tests.unit.lifecycle.test_admission import make_placement


def make_job(uid: str = "j1", owner: str = "a", nodes: int = 2, **status: Any) -> dict[str, Any]:
    placement = make_placement(nodes, 4).model_dump_json(by_alias=True)
    return {
        "metadata": {
            "name": f"{owner}-1",
            "namespace": "ns",
            "uid": uid,
            "annotations": {PLACEMENT_ANNOTATION: placement},
            "ownerReferences": [{"kind": "FineTuneJob", "name": owner, "uid": "o", "controller": True}],
        },
        "spec": {"completions": nodes},
        "status": status,
    }


def make_pod(uid: str, node: str = "n1", job: str = "j1") -> dict[str, Any]:
    owner = {"kind": "Job", "uid": job}
    return {"metadata": {"uid": uid, "ownerReferences": [owner]}, "spec": {"nodeName": node}}


def test_a_job_s_pods_are_promised_until_they_are_bound() -> None:
    promises = Promises()
    promises.add_job(make_job())
    assert promises.promised("ns", "b") == (make_placement(2, 4),) * 2
    promises.add_pod(make_pod("p1"))
    promises.add_pod(make_pod("p2", node=""))
    assert len(promises.promised("ns", "b")) == 1
    promises.add_pod(make_pod("p2"))
    assert promises.promised("ns", "b") == ()


def test_a_job_waits_for_no_promise_of_its_own() -> None:
    promises = Promises()
    promises.add_job(make_job())
    assert promises.promised("ns", "a") == ()
    assert len(promises.promised("other", "a")) == 2


def test_a_pod_that_is_gone_is_promised_again() -> None:
    promises = Promises()
    promises.add_job(make_job())
    for uid in ("p1", "p2"):
        promises.add_pod(make_pod(uid))
    promises.remove_pod(make_pod("p1"))
    assert len(promises.promised("ns", "b")) == 1


def test_pods_may_be_seen_before_their_job() -> None:
    promises = Promises()
    promises.add_pod(make_pod("p1"))
    promises.add_job(make_job())
    assert len(promises.promised("ns", "b")) == 1


def test_a_job_that_is_over_or_goes_promises_nothing() -> None:
    promises = Promises()
    promises.add_job(make_job())
    promises.add_job(make_job(conditions=[{"type": "Failed", "status": "True"}]))
    assert promises.promised("ns", "b") == ()
    going = make_job("j2")
    going["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    promises.add_job(going)
    assert promises.promised("ns", "b") == ()
    promises.add_job(make_job("j3"))
    promises.remove_job(make_job("j3"))
    assert promises.promised("ns", "b") == ()


def test_jobs_without_a_placement_promise_nothing() -> None:
    promises, inspection = Promises(), make_job()
    del inspection["metadata"]["annotations"]
    promises.add_job(inspection)
    assert promises.promised("ns", "b") == ()


def test_a_job_of_a_stranger_or_of_another_version_is_left_alone() -> None:
    promises = Promises()
    for text in ("{}", "[", '{"nodes": 3000000}'):
        odd = make_job("j9")
        odd["metadata"]["annotations"] = {PLACEMENT_ANNOTATION: text}
        promises.add_job(odd)
    strange = make_job("j8")
    strange["metadata"]["ownerReferences"] = []
    promises.add_job(strange)
    assert promises.promised("ns", "b") == ()


def test_a_job_promises_no_more_pods_than_it_makes() -> None:
    promises, boastful = Promises(), make_job(nodes=3)
    boastful["spec"] = {"completions": 1}
    promises.add_job(boastful)
    assert len(promises.promised("ns", "b")) == 1
