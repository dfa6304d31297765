import os
from pathlib import Path

import pytest

from finetune_trainer import unpack
from finetune_trainer.exit_codes import ExitCode, TrainerError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF" + bytes(20))
    return path


def write(source: Path, folder: Path) -> None:
    del source
    (folder / "config.json").write_text("{}", encoding="utf-8")


def test_the_folder_is_there_once_it_is_complete(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "models" / "tiny"

    def convert(source: Path, folder: Path) -> None:
        assert folder.name == f".tiny.{os.getpid()}.partial"
        assert not target.exists()
        write(source, folder)

    monkeypatch.setattr(unpack, "_convert", convert)
    unpack.unpack(source, target)
    assert [p.name for p in target.iterdir()] == ["config.json"]
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_that_another_process_was_quicker_with_is_left_as_it_is(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "tiny"

    def convert(source: Path, folder: Path) -> None:
        write(source, folder)
        target.mkdir()
        (target / "theirs").touch()

    monkeypatch.setattr(unpack, "_convert", convert)
    unpack.unpack(source, target)
    assert [p.name for p in target.iterdir()] == ["theirs"]
    assert not list(tmp_path.glob(".*.partial"))


def test_any_other_fault_of_the_rename_is_no_success(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "tiny"

    def convert(source: Path, folder: Path) -> None:
        write(source, folder)
        target.touch()

    monkeypatch.setattr(unpack, "_convert", convert)
    with pytest.raises(NotADirectoryError):
        unpack.unpack(source, target)
    assert not list(tmp_path.glob(".*.partial"))


def test_what_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(TrainerError, match="is not a GGUF file") as caught:
        unpack.unpack(tmp_path / "x.gguf", tmp_path / "x")
    assert caught.value.code is ExitCode.MODEL
