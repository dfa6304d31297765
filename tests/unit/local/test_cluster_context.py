"""A cluster that is asked by kubectl: a program of the test's own, on the path."""

import json
import stat
from pathlib import Path
from typing import Any, Final

import pytest

from finetune_operator.exceptions import InvalidManifestError
from finetune_operator.local.cluster_context import read_context
from tests.unit.planner.cluster_objects import H100, make_claim, make_device, make_node, make_pod, make_slice

ANSWERS: Final[dict[str, list[Any]]] = {
    "nodes": [make_node("a", gpus=8, labels=H100), make_node("b")],
    "pods": [make_pod("p", "a", requests={"nvidia.com/gpu": "3"})],
    "resourceslices.resource.k8s.io": [make_slice("b", [make_device("gpu-0"), make_device("gpu-1")])],
    "resourceclaims.resource.k8s.io": [make_claim("c", ("b", "gpu-0"))],
}

LACKING: Final = 'error: the server doesn\'t have a resource type "resourceslices"'
FORBIDDEN: Final = 'Error from server (Forbidden): pods is forbidden: User "me" cannot list resource "pods"'


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of answers; a kubectl that gives them, or what NAME.error says, and writes down how it was asked."""
    for name, items in ANSWERS.items():
        (tmp_path / name).write_text(json.dumps({"kind": "List", "items": items}), encoding="utf-8")
    program = tmp_path / "kubectl"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n'
        f'if [ -e {tmp_path}/$3.error ]; then read -r said < {tmp_path}/$3.error; echo "$said" >&2; exit 1; fi\n'
        f'while IFS= read -r line || [ -n "$line" ]; do printf "%s\\n" "$line"; done < {tmp_path}/$3\n',
        encoding="utf-8",
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_the_cluster_is_asked_for_all_that_counts(kubectl: Path) -> None:
    said: list[str] = []
    capacity = read_context("prod", said.append)
    assert {c.resource: c.free_devices for c in capacity.classes} == {
        "nvidia.com/gpu": ((5, 1),),
        "gpu.nvidia.com": ((1, 1),),
    }
    assert capacity.origin == "prod"
    assert said == ["asking kubectl for nodes, pods and resource slices of prod"]
    assert (kubectl / "asked").read_text(encoding="utf-8").splitlines() == [
        "--context=prod get nodes --output=json",
        "--context=prod get pods --all-namespaces --output=json",
        "--context=prod get resourceslices.resource.k8s.io --output=json",
        "--context=prod get resourceclaims.resource.k8s.io --all-namespaces --output=json",
    ]


@pytest.mark.parametrize(
    ("what", "answer", "told"),
    [
        pytest.param("pods", FORBIDDEN, "pods of prod can't be read, so every device is taken to be free: " + FORBIDDEN,
                     id="no-right-to-pods"),
        pytest.param("resourceslices.resource.k8s.io", LACKING,
                     "resourceslices.resource.k8s.io of prod can't be read, so devices that are offered by DRA aren't "
                     "seen: " + LACKING, id="api-without-slices"),
        pytest.param("resourceclaims.resource.k8s.io", FORBIDDEN,
                     "resourceclaims.resource.k8s.io of prod can't be read, so every device that is offered by DRA is "
                     "taken to be free: " + FORBIDDEN, id="no-right-to-claims"),
    ],
)  # fmt: skip
def test_what_a_plan_can_do_without_is_told(kubectl: Path, what: str, answer: str, told: str) -> None:
    (kubectl / f"{what}.error").write_text(answer, encoding="utf-8")
    said: list[str] = []
    assert read_context("prod", said.append).classes
    assert said == ["asking kubectl for nodes, pods and resource slices of prod", told]


@pytest.mark.parametrize(
    ("what", "answer", "told"),
    [
        pytest.param("nodes", "error: context was not found for specified context: prod",
                     "kubectl refused: error: context was not found for specified context: prod", id="no-context"),
        pytest.param("nodes", FORBIDDEN, "kubectl refused: " + FORBIDDEN, id="no-right-to-nodes"),
        pytest.param("pods", "Unable to connect to the server: EOF",
                     "kubectl refused: Unable to connect to the server: EOF", id="broken-off"),
        pytest.param("nodes", "", "kubectl refused: it ended with code 1 and said nothing", id="silent"),
    ],
)  # fmt: skip
def test_a_refusal_is_told_in_kubectl_s_words(kubectl: Path, what: str, answer: str, told: str) -> None:
    (kubectl / f"{what}.error").write_text(answer, encoding="utf-8")
    with pytest.raises(InvalidManifestError) as caught:
        read_context("prod", print)
    assert str(caught.value) == f"--context prod: {told}"


def test_an_answer_that_is_no_json_is_told(kubectl: Path) -> None:
    (kubectl / "nodes").write_text("hello", encoding="utf-8")
    with pytest.raises(InvalidManifestError, match="its answer is not JSON"):
        read_context("prod", print)


def test_an_answer_that_is_no_list_is_told(kubectl: Path) -> None:
    (kubectl / "pods").write_text('{"kind": "Status"}', encoding="utf-8")
    with pytest.raises(InvalidManifestError, match="its answer is not a list of objects"):
        read_context("prod", print)


def test_an_empty_name_is_not_kubectl_s_current_context() -> None:
    with pytest.raises(InvalidManifestError, match="--context: is empty"):
        read_context(" ", print)


def test_a_missing_kubectl_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidManifestError) as caught:
        read_context("prod", print)
    assert str(caught.value) == (
        "--context prod: kubectl is not installed; install it, or write the objects to a file for --nodes"
    )


def test_a_cluster_without_nodes_is_told(kubectl: Path) -> None:
    (kubectl / "nodes").write_text('{"items": []}', encoding="utf-8")
    with pytest.raises(InvalidManifestError, match="prod: holds no Node"):
        read_context("prod", print)
