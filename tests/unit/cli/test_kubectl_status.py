"""`kubectl finetune status`: where a job is, and watching it to its end."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.cli.main import PLUGIN, invoke
from finetune_operator.local import cluster_job
from finetune_operator.local.cluster_job import json_documents
from tests.support.golden import check_golden
from tests.support.kubectl import (
    RESOURCE,
    FakeKubectl,
    make_cluster_job,
    make_condition,
    make_event,
    make_failed,
    make_listed,
    make_running,
    make_succeeded,
)

WATCH = ("get", RESOURCE, "tickets", "--watch", "--output-watch-events", "--output=json")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_job, "PAUSE_SECONDS", 0.01)


def test_where_a_job_is(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    statuses = (make_listed(), make_running(15), make_succeeded(), make_failed("OutOfMemory", exitCode=20))
    for status in statuses:
        kubectl.holds(make_cluster_job(status))
    said = ""
    for _ in statuses:
        assert invoke(["status", "tickets"], PLUGIN) == 0
        said += capsys.readouterr().out + "\n"
    check_golden("cli/kubectl-status.txt", said)


def test_a_spec_that_nobody_has_read_is_told(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl.holds(make_cluster_job({"observedGeneration": 0}))
    assert invoke(["status", "tickets"], PLUGIN) == 0
    assert "Pending (of an earlier spec: the operator hasn't read this one)" in capsys.readouterr().out


def test_programs_get_the_status_as_it_is(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    job = make_cluster_job(make_running(15, somethingNew=1))
    kubectl.holds(job)
    assert invoke(["status", "tickets", "-o", "json"], PLUGIN) == 0
    assert json.loads(capsys.readouterr().out) == job["status"]


def watched(kubectl: FakeKubectl, *statuses: dict[str, Any]) -> None:
    """The job is in the first of those states, then goes through all of them."""
    first, *_ = jobs = [make_cluster_job(s) for s in statuses]
    kubectl.answer(*WATCH, out="".join(make_event(j, "ADDED" if j is first else "MODIFIED") for j in jobs))
    kubectl.holds(first)


def test_a_job_is_watched_to_its_end(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    saved = {"step": 30, "path": "checkpoints/checkpoint-30", "savedAt": "2026-01-02T03:04:05Z"}
    watched(kubectl, make_listed(), make_running(15), make_running(30, checkpoint=saved), make_succeeded())
    assert invoke(["status", "tickets", "--watch"], PLUGIN) == 0
    check_golden("cli/kubectl-watch.txt", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        pytest.param(make_failed("OutOfMemory", exitCode=20), 20, id="trainer-s-code"),
        pytest.param(make_failed("RestartsExhausted", exitCode=24), 24, id="code-of-the-last-attempt"),
        pytest.param(make_failed("DataError"), 11, id="code-of-the-reason"),
        pytest.param(make_failed("ImagePullFailed"), 1, id="no-code"),
    ],
)
def test_a_failure_ends_with_the_trainer_s_code(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str], status: dict[str, Any], code: int
) -> None:
    watched(kubectl, make_running(15), status)
    assert invoke(["status", "tickets", "--watch"], PLUGIN) == code
    assert capsys.readouterr().err == "error: tickets: the sentence\n"


def test_a_watch_that_the_server_ends_is_begun_again(kubectl: FakeKubectl) -> None:
    watched(kubectl, make_running(15))
    kubectl.answer(*WATCH, out=make_event(make_cluster_job(make_succeeded()), "ADDED"))
    assert invoke(["status", "tickets", "--watch"], PLUGIN) == 0
    assert len(kubectl.calls("--watch")) == 2


def test_a_watch_that_breaks_off_is_told_and_begun_again(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl.holds(make_cluster_job(make_running(15)))
    kubectl.answer(*WATCH, err="error: EOF\n", code=1)
    kubectl.answer(*WATCH, out=make_event(make_cluster_job(make_succeeded()), "ADDED"))
    assert invoke(["status", "tickets", "--watch"], PLUGIN) == 0
    assert capsys.readouterr().err == "kubectl: error: EOF; trying again\n"


def test_a_cluster_that_is_gone_ends_the_watch(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl.holds(make_cluster_job(make_running(15)))
    kubectl.answer(*WATCH, err="error: EOF\n", code=1)
    assert invoke(["status", "tickets", "--watch"], PLUGIN) == 5
    assert capsys.readouterr().err.endswith("error: kubectl: error: EOF\n")
    assert len(kubectl.calls("--watch")) == cluster_job.PATIENCE


def test_a_job_that_is_deleted_ends_the_watch(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    job = make_cluster_job(make_running(15))
    kubectl.holds(job)
    kubectl.answer(*WATCH, out=make_event(job, "ADDED") + make_event(job, "DELETED"))
    assert invoke(["status", "tickets", "--watch"], PLUGIN) == 5
    assert capsys.readouterr().err == "error: tickets was deleted\n"


def test_a_choice_that_is_awaited_does_not_end_the_watch(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    no_fit = make_condition("Planned", "False", "Infeasible", "nothing fits now")
    watched(kubectl, make_listed(conditions=[no_fit]), make_listed(), make_succeeded())
    assert invoke(["status", "tickets", "--watch"], PLUGIN) == 0
    assert "Infeasible        nothing fits now\n" in capsys.readouterr().out


def test_ctrl_c_ends_the_watching_and_kubectl(kubectl: FakeKubectl, tmp_path: Path) -> None:
    job = make_cluster_job(make_running(15))
    kubectl.answer(*WATCH, out=make_event(job, "ADDED"), hang=True)
    kubectl.holds(job)
    program = str(Path(sys.executable).with_name("kubectl-finetune"))
    with subprocess.Popen(
        [program, "status", "tickets", "--watch"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": str(tmp_path / "bin")},
    ) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        while "step 15/45" not in watching.stdout.readline():
            assert watching.poll() is None
        watching.send_signal(signal.SIGINT)
        # its end closes the pipes that a kubectl left behind would hold
        said = watching.stderr.read()
        assert watching.wait() == 130
    assert said == "stopped watching; the job goes on\n"


def test_objects_are_read_wherever_the_stream_is_cut() -> None:
    text = (make_event({"loss": "é"}) + make_event({"a": {"b": '}"{'}})).encode()
    for size in (1, 2, 3, 7, len(text)):
        chunks = [text[i : i + size] for i in range(0, len(text), size)]
        assert [d["object"] for d in json_documents(chunks)] == [{"loss": "é"}, {"a": {"b": '}"{'}}]
