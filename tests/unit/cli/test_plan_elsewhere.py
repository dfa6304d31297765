"""`finetune plan` for hardware that isn't here."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from finetune_operator.cli.main import invoke
from finetune_operator.cli.options_view import print_viable
from finetune_operator.planner.plan import PlanSet
from tests.support.plans import make_class, make_manifest, make_plan


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


def test_an_option_that_waits_says_so() -> None:
    said = "lora-1x24g: waits until 1 device of a node is free: all such nodes are busier now"
    assert said in shown(free_devices=((0, 1),))
    assert "waits" not in shown(free_devices=((1, 1),))


def test_what_is_taken_from_tables_is_said_with_the_options() -> None:
    said = "22.5 GiB a device is from a table of products"
    assert f"NVIDIA A10: {said}" in shown(assumed=said)
