"""Inspection runs before every plan: nothing of the training stack may be loaded for it."""

import json
import subprocess
import sys
from pathlib import Path

from tests.unit.trainer_data.builders import make_data, make_row, write_rows, write_tokenizer
from tests.unit.trainer_data.test_model_files import write_model

HEAVY = ("accelerate", "datasets", "deepspeed", "matplotlib", "numpy", "pandas", "peft", "torch", "transformers", "trl")
"""What takes seconds to import."""

PROGRAM = """
import runpy, sys
try:
    runpy.run_module("finetune_trainer.inspection", run_name="__main__")
finally:
    sys.stderr.write("\\n".join(sorted({name.split(".")[0] for name in sys.modules})))
"""
"""Runs the module as `python -m` does and names what was loaded."""


def test_an_inspection_loads_nothing_of_the_training_stack(tmp_path: Path) -> None:
    folder = write_tokenizer(write_model(tmp_path / "model"))
    train = write_rows(tmp_path / "train.jsonl", [make_row(n) for n in range(8)])
    request = {"model_path": str(folder), "weights": True, "data": make_data(train).model_dump(mode="json")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    loaded = done.stderr.splitlines()
    assert done.returncode == 0, done.stderr
    assert '"event":"inspection"' in done.stdout
    assert "tokenizers" in loaded
    assert [name for name in HEAVY if name in loaded] == []
