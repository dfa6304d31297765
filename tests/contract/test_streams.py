"""The program under streams that are closed or of another alphabet: its code says the same as ever."""

import subprocess
from pathlib import Path

import pytest

from tests.support.cli import PROGRAM

CASES = {
    "closed output": ('"$0" --help >&-', 0),
    "closed errors": ('"$0" plan nowhere.yaml 2>&-', 10),
    "closed input": ('"$0" plan nowhere.yaml <&-', 10),
    "ascii": ('PYTHONIOENCODING=ascii "$0" --help', 0),
    "reader of help gone": ('"$0" --help | true; exit ${PIPESTATUS[0]}', 0),
    "reader of errors gone": ('"$0" plan nowhere.yaml 2>&1 | true; exit ${PIPESTATUS[0]}', 10),
    "pipe without a writer": ('mkfifo p; "$0" plan p', 10),
    "name too long": ('"$0" plan $(printf %0300d 1)', 10),
}


@pytest.mark.parametrize("name", CASES)
def test_the_code_is_the_same(name: str, tmp_path: Path) -> None:
    script, code = CASES[name]
    command = ["/bin/bash", "-c", script, PROGRAM]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode == code, said.stderr
    assert "Traceback" not in said.stderr
    assert "fault of finetune" not in said.stderr
