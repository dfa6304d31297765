"""Jobs and pods as an API server gives them, for the lifecycle's tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from finetune_operator.lifecycle.observed import JobSeen, read_job
from finetune_trainer.events import FailureEvent, ResultEvent, format_event

BEGAN = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
"""When every Job was created."""

RESULT = ResultEvent(
    decision="Keep",
    because="loss went from 3 to 2",
    next_step="use it",
    rows=4,
    baseline={"loss": 3.0},
    tuned={"loss": 2.0},
    memory_predicted=100,
    memory_measured=110,
    output="/output/a",
    output_bytes=10,
    digest="sha256:00",
    report="/output/a/finetune_report.md",
)


def stamp(seconds: float) -> str:
    """So long after the Job was created, as the API server writes it."""
    return (BEGAN + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def make_pod(index: int = 0, node: str = "n1", **status: Any) -> dict[str, Any]:
    """A pod of an Indexed Job."""
    labels = {"batch.kubernetes.io/job-completion-index": str(index)}
    meta = {"name": f"a-1-{index}-x", "labels": labels, "creationTimestamp": stamp(1)}
    return {"metadata": meta, "spec": {"nodeName": node}, "status": {"phase": "Running", **status}}


def running(index: int = 0) -> dict[str, Any]:
    """A pod whose trainer runs."""
    return make_pod(index, containerStatuses=[{"name": "trainer", "state": {"running": {}}}])


def ended(
    index: int, code: int, at: float = 100, said: str = "", reason: str = "Error", **status: Any
) -> dict[str, Any]:
    """A pod whose trainer has ended."""
    state = {"exitCode": code, "reason": reason if code else "Completed", "message": said, "finishedAt": stamp(at)}
    found = [{"name": "trainer", "state": {"terminated": state}}]
    return make_pod(index, phase="Failed" if code else "Succeeded", containerStatuses=found, **status)


def failure(code: int, message: str) -> str:
    """What a trainer leaves as its termination message."""
    return format_event(FailureEvent(code=code, message=message)) + "\n"


def success() -> str:
    """Likewise when all went well."""
    return format_event(RESULT) + "\n"


def disrupted(reason: str = "Evicted") -> dict[str, Any]:
    """Status of a pod that the cluster has ended."""
    return {
        "conditions": [{"type": "DisruptionTarget", "status": "True"}],
        "reason": reason,
        "message": "low on memory",
    }


def make_job(*pods: dict[str, Any], state: str = "", **meta: Any) -> JobSeen:
    """The Job of those pods; `state`: its condition that is true."""
    over = {"type": state, "status": "True", "message": "an index failed", "lastTransitionTime": stamp(100)}
    found = {
        "metadata": {"name": "a-1", "uid": "u1", "creationTimestamp": stamp(0), **meta},
        "status": {"conditions": [over] if state else []},
    }
    return read_job(found, pods)
