"""docs/pitfalls.md names tests that there are, and places in the code that there are."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
ROW: Final = re.compile(r"^\| (\d+) \| (.+?) \| (\w+) \| (.+) \|$", re.MULTILINE)
TEST: Final = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
PLACE: Final = re.compile(r"`(finetune_(?:trainer|operator)(?:\.\w+)+)\.(\w+)`")
HOW: Final = {"tested", "refused", "impossible"}
FOLDERS: Final = {"finetune_trainer": ROOT / "trainer_image", "finetune_operator": ROOT / "operator"}

ROWS: Final = ROW.findall((ROOT / "docs" / "pitfalls.md").read_text(encoding="utf-8"))


def names_in(path: Path) -> set[str]:
    """What a module defines at its top."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


def missing_in(text: str) -> list[str]:
    """Tests and places that a text names and that there aren't."""
    tests = [(ROOT / file, name) for file, name in TEST.findall(text)]
    places = [
        (FOLDERS[module.partition(".")[0]] / f"{module.replace('.', '/')}.py", name)
        for module, name in PLACE.findall(text)
    ]
    return [f"{p.name}: {name}" for p, name in (*tests, *places) if not p.is_file() or name not in names_in(p)]


def test_all_of_them_are_there() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, 48))


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r[0])
def test_what_is_said_of_one_can_be_looked_up(row: tuple[str, str, str, str]) -> None:
    _, _, how, evidence = row
    assert how in HOW
    assert missing_in(evidence) == []
    # a test shows it, or a place in the code refuses it, or can be read
    assert TEST.search(evidence) or (how != "tested" and PLACE.search(evidence))


@pytest.mark.parametrize(
    "text",
    [
        "`tests/contract/test_pitfalls.py::test_nothing`",
        "`tests/contract/nowhere.py::test_all_of_them_are_there`",
        "`finetune_trainer.ranks.IMPATIENCE`",
        "`finetune_trainer.nowhere.PATIENCE`",
    ],
)
def test_what_there_is_not_is_found(text: str) -> None:
    assert len(missing_in(text)) == 1
