"""Jobs and pods read from objects as the API server gives them."""

from typing import Any

import pytest

from finetune_operator.lifecycle.observed import JobState, read_pod
from tests.unit.lifecycle.pods import ended, make_job, make_pod, running, stamp


@pytest.mark.parametrize(
    ("state", "meta", "expected"),
    [
        ("", {}, JobState.ACTIVE),
        ("Complete", {}, JobState.COMPLETE),
        ("Failed", {}, JobState.FAILED),
        ("FailureTarget", {}, JobState.FAILED),
        ("SuccessCriteriaMet", {}, JobState.ACTIVE),
        ("Complete", {"deletionTimestamp": stamp(9)}, JobState.DELETING),
    ],
)
def test_a_job_s_state(state: str, meta: dict[str, str], expected: JobState) -> None:
    assert make_job(state=state, **meta).state is expected


def test_a_pod_that_runs() -> None:
    pod = read_pod(running(1))
    assert (pod.index, pod.node, pod.running, pod.end, pod.obstacle) == (1, "n1", True, None, "")


def test_a_pod_that_nothing_is_known_of() -> None:
    pod = read_pod({"metadata": {"name": "p"}})
    assert (pod.index, pod.node, pod.running, pod.end, pod.obstacle) == (0, "", False, None, "")


@pytest.mark.parametrize("code", [0, 20])
def test_how_a_pod_ended(code: int) -> None:
    end = read_pod(ended(0, code, said="words")).end
    assert end is not None
    assert (end.code, end.said, end.disrupted) == (code, "words", False)


def test_a_pod_that_failed_without_its_container_having_run() -> None:
    end = read_pod(make_pod(phase="Failed", reason="UnexpectedAdmissionError", message="no device")).end
    assert end is not None
    assert (end.code, end.reason, end.said) == (None, "UnexpectedAdmissionError", "no device")


def test_a_fetch_that_failed_is_the_pod_s_end() -> None:
    terminated = {"exitCode": 12, "reason": "Error", "message": "no such model", "finishedAt": stamp(5)}
    pod = make_pod(
        phase="Failed",
        initContainerStatuses=[{"name": "fetch", "state": {"terminated": terminated}}],
        containerStatuses=[{"name": "trainer", "state": {"waiting": {"reason": "PodInitializing"}}}],
    )
    end = read_pod(pod).end
    assert end is not None
    assert (end.code, end.said) == (12, "no such model")


@pytest.mark.parametrize(
    ("status", "obstacle"),
    [
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}]},
            "Unschedulable: 0/3",
        ),
        (
            {
                "containerStatuses": [
                    {"name": "trainer", "state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}
                ]
            },
            "ErrImagePull: no",
        ),
        ({"containerStatuses": [{"name": "trainer", "state": {"waiting": {"reason": "ContainerCreating"}}}]}, ""),
    ],
)
def test_what_keeps_a_pod_from_starting(status: dict[str, Any], obstacle: str) -> None:
    assert read_pod(make_pod(phase="Pending", **status)).obstacle == obstacle


def test_the_newest_pod_of_rank_0_is_its_first() -> None:
    older, newer = running(0), running(0)
    newer["metadata"] |= {"name": "a-1-0-y", "creationTimestamp": stamp(50)}
    first = make_job(newer, older, running(1)).first
    assert first is not None
    assert first.name == "a-1-0-y"
