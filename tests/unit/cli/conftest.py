"""What tests of `kubectl finetune` stand on."""

from pathlib import Path

import pytest

from tests.support.kubectl import FakeKubectl


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKubectl:
    """A kubectl with no answers yet, alone on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("COLUMNS", "200")
    return FakeKubectl(folder)
