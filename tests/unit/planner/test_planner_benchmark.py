"""benchmarks/planner.py as its readers run it; how long anything takes is no matter here."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "benchmarks" / "planner.py"
PAGE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8").partition("\n# ")[0]
SMALL = ("--nodes", "30", "--pods", "60", "--repeat", "1")


def run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, SCRIPT, *SMALL, *arguments], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture(scope="module")
def found() -> Any:
    """The script's object on a small cluster."""
    return json.loads(run("--json"))


def test_every_kind_of_node_is_planned_with(found: Any) -> None:
    assert found["classes"] >= 6
    assert found["decisions"] > 100


def test_planning_loads_no_heavy_package(found: Any) -> None:
    assert found["heavy"] == []


def test_each_figure_has_its_ratio_to_the_plain_loop(found: Any) -> None:
    assert all(
        f["turns"] == pytest.approx(1e9 * f["seconds"] / found["turn_ns"]) and f["turns"] > 0 for f in found["figures"]
    )


def test_the_page_tells_each_figure(found: Any) -> None:
    told = re.findall(r"^\| ([^|]+?) \| [0-9][^|]*\| [0-9][^|]*\|", PAGE, re.MULTILINE)
    full = [f["name"].replace("30 nodes", "5000 nodes").replace("60 pods", "20000 pods") for f in found["figures"]]
    assert told == full


def test_the_table_has_the_same_figures() -> None:
    table = run()
    assert "sizing decisions" in table
    assert "heavy packages loaded: none" in table
