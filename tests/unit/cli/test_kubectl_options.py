"""`kubectl finetune options`: what a cluster's job says of the ways there are."""

import json

import pytest
import yaml

from finetune_operator.cli.main import PLUGIN, invoke
from tests.support.golden import check_golden
from tests.support.kubectl import FakeKubectl, make_advice, make_cluster_job, make_condition, make_listed


def test_options_rejections_and_the_next_command(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl.holds(make_cluster_job(make_listed()))
    assert invoke(["options", "tickets"], PLUGIN) == 0
    check_golden("cli/kubectl-options.txt", capsys.readouterr().out)


def test_nothing_viable_shows_need_have_and_hardware(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    no_fit = make_condition("Planned", "False", "Infeasible", "nothing that the job allows is viable")
    kubectl.holds(make_cluster_job(make_listed(options=[], hardware=make_advice(), conditions=[no_fit])))
    assert invoke(["options", "tickets"], PLUGIN) == 4
    check_golden("cli/kubectl-options-infeasible.txt", capsys.readouterr().out)


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_get_what_the_cluster_has(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str], output: str, read: object
) -> None:
    status = make_listed()
    kubectl.holds(make_cluster_job(status))
    assert invoke(["options", "tickets", "-o", output], PLUGIN) == 0
    assert callable(read)
    assert read(capsys.readouterr().out) == {part: status[part] for part in ("options", "rejected")}


def test_kubectl_is_aimed_as_the_user_says(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl.holds(make_cluster_job(make_listed()))
    aim = ["--namespace", "support", "--context", "prod", "--kubeconfig", "/k 1"]
    assert invoke(["options", "tickets", *aim], PLUGIN) == 0
    aimed = ["--kubeconfig=/k 1", "--context=prod", "--namespace=support"]
    assert kubectl.asked[0].arguments[:4] == [*aimed, "get"]
    assert "select tickets lora-1x24g '--kubeconfig=/k 1' --context=prod --namespace=support" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "told"),
    [
        pytest.param({}, "no operator has looked at the job; is it installed and running?", id="unseen"),
        pytest.param(
            {"conditions": [make_condition("Inspected", "False", "Inspecting", "model and data are being read")]},
            "no options are listed yet: model and data are being read",
            id="inspecting",
        ),
        pytest.param(
            {"conditions": [make_condition("Accepted", "False", "InvalidSpec", "rank 0 trains nothing")]},
            "no options are listed yet: rank 0 trains nothing",
            id="invalid",
        ),
    ],
)
def test_no_list_yet_is_told_with_its_reason(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str], status: dict[str, object], told: str
) -> None:
    kubectl.holds(make_cluster_job(status))
    assert invoke(["options", "tickets"], PLUGIN) == 5
    assert told in capsys.readouterr().err


NOT_FOUND = 'Error from server (NotFound): finetunejobs.finetune-operator.dev "tickets" not found'
NO_KIND = 'error: the server doesn\'t have a resource type "finetunejobs"'
REFUSED = "The connection to the server localhost:8080 was refused - did you specify the right host or port?"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param(NOT_FOUND, "error: tickets: no such job in this namespace; `kubectl get ftj -A`", id="not-found"),
        pytest.param(NO_KIND, "error: the cluster has no kind FineTuneJob: install the operator", id="no-kind"),
        pytest.param(REFUSED, f"error: kubectl: {REFUSED}", id="no-server"),
        pytest.param("", "error: kubectl: it ended with code 1 and said nothing", id="silent"),
    ],
)
def test_a_refusal_is_told(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str], said: str, told: str) -> None:
    kubectl.answer("get", err=said, code=1)
    assert invoke(["options", "tickets"], PLUGIN) == 5
    assert capsys.readouterr().err.startswith(told)


def test_a_missing_kubectl_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert invoke(["options", "tickets"], PLUGIN) == 5
    assert capsys.readouterr().err.startswith("error: kubectl is not installed, or not on PATH")


def test_an_empty_namespace_is_not_kubectl_s_own(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["options", "tickets", "-n", ""], PLUGIN) == 5
    assert capsys.readouterr().err.startswith("error: --namespace: is empty")
    assert kubectl.asked == []


def test_fields_of_a_newer_operator_are_passed_over(kubectl: FakeKubectl) -> None:
    kubectl.holds(make_cluster_job(make_listed(throughput={"tokens": 1})))
    assert invoke(["options", "tickets"], PLUGIN) == 0


def test_a_status_that_cannot_be_read_is_told(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl.holds(make_cluster_job(make_listed(options="many")))
    assert invoke(["options", "tickets"], PLUGIN) == 5
    assert "error: status.options: " in capsys.readouterr().err
