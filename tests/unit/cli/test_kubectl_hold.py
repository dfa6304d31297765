"""`kubectl finetune suspend`, `resume` and `delete`."""

import json

import pytest

from finetune_operator.cli.main import PLUGIN, invoke
from tests.support.kubectl import RESOURCE, FakeKubectl, make_cluster_job


@pytest.mark.parametrize(
    ("verb", "value", "answer", "told"),
    [
        pytest.param("suspend", True, "patched", "tickets: is to stop with a checkpoint", id="suspend"),
        pytest.param("suspend", True, "patched (no change)", "tickets: is suspended already", id="suspended"),
        pytest.param("resume", False, "patched", "tickets: goes on when its devices are there", id="resume"),
        pytest.param("resume", False, "patched (no change)", "tickets: is not suspended", id="not-suspended"),
    ],
)
def test_one_field_is_patched_by_our_own_manager(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str], verb: str, value: object, answer: str, told: str
) -> None:
    kubectl.answer("patch", out=f"finetunejob.finetune-operator.dev/tickets {answer}\n")
    assert invoke([verb, "tickets", "-n", "support"], PLUGIN) == 0
    (call,) = kubectl.asked
    *words, patch = call.arguments
    assert words == [
        "--namespace=support", "patch", RESOURCE, "tickets", "--type=merge", "--field-manager=finetune-cli",
    ]  # fmt: skip
    assert json.loads(patch.removeprefix("--patch=")) == {"spec": {"suspend": value}}
    out = capsys.readouterr().out
    assert out.startswith(f"{told}\n")
    assert f"  spec:\n    suspend: {json.dumps(value)}\n" in out


def test_a_job_that_is_not_there_cannot_be_held(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    said = f'Error from server (NotFound): {RESOURCE} "tickets" not found'
    kubectl.answer("patch", err=said, code=1)
    assert invoke(["suspend", "tickets"], PLUGIN) == 5
    assert capsys.readouterr().err == f"error: kubectl: {said}\n"


@pytest.mark.parametrize(
    ("arguments", "how"),
    [
        pytest.param([], ["--wait=false"], id="at-once"),
        pytest.param(["--wait"], ["--cascade=foreground", "--wait=true"], id="wait"),
    ],
)
def test_a_deletion_says_what_stays(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str], arguments: list[str], how: list[str]
) -> None:
    kubectl.holds(make_cluster_job())
    kubectl.answer("delete")
    assert invoke(["delete", "tickets", *arguments], PLUGIN) == 0
    assert kubectl.asked[-1].arguments == ["delete", RESOURCE, "tickets", *how]
    assert "stays: tickets/out on volume adapters" in capsys.readouterr().out


def test_what_is_not_there_is_not_deleted(kubectl: FakeKubectl) -> None:
    kubectl.answer("get", err=f'Error from server (NotFound): {RESOURCE} "tickets" not found', code=1)
    assert invoke(["delete", "tickets"], PLUGIN) == 5
    assert kubectl.calls("delete") == []
