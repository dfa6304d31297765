"""`finetune plan` for hardware that isn't here."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from finetune_operator.cli.main import invoke
from finetune_operator.cli.options_view import print_viable
from finetune_operator.local.cluster_file import NO_LABELS, read_nodes_file
from finetune_operator.local.manifest import read_job_elsewhere
from finetune_operator.planner.cluster.reasons import NOT_SELECTED
from finetune_operator.planner.plan import PlanSet
from tests.support.plans import make_class, make_manifest, make_plan
from tests.unit.planner.cluster_objects import H100, make_node


@pytest.fixture
def job(tmp_path: Path) -> str:
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(make_manifest()), encoding="utf-8")
    return str(path)


def shown(**node_class: Any) -> str:
    out = Console(file=io.StringIO(), width=400, highlight=False)
    print_viable(out, PlanSet(viable=(make_plan(node_class=make_class(**node_class)),), rejected=(), advice=None))
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_two_places_are_one_too_many(job: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["plan", job, "--nodes", "n.yaml", "--context", "prod"], "finetune") == 2
    assert "--nodes and --context both say where; write one of them" in capsys.readouterr().err


def test_a_file_of_objects_is_known_by_its_kind(job: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = tmp_path / "list.yaml"
    nodes.write_text("kind: List\nitems: []\n", encoding="utf-8")
    assert invoke(["plan", job, "--nodes", str(nodes)], "finetune") == 10
    assert "list.yaml: holds no Node" in capsys.readouterr().err


def test_a_context_needs_kubectl(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert invoke(["plan", job, "--context", "prod"], "finetune") == 10
    assert "--context prod: kubectl is not installed" in capsys.readouterr().err


SELECTED = {"nodeSelector": {"pool": "gpu"}, "tolerations": [{"key": "dedicated", "operator": "Exists"}]}


@pytest.fixture
def selecting(tmp_path: Path) -> str:
    """A job with what only a cluster has, and sources that are here."""
    manifest = make_manifest()
    manifest["spec"] |= {"hardware": SELECTED, "restarts": {"limit": 1}, "podTemplate": {"priorityClassName": "batch"}}
    path = tmp_path / "selecting.yaml"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    return str(path)


def test_a_plan_for_this_machine_refuses_what_is_of_a_cluster(
    selecting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["plan", selecting], "finetune") == 10
    assert "spec.hardware.nodeSelector: chooses nodes of a cluster" in capsys.readouterr().err


def test_a_plan_for_a_cluster_takes_the_nodes_that_pods_may_go_to(selecting: str, tmp_path: Path) -> None:
    tainted = {"taints": [{"key": "dedicated", "value": "x", "effect": "NoSchedule"}]}
    nodes = [
        make_node("a", 8, H100 | {"pool": "gpu"}, spec=tainted),
        make_node("b", 8, H100),
        make_node("c", 8, H100 | {"pool": "gpu"}),
    ]
    path = tmp_path / "cluster.json"
    path.write_text(json.dumps({"kind": "List", "items": nodes}), encoding="utf-8")
    job = read_job_elsewhere(Path(selecting))
    capacity = read_nodes_file(path, job.spec.hardware)
    assert (capacity.classes[0].nodes, dict(capacity.left_out)) == (2, {NOT_SELECTED: 1})


def test_nodes_without_labels_are_all_taken_and_that_is_said(selecting: str, tmp_path: Path) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text("nodes: [{cores: 8, ram: 64GiB, disk: 1TiB}]", encoding="utf-8")
    capacity = read_nodes_file(path, read_job_elsewhere(Path(selecting)).spec.hardware)
    assert (capacity.classes[0].nodes, list(capacity.notes)) == (1, [NO_LABELS])


def test_an_option_that_waits_says_so() -> None:
    said = "lora-1x24g: waits until 1 device of a node is free: all such nodes are busier now"
    assert said in shown(free_devices=((0, 1),))
    assert "waits" not in shown(free_devices=((1, 1),))


def test_what_is_taken_from_tables_is_said_with_the_options() -> None:
    said = "22.5 GiB a device is from a table of products"
    assert f"NVIDIA A10: {said}" in shown(assumed=said)
