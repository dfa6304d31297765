"""An optimizer in RAM steps with what the image brings, whatever the device; without it there is a sentence."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from finetune_trainer.exit_codes import ExitCode


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment without a compiler."""
    tools = tmp_path / "tools"
    tools.mkdir()
    found = shutil.which("which")
    assert found is not None
    (tools / "which").symlink_to(found)
    without = {k: v for k, v in os.environ.items() if k not in {"CXX", "CC"}}
    return without | {"PATH": str(tools), "TORCH_EXTENSIONS_DIR": str(tmp_path / "made")}


def ask(environment: dict[str, str], *folders: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.cpu_optimizer", *map(str, folders)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_what_was_compiled_when_the_image_was_built_is_used_on_every_kind_of_device(
    device: str, bare: dict[str, str], tmp_path: Path
) -> None:
    # stands for the compiled module: what is tested is which one is taken, and here is no compiler to make one
    made = tmp_path / "image" / "cpu_adam_op.py"
    made.parent.mkdir()
    made.touch()
    found = ask(bare | {"DS_ACCELERATOR": device}, made.parent)
    assert found.returncode == 0, found.stderr[-3000:]
    assert found.stdout.splitlines()[-1] == str(made.resolve())


def test_an_optimizer_that_is_neither_there_nor_can_be_compiled_ends_with_what_to_do(bare: dict[str, str]) -> None:
    found = ask(bare | {"DS_ACCELERATOR": "cuda"})
    assert found.returncode == ExitCode.CONFIGURATION, found.stderr[-3000:]
    said = found.stdout.splitlines()[-1]
    assert "can't be compiled here (" in said
    assert "c++: not found)" in said
    assert "CPU_ADAM=1" in said
    assert "without offload" in said
