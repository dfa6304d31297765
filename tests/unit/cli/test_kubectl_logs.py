"""`kubectl finetune logs`: the trainer's events in words, other lines as they are."""

from typing import Any

import pytest

from finetune_operator.cli.kubectl.logs import lines
from finetune_operator.cli.main import PLUGIN, invoke
from finetune_operator.local.cluster_run import INDEX
from finetune_operator.renderers.names import ATTEMPT_LABEL
from finetune_trainer.events import (
    CheckpointEvent,
    EvaluationEvent,
    FailureEvent,
    PhaseEvent,
    ResumeEvent,
    WarningEvent,
    format_event,
)
from tests.support.golden import check_golden
from tests.support.kubectl import FakeKubectl, make_child, make_cluster_job, make_running
from tests.unit.lifecycle.test_status import MEMORY, RESULT, STEP

LATER = "2026-01-02T04:04:05Z"


def child(kind: str, name: str, **labels: str) -> dict[str, Any]:
    """With labels whose names are no Python."""
    known = {"attempt": ATTEMPT_LABEL, "index": INDEX}
    made = make_child(kind, name)
    made["metadata"]["labels"] = {known[key]: value for key, value in labels.items()}
    return made


def there(kubectl: FakeKubectl, *jobs: dict[str, Any], pods: tuple[dict[str, Any], ...] = ()) -> None:
    kubectl.holds(make_cluster_job(make_running(15)))
    kubectl.answer("jobs.batch", out={"items": jobs})
    kubectl.answer("pods", out={"items": pods})


def test_events_are_words_and_other_lines_stay(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    events = (
        PhaseEvent(phase="baseline", message="evaluating", done=8, total=64),
        PhaseEvent(phase="training", message="training"),
        ResumeEvent(step=10, path="checkpoints/checkpoint-10"),
        STEP,
        MEMORY,
        CheckpointEvent(step=30, path="checkpoints/checkpoint-30"),
        WarningEvent(message="a checkpoint is passed over"),
        EvaluationEvent(subject="tuned", rows=64, metrics={"loss": 0.5, "json-exact": 0.9}),
        RESULT,
        FailureEvent(code=20, message="not enough memory"),
    )
    foreign = ["[rank0] loading [bold]weights[/bold]", "0%|   | 0/45" + format_event(STEP), '@finetune {"cut": ']
    there(kubectl, child("Job", "a-1", attempt="1"), pods=(child("Pod", "p-0", index="0"),))
    kubectl.answer("logs", out="\n".join([*foreign, *(format_event(e) for e in events)]) + "\nno end of a line")
    assert invoke(["logs", "tickets"], PLUGIN) == 0
    check_golden("cli/kubectl-logs.txt", capsys.readouterr().out)
    assert kubectl.calls("logs")[0].arguments == ["logs", "p-0", "--container=trainer"]


def test_the_newest_attempt_of_that_very_job_is_meant(kubectl: FakeKubectl) -> None:
    old, new = child("Job", "a-1", attempt="1"), child("Job", "a-2", attempt="2")
    new["metadata"]["creationTimestamp"] = LATER
    other = child("Job", "b-3", attempt="3")
    other["metadata"] |= {"ownerReferences": [{"uid": "another"}], "creationTimestamp": "2026-01-02T05:04:05Z"}
    there(kubectl, new, other, old, pods=(child("Pod", "p-0", index="0"), child("Pod", "p-1", index="1")))
    kubectl.answer("logs")
    assert invoke(["logs", "tickets", "--rank", "1", "-f"], PLUGIN) == 0
    assert "--selector=finetune-operator.dev/job=tickets" in kubectl.calls("jobs.batch")[0].arguments
    assert "--selector=batch.kubernetes.io/job-name=a-2" in kubectl.calls("pods")[0].arguments
    assert kubectl.calls("logs")[0].arguments == ["logs", "p-1", "--container=trainer", "--follow"]


def test_the_inspection_has_a_log_of_its_own(kubectl: FakeKubectl) -> None:
    there(kubectl, child("Job", "i"), child("Job", "a-1", attempt="1"), pods=(child("Pod", "p", index="0"),))
    kubectl.answer("logs")
    assert invoke(["logs", "tickets", "--inspection"], PLUGIN) == 0
    assert "--selector=batch.kubernetes.io/job-name=i" in kubectl.calls("pods")[0].arguments


@pytest.mark.parametrize(
    ("jobs", "pods", "told"),
    [
        pytest.param((), (), "tickets has no run in the cluster, or none any more; its phase is Training", id="no-run"),
        pytest.param((child("Job", "a-1", attempt="1"),), (), "a-1 has no pod yet, or none any more", id="no-pod"),
        pytest.param(
            (child("Job", "a-1", attempt="1"),),
            (child("Pod", "p-0", index="0"), child("Pod", "p-1", index="1")),
            "a-1 has no pod 7; write --rank with one of 0, 1",
            id="no-rank",
        ),
    ],
)
def test_what_is_not_there_is_told(
    kubectl: FakeKubectl,
    capsys: pytest.CaptureFixture[str],
    jobs: tuple[dict[str, Any], ...],
    pods: tuple[dict[str, Any], ...],
    told: str,
) -> None:
    there(kubectl, *jobs, pods=pods)
    assert invoke(["logs", "tickets", "--rank", "7"], PLUGIN) == 5
    assert capsys.readouterr().err.startswith(f"error: {told}")


def test_a_pod_that_has_no_log_yet_is_told(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    said = 'Error from server (BadRequest): container "trainer" in pod "p-0" is waiting to start: ContainerCreating'
    there(kubectl, child("Job", "a-1", attempt="1"), pods=(child("Pod", "p-0", index="0"),))
    kubectl.answer("logs", err=said, code=1)
    assert invoke(["logs", "tickets"], PLUGIN) == 5
    assert capsys.readouterr().err == f"error: kubectl: {said}\n"


def test_lines_are_whole_wherever_the_stream_is_cut() -> None:
    text = "é\n\nx\r\nlast".encode()
    for size in (1, 2, 5, len(text)):
        chunks = [text[i : i + size] for i in range(0, len(text), size)]
        assert list(lines(chunks)) == ["é", "", "x\r", "last"]
