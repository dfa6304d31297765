"""What the tests' own Kubernetes is built from, and what it refuses."""

from pathlib import Path

import pytest

from tests.support.kubernetes import programs
from tests.support.kubernetes.binaries import ASSETS, CONTROL_PLANE, MissingProgramError, find_command
from tests.support.kubernetes.programs import RELEASES, kube
from tests.support.kubernetes.toolchain import NoGoError, find_go
from tests.support.kubernetes.waiting import wait_for


def write_program(folder: Path, name: str, text: str = "") -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_every_release_is_kept_in_a_folder_of_its_own() -> None:
    folders = {kube(release).folder for release in RELEASES}
    assert len(folders) == len(RELEASES)


def test_another_source_is_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "SOURCES", tmp_path)
    (tmp_path / "kube").mkdir()
    source = tmp_path / "kube" / "main.go"
    source.write_text("package main")
    before = kube("1.36").folder
    source.write_text("package main // changed")
    assert kube("1.36").folder != before


def test_a_release_that_is_not_built_here_is_refused() -> None:
    with pytest.raises(ValueError, match=r"KUBERNETES=1\.30: not built here; write one of 1\.34, 1\.35, 1\.36"):
        kube("1.30")


def test_a_given_folder_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CONTROL_PLANE:
        write_program(tmp_path, name)
    monkeypatch.setenv(ASSETS, str(tmp_path))
    assert find_command()("etcd") == (str(tmp_path / "etcd"),)


def test_a_given_folder_without_controllers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("etcd", "kube-apiserver", "kubectl"):
        write_program(tmp_path, name)
    monkeypatch.setenv(ASSETS, str(tmp_path))
    with pytest.raises(MissingProgramError, match="no kube-controller-manager there"):
        find_command()


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        pytest.param("go1.25.9", False, id="just-below"),
        pytest.param("go1.26.0", True, id="exactly"),
        pytest.param("go1.27rc1", True, id="above"),
        pytest.param("", False, id="broken"),
    ],
)
def test_go_has_to_be_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, taken: bool) -> None:  # noqa: FBT001 - a row of the table
    write_program(tmp_path, "go", f"echo {said}")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    if taken:
        assert find_go() == tmp_path / "go"
    else:
        with pytest.raises(NoGoError, match=r"Go 1\.26 or newer"):
            find_go()


def test_waiting_ends_with_what_was_seen_last() -> None:
    with pytest.raises(TimeoutError, match=r"rain: not within 0 s; last seen: 0"):
        wait_for(lambda: 0, "rain", seconds=0)
