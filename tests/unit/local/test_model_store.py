"""Models on this machine: folders, and GGUF files that are unpacked once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from finetune_operator.api.sources import HubSource, ModelSource
from finetune_operator.exceptions import ModelUnreadableError
from finetune_operator.local import model_store
from finetune_operator.local.model_store import (
    ModelFolder,
    cache_folder,
    describe,
    model_for_planning,
    model_for_training,
    unpacked,
)

UNPACK = """
import sys, pathlib
print('@finetune {"event": "phase", "phase": "loading", "message": "unpacking"}')
target = pathlib.Path(sys.argv[2])
target.mkdir()
(target / "from").write_text(sys.argv[1])
"""
"""Stands for the trainer's program, which needs torch."""


def quiet(_: str) -> None:
    """Nobody listens."""


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_store, "module_command", lambda _, *rest: (sys.executable, "-ISc", UNPACK, *rest))


def refusal(source: ModelSource, folder: Path) -> str:
    with pytest.raises(ModelUnreadableError) as caught:
        model_for_training(source, folder, quiet)
    return str(caught.value).replace(f"{folder}/", "")


def test_importing_the_store_does_not_import_the_hub() -> None:
    source = "import sys, finetune_operator.local.model_store; sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run((sys.executable, "-c", source), check=False).returncode == 0


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        pytest.param({"FINETUNE_CACHE": "/big/disk", "XDG_CACHE_HOME": "/c"}, Path("/big/disk"), id="ours"),
        pytest.param({"XDG_CACHE_HOME": "/c"}, Path("/c/finetune"), id="the-desktops"),
        pytest.param({}, Path.home() / ".cache/finetune", id="default"),
    ],
)
def test_the_cache_is_where_the_environment_says(environment: dict[str, str], folder: Path) -> None:
    assert cache_folder(environment) == folder


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (ModelSource(path="../model"), "../model"),
        (ModelSource(gguf="a.gguf"), "a.gguf"),
        (ModelSource(hub=HubSource(repo="me/tiny", revision="v1")), "me/tiny@v1"),
    ],
    ids=["path", "gguf", "hub"],
)
def test_a_model_is_described_as_it_was_written(source: ModelSource, text: str) -> None:
    assert describe(source) == text


def test_a_folder_is_taken_relative_to_the_job_file(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "model").mkdir()
    expected = ModelFolder(path=(tmp_path / "model").resolve(), description="../model")
    for find in (model_for_planning, model_for_training):
        assert find(ModelSource(path="../model"), tmp_path / "jobs", quiet) == expected


def test_what_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.bin").touch()
    write = "write a folder with config.json, safetensors and tokenizer.json"
    assert refusal(ModelSource(path="none"), tmp_path) == f"spec.model.source.path: none doesn't exist; {write}"
    assert refusal(ModelSource(path="a.bin"), tmp_path) == f"spec.model.source.path: a.bin is a file; {write}"


def test_what_is_no_gguf_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    write = "write the path of a .gguf file"
    assert refusal(ModelSource(gguf="none"), tmp_path) == f"spec.model.source.gguf: none doesn't exist; {write}"
    assert refusal(ModelSource(gguf="folder"), tmp_path) == f"spec.model.source.gguf: folder is a folder; {write}"


@pytest.mark.usefixtures("stand_in")
def test_a_gguf_file_is_unpacked_once_until_it_changes(tmp_path: Path) -> None:
    gguf, cache, told = tmp_path / "tiny.gguf", tmp_path / "cache", list[str]()
    gguf.write_bytes(b"GGUF")
    first = unpacked(gguf, told.append, cache)
    assert (first / "from").read_text() == str(gguf)
    assert unpacked(gguf, told.append, cache) == first
    assert told == ["unpacking"]
    gguf.write_bytes(b"GGUF2")
    assert unpacked(gguf, told.append, cache) != first


@pytest.mark.usefixtures("stand_in")
def test_files_of_one_name_in_two_folders_are_two_models(tmp_path: Path) -> None:
    folders = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tiny.gguf").write_bytes(b"GGUF")
        os.utime(tmp_path / name / "tiny.gguf", ns=(0, 0))
        folders.append(unpacked(tmp_path / name / "tiny.gguf", quiet, tmp_path / "cache"))
    assert folders[0] != folders[1]


def test_a_cache_that_can_not_be_written_to_is_told(tmp_path: Path) -> None:
    gguf, cache = tmp_path / "tiny.gguf", tmp_path / "cache"
    gguf.write_bytes(b"GGUF")
    cache.touch()
    with pytest.raises(ModelUnreadableError) as caught:
        unpacked(gguf, quiet, cache)
    assert str(caught.value) == (
        f"{cache}/models: a model can't be unpacked there (Not a directory); set FINETUNE_CACHE to a folder of yours"
    )
