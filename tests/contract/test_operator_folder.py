"""The folder operator/ must never become a package: Python's own module has that name."""

import operator
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def test_the_folder_is_no_package() -> None:
    assert (ROOT / "operator").is_dir()
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_no_test_folder_has_its_name() -> None:
    assert [p for p in (ROOT / "tests").rglob("operator") if p.is_dir()] == []


def test_pythons_own_module_is_the_one_that_is_imported() -> None:
    assert Path(operator.__file__ or "").parent == Path(subprocess.__file__).parent


def test_a_python_started_in_the_repository_gets_its_own_module() -> None:
    command = (sys.executable, "-c", "import operator; operator.eq(1, 1)")
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
