"""Who may import whom, and what no import may cost."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
OPERATOR: Final = ROOT / "operator" / "finetune_operator"
PURE: Final = ("api", "planner", "renderers", "lifecycle")

TRAINERS_CONTRACT: Final = {"finetune_trainer.job_config", "finetune_trainer.exit_codes", "finetune_trainer.events"}
"""What the operator's side may know of the trainer: values that are written and read, without torch."""

IMPURE_CALLS: Final = {"now", "utcnow", "today", "open", "print", "input", "getenv", "read_text", "write_text"}
"""Functions and methods that look at the clock or the world."""

HEAVY: Final = {
    "accelerate", "bitsandbytes", "datasets", "deepspeed", "kopf", "kubernetes", "matplotlib", "numpy", "peft", "torch",
    "transformers", "trl",
}  # fmt: skip
"""What --help must not wait for."""

EVERY_VERB: Final = "import finetune_operator.cli.main as m; [m.finetune.get_command(None, v) for v in m.VERBS]"
"""The program with all that any verb of it imports."""

EVERY_VERB_OF_THE_PLUGIN: Final = (
    "import finetune_operator.cli.kubectl.main as m; [m.kubectl_finetune.get_command(None, v) for v in m.VERBS]"
)
"""The same of `kubectl finetune`."""


def modules(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.rglob("*.py"))


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module)
    return found


def imported_by(statement: str) -> set[str]:
    """Top-level packages in a fresh Python that has run the statement."""
    command = (sys.executable, "-X", "importtime", "-c", statement)
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr.splitlines()[-1]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in run.stderr.splitlines() if "|" in line}


def test_imports_keep_the_contracts() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run((linter, "--no-logo"), cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(EVERY_VERB, id="cli"),
        pytest.param(EVERY_VERB_OF_THE_PLUGIN, id="plugin"),
        pytest.param("import finetune_trainer.events, finetune_trainer.job_config", id="contract"),
        pytest.param("import finetune_trainer.inspection", id="inspection"),
    ],
)
def test_the_training_stack_is_imported_only_to_train(statement: str) -> None:
    assert imported_by(statement) & HEAVY == set()


def test_the_hub_is_imported_only_for_jobs_that_name_it() -> None:
    assert "huggingface_hub" not in imported_by(EVERY_VERB)


def test_the_operator_reads_only_the_trainers_contract() -> None:
    read = {name for path in modules(OPERATOR) for name in imports(path) if name.startswith("finetune_trainer")}
    assert read <= TRAINERS_CONTRACT


def test_the_pure_core_calls_nothing_that_looks_at_the_world() -> None:
    found = []
    for path in modules(*(OPERATOR / name for name in PURE)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                found += [f"{path.relative_to(ROOT)}:{node.lineno}: {name}"] if name in IMPURE_CALLS else []
    assert found == []
