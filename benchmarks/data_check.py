"""Speed and memory of `finetune data check` on a file of a million rows: python benchmarks/data_check.py.

The rows are Alpaca's, 330 bytes of JSON each, with words drawn by a seed. Among them are a hundred of every fault and
of everything that is flagged, so that no part of the check is idle.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

ROWS: Final = 1_000_000
"""Of the file."""

EACH: Final = 100
"""Rows with each kind of fault."""

SECONDS_BETWEEN_LOOKS: Final = 0.1
"""At the memory of the processes."""

WORDS: Final = 20_000
"""Of the vocabulary."""


def rows(count: int, seed: int) -> Iterator[str]:
    """Lines of a file."""
    draw = random.Random(seed)  # noqa: S311  not for secrets: the same file every time
    vocabulary = ["".join(draw.choices("abcdefghijklmnoprstuvwy", k=draw.randint(2, 10))) for _ in range(WORDS)]
    for number in range(count):
        words = draw.choices(vocabulary, k=44)
        row = {
            "instruction": "Give the ticket's priority and reason as JSON.",
            "input": " ".join(words[:24]),
            "output": json.dumps({"priority": words[0][0], "reason": " ".join(words[24:])}),
        }
        yield _with_fault(json.dumps(row), number * EACH * len(_FAULTS) // count, number, count)


def _with_fault(line: str, kind: int, number: int, count: int) -> str:
    """Every so many rows one with the next fault."""
    step = max(count // (EACH * len(_FAULTS)), 1)
    return _FAULTS[kind % len(_FAULTS)](line) if number % step == 0 else line


_LEAK: Final = json.dumps({"instruction": "Say hello.", "input": "", "output": "Hello to you."})

_FAULTS: Final = (
    lambda line: line[:-1],
    lambda line: line.replace('"output"', '"answer"'),
    lambda _: _LEAK,
    lambda line: line.replace('"input": "', '"input": "mail to someone@company.org, '),
    lambda line: line.replace('"input": "', '"input": "AKIAABCDEFGHIJKLMNOP '),
)


def measure(path: Path) -> tuple[float, int, int]:
    """Seconds, peak bytes of all its processes together, and the exit code."""
    program = Path(sys.executable).with_name("finetune")
    begun = time.perf_counter()
    peak = 0
    with subprocess.Popen([program, "data", "check", path, "--json"], stdout=subprocess.DEVNULL) as process:
        whole = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, _resident(whole))
            time.sleep(SECONDS_BETWEEN_LOOKS)
    return time.perf_counter() - begun, peak, process.returncode


def _resident(process: psutil.Process) -> int:
    try:
        family = [process, *process.children(recursive=True)]
        return sum(p.memory_info().rss for p in family)
    except psutil.NoSuchProcess:
        return 0


def main() -> None:
    """Make the file, check it, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        with path.open("w", encoding="utf-8") as f:
            f.writelines(line + "\n" for line in rows(arguments.rows, arguments.seed))
        size = path.stat().st_size
        seconds, peak, code = measure(path)
    print(f"{arguments.rows} rows, {size / 1e6:.0f} MB, on {psutil.cpu_count()} cores: {seconds:.1f} s")
    print(f"{arguments.rows / seconds:.0f} rows/s; all processes together {peak / 2**20:.0f} MiB; exit code {code}")


if __name__ == "__main__":
    main()
