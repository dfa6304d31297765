"""Which families keep rows of one line apart: what the planner says of each, tried on a small model by the trainer."""

import subprocess
import sys

import pytest

from finetune_operator.planner.families import FAMILIES
from finetune_operator.planner.families.leaking import LEAKING


@pytest.fixture(scope="module")
def apart() -> dict[str, bool]:
    """What was found; in another process, since this one must not touch a tensor."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.line_trial", *FAMILIES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {family: found == "apart" for family, found in (line.split() for line in done.stdout.splitlines())}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_leaks_where_the_planner_says_so(family: str, apart: dict[str, bool]) -> None:
    assert apart[family] is (family not in LEAKING)
