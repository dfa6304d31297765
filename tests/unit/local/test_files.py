"""Files are complete or absent."""

import os
from pathlib import Path

import pytest

from finetune_operator.local.files import existing_parent, write_atomically


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "status.yaml"
    write_atomically(path, "old and long")
    write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["status.yaml"]


def test_a_rename_is_on_the_disk_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: flushed.append(str(Path(f"/proc/self/fd/{fd}").readlink())))
    write_atomically(tmp_path / "status.yaml", "new")
    assert flushed == [str(tmp_path / ".status.yaml.partial"), str(tmp_path)]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "status.yaml"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new and half written \ud800")
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["status.yaml"]


def test_the_nearest_folder_that_exists_is_found(tmp_path: Path) -> None:
    assert existing_parent(tmp_path / "a" / "b") == tmp_path
    assert existing_parent(tmp_path) == tmp_path
    assert existing_parent(Path("not/there")) == Path.cwd()
