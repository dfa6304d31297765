"""`kubectl finetune submit`: checked here, applied there."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.cli.main import PLUGIN, invoke
from tests.support.kubectl import (
    RESOURCE,
    FakeKubectl,
    make_cluster_job,
    make_condition,
    make_event,
    make_listed,
)
from tests.support.plans import make_manifest

WATCH = ("get", RESOURCE, "tickets", "--watch", "--output-watch-events", "--output=json")
VOLUME = {"claimName": "data", "path": "x"}


def write_job(folder: Path, **spec: Any) -> str:
    there: dict[str, Any] = {
        "model": {"source": {"volume": VOLUME}},
        "dataset": {"train": {"source": {"volume": VOLUME}}, "evaluation": {"fraction": "0.1"}},
        "output": {"volume": VOLUME},
    }
    manifest = make_manifest(**there | spec)
    manifest["metadata"] = {"name": "tickets"}
    path = folder / "job.yaml"
    path.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return str(path)


def test_a_job_is_applied_by_the_server(
    kubectl: FakeKubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl.answer("apply", out=make_cluster_job())
    path = write_job(tmp_path)
    assert invoke(["submit", path, "--context", "prod"], PLUGIN) == 0
    (call,) = kubectl.asked
    assert call.arguments == ["--context=prod", "apply", "--server-side", f"--filename={path}", "--output=json"]
    out = capsys.readouterr().out
    assert out.startswith("support/tickets: is in the cluster\n")
    assert "kubectl finetune options tickets --context=prod --namespace=support\n" in out


def test_a_wrong_file_reaches_no_cluster(
    kubectl: FakeKubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_job(tmp_path, training={"learningRate": 2e-4})
    assert invoke(["submit", path], PLUGIN) == 10
    err = capsys.readouterr().err
    line = next(n for n, text in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1) if "Rate" in text)
    assert err.startswith(f"error: {path}:{line}: spec.training.learningRate: ")
    assert kubectl.asked == []


def test_a_file_for_this_machine_reaches_no_cluster(
    kubectl: FakeKubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_job(tmp_path, output={"path": "out"})
    assert invoke(["submit", path], PLUGIN) == 10
    assert "spec.output.path: is written by finetune run on your machine alone" in capsys.readouterr().err
    assert kubectl.asked == []


def test_what_the_server_refuses_is_told(
    kubectl: FakeKubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = 'error: Apply failed with 1 conflict: conflict with "flux": .spec.method'
    kubectl.answer(
        "apply", err=f"{said}\nPlease review the fields above--they are others'.\n* --force-conflicts", code=1
    )
    assert invoke(["submit", write_job(tmp_path)], PLUGIN) == 5
    assert capsys.readouterr().err == (
        f"error: kubectl: {said}; others wrote them: write the same values, or leave these fields to them\n"
    )


def waiting(kubectl: FakeKubectl, *statuses: dict[str, Any], hang: bool = False) -> None:
    """The job is applied, then goes through those states."""
    first, *_ = jobs = [make_cluster_job(s) for s in statuses]
    kubectl.answer("apply", out=first)
    kubectl.holds(first)
    kubectl.answer(*WATCH, out="".join(map(make_event, jobs)), hang=hang)


def test_options_are_awaited_and_shown(
    kubectl: FakeKubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # options of an earlier spec are none of this one
    old = make_listed(observedGeneration=0, options=[])
    waiting(kubectl, old, {"observedGeneration": 1}, make_listed(), hang=True)
    assert invoke(["submit", write_job(tmp_path), "--wait"], PLUGIN) == 0
    assert "★ recommended: lora-1x24g" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        pytest.param(make_condition("Accepted", "False", "InvalidSpec", "the sentence"), 10, id="invalid"),
        pytest.param(make_condition("Inspected", "False", "DatasetInvalid", "the sentence"), 11, id="data"),
        pytest.param(make_condition("Inspected", "False", "ModelUnreadable", "the sentence"), 12, id="model"),
        pytest.param(make_condition("Inspected", "False", "InspectionFailed", "the sentence"), 5, id="unlooked"),
    ],
)
def test_a_job_that_is_refused_there_is_not_waited_for(
    kubectl: FakeKubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str], condition: dict[str, Any], code: int
) -> None:
    waiting(kubectl, {}, {"conditions": [condition]}, hang=True)
    assert invoke(["submit", write_job(tmp_path), "--wait"], PLUGIN) == code
    assert "error: tickets: the sentence\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "told"),
    [
        pytest.param({}, "no options after 1 s, and no operator has looked at the job", id="unseen"),
        pytest.param(
            {"conditions": [make_condition("Inspected", "False", "Inspecting", "reading")]},
            "no options after 1 s: reading",
            id="inspecting",
        ),
    ],
)
def test_a_wait_has_an_end(
    kubectl: FakeKubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: dict[str, Any], told: str
) -> None:
    waiting(kubectl, status, hang=True)
    assert invoke(["submit", write_job(tmp_path), "--wait", "--timeout", "1s"], PLUGIN) == 5
    assert told in capsys.readouterr().err


def test_a_timeout_that_is_no_duration_is_refused(
    kubectl: FakeKubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["submit", write_job(tmp_path), "--wait", "--timeout", "soon"], PLUGIN) == 2
    assert '"soon" is not a duration' in capsys.readouterr().err
    assert kubectl.asked == []
