"""Try the matrix's cells and write docs/matrix.md: `python -m tests.matrix [pairs|all]`."""

import subprocess
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.progress import track

from tests.matrix.cells import Cell, all_trained, is_trained, paired, refused
from tests.matrix.page import write_page
from tests.matrix.trial import Verdict, try_cell
from tests.support.trainer_process import import_stack


def main(which: str) -> int:
    """Try them; 0 if all is as it should be."""
    warnings.simplefilter("ignore")
    shown = [*paired(), *refused()]
    tried = [*shown, *(c for c in all_trained() if which == "all" and c not in set(shown))]
    with TemporaryDirectory(prefix="matrix-") as folder:
        tiny = _make_model(Path(folder))
        import_stack()
        verdicts = {c: _tried(c, Path(folder), tiny) for c in track(tried, "cells")}
    wrong = sum(not _as_it_should_be(c, v) for c, v in verdicts.items())
    if not wrong:
        write_page({c: verdicts[c] for c in shown})
    _say(f"{len(tried)} cells, {wrong} of them not as they should be")
    return int(bool(wrong))


def _tried(cell: Cell, folder: Path, tiny: Path) -> Verdict:
    verdict = try_cell(cell, folder / cell.id, tiny)
    if not _as_it_should_be(cell, verdict):
        _say(f"{cell.id}: {verdict.sentence}")
    return verdict


def _as_it_should_be(cell: Cell, verdict: Verdict) -> bool:
    return verdict.trained if is_trained(cell) else verdict.refused


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201  a program's own words


def _make_model(folder: Path) -> Path:
    # in a process of its own: this one must not touch a tensor before it forks
    tiny = folder / "tiny"
    code = (
        f"from pathlib import Path; from tests.support.tiny_model import write_model; write_model(Path({str(tiny)!r}))"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True)
    return tiny


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or ["pairs"])))
