"""What an image brings compiled runs on other processors than the one that built it."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Final

import pytest

COMPILER: Final = Path(__file__).parents[3] / "trainer_image" / "portable-cxx"


@pytest.fixture
def asked(tmp_path: Path) -> dict[str, str]:
    """An environment with a g++ that only says what it was asked for."""
    (tmp_path / "g++").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    (tmp_path / "g++").chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


@pytest.mark.parametrize("vectors", ["-D__AVX512__", "-D__AVX256__", "-D__SVE__", "-D__NEON__"])
def test_no_instructions_of_the_machine_that_compiles_are_asked_for(vectors: str, asked: dict[str, str]) -> None:
    command = [str(COMPILER), "-O3", "-march=native", vectors, '-DNAME="two words"', "-c", "adam.cpp"]
    said = subprocess.run(command, env=asked, capture_output=True, text=True, check=True).stdout.splitlines()
    expected = {
        "x86_64": ["-march=x86-64-v3", "-D__AVX256__"],
        "aarch64": ["-march=armv8-a", "-D__SCALAR__"],
    }[platform.machine()]
    assert said == ["-O3", *expected, '-DNAME="two words"', "-c", "adam.cpp"]


def test_the_image_compiles_with_it() -> None:
    text = (COMPILER.parent / "Dockerfile").read_text(encoding="utf-8")
    assert "CXX=/build/portable-cxx" in text
    assert "COPY trainer_image/portable-cxx ./" in text
    ignored = (COMPILER.parents[1] / ".dockerignore").read_text(encoding="utf-8")
    assert "!trainer_image/portable-cxx" in ignored.splitlines()
