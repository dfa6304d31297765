"""A kubectl that answers from a file and writes down how it was asked: `fake_kubectl.py FOLDER ARGUMENT...`."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

HANG_SECONDS = 60
"""How long one stays that has more to say and doesn't; a test's end kills it before."""


def main(folder: Path, arguments: list[str]) -> int:
    """Answer as answers.json says."""
    given = sys.stdin.read() if "--filename=-" in arguments else ""
    with (folder / "asked.jsonl").open("a", encoding="utf-8") as asked:
        asked.write(json.dumps({"arguments": arguments, "given": given}) + "\n")
    answer = choose(folder, arguments)
    if answer is None:
        sys.stderr.write(f"error: the test has no answer to {' '.join(arguments)}\n")
        return 1
    if "archive" in answer:
        sys.stdout.buffer.write(Path(answer["archive"]).read_bytes())
    sys.stdout.write(answer.get("out", ""))
    sys.stdout.flush()
    sys.stderr.write(answer.get("err", ""))
    if answer.get("hang"):
        time.sleep(HANG_SECONDS)
    return int(answer.get("code", 0))


def choose(folder: Path, arguments: list[str]) -> dict[str, Any] | None:
    """The entry with the most words; of several with the same each answers once, and the last one for ever."""
    entries: list[dict[str, Any]] = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    fitting = [(n, e) for n, e in enumerate(entries) if all(word in arguments for word in e["when"])]
    fitting.sort(key=lambda found: -len(found[1]["when"]))
    for number, entry in fitting:
        last = not any(later["when"] == entry["when"] for n, later in fitting if n > number)
        if last or claimed(folder / f"used-{number}"):
            return entry
    return None


def claimed(mark: Path) -> bool:
    """Whether nobody was before us."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
