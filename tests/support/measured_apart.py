"""What another process counts: the one that asks must not touch a tensor."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def measure_apart(module: str, file: Path) -> Any:
    """Run `python -m module FILE` in one thread; what it has written there as JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, str(file)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text(encoding="utf-8"))
