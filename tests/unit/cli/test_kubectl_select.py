"""`kubectl finetune select`: a choice written by a field manager of our own."""

import pytest

from finetune_operator.cli.main import PLUGIN, invoke
from tests.support.kubectl import UID, FakeKubectl, make_cluster_job, make_listed

CHOSEN = {"option": "lora-1x24g", "hash": "sha256:1"}


@pytest.mark.parametrize("asked", ["lora-1x24g", "recommended"])
def test_a_choice_is_applied_to_that_very_object(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str], asked: str
) -> None:
    kubectl.holds(make_cluster_job(make_listed()))
    kubectl.answer("apply")
    assert invoke(["select", "tickets", asked], PLUGIN) == 0
    (applied,) = kubectl.calls("apply")
    assert applied.arguments == ["apply", "--server-side", "--field-manager=finetune-cli", "--filename=-"]
    assert applied.object == {
        "apiVersion": "finetune-operator.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "tickets", "namespace": "support", "uid": UID},
        "spec": {"plan": {"option": "lora-1x24g"}},
    }
    out = capsys.readouterr().out
    assert out.startswith("tickets: lora-1x24g is chosen\n")
    assert "commit this:\n  spec:\n    plan:\n      option: lora-1x24g\n" in out


@pytest.mark.parametrize("status", [make_listed(), make_listed(plan=CHOSEN), {"plan": CHOSEN}])
def test_the_same_again_writes_nothing(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str], status: dict[str, object]
) -> None:
    kubectl.holds(make_cluster_job(status, plan={"option": "lora-1x24g"}))
    assert invoke(["select", "tickets", "lora-1x24g"], PLUGIN) == 0
    assert kubectl.calls("apply") == []
    assert capsys.readouterr().out.startswith("tickets: lora-1x24g is chosen already\n")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        pytest.param(
            "full-1x24g",
            "option full-1x24g isn't viable: needs 118.2 GiB a device, a device has 24.0 GiB; would fit: 2 devices of "
            "80 GiB at ZeRO-3; choose one of lora-1x24g, qlora-1x24g",
            id="rejected",
        ),
        pytest.param("full-z3-1x24g", "option full-z3-1x24g isn't viable: needs 118.2 GiB", id="likewise"),
        pytest.param(
            "lora-9x9g",
            "option lora-9x9g isn't one of those listed for tickets; choose one of lora-1x24g, qlora-1x24g",
            id="unknown",
        ),
    ],
)
def test_what_is_not_listed_is_refused(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str], asked: str, told: str
) -> None:
    kubectl.holds(make_cluster_job(make_listed()))
    assert invoke(["select", "tickets", asked], PLUGIN) == 4
    assert capsys.readouterr().err.startswith(f"error: {told}")
    assert kubectl.calls("apply") == []


def test_recommended_is_refused_where_nothing_is_viable(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl.holds(make_cluster_job(make_listed(options=[])))
    assert invoke(["select", "tickets", "recommended"], PLUGIN) == 4
    assert "nothing is viable" in capsys.readouterr().err


def test_nothing_can_be_chosen_before_there_is_a_list(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl.holds(make_cluster_job({}))
    assert invoke(["select", "tickets", "lora-1x24g"], PLUGIN) == 5
    assert "no options are listed yet" in capsys.readouterr().err
    assert kubectl.calls("apply") == []


def test_another_choice_after_the_first_is_refused_in_the_server_s_words(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    said = 'The FineTuneJob "tickets" is invalid: spec: Invalid value: "object": plan.option can\'t be changed any more'
    kubectl.holds(make_cluster_job(make_listed(plan=CHOSEN), plan={"option": "lora-1x24g"}))
    kubectl.answer("apply", err=f"Warning: something else\n{said}\n", code=1)
    assert invoke(["select", "tickets", "qlora-1x24g"], PLUGIN) == 5
    assert capsys.readouterr().err == f"error: kubectl: {said}\n"
