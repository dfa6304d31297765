"""docs/matrix.md: what was trained, and what was refused with which sentence."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.matrix.cells import Cell
from tests.matrix.trial import Verdict

PAGE: Final = Path(__file__).parents[2] / "docs" / "matrix.md"

_HEAD: Final = """# What trains with what

Written by `make matrix`. Each cell is a job of its own on a tiny model, on CPUs.
It counts as trained where the loss falls, the model says something else than before, and the weights that plain
transformers and PEFT read from the disk have the held-out loss that they had when they were trained.
Where answers are judged, these weights prefer the right one no less often than the base model.

The axes are method, objective, ZeRO stage, offload to the CPU, ranks, format of the rows, precision, optimizer, and
whether an adapter is rank-stabilised.
The first table has every pair of their values that can be trained at all; formats are paired with method and objective,
since nothing behind the reader knows them.
`make matrix` trains those, and `make matrix CELLS=all` every combination.
FP16 needs a GPU, so that no cell here has it.
"""
_COLUMNS: Final = ("Method", "Objective", "ZeRO", "Offload", "Ranks", "Rows", "Precision", "Optimizer", "rsLoRA")


def write_page(verdicts: Mapping[Cell, Verdict], page: Path = PAGE) -> None:
    """Write the page of a run in which nothing went wrong."""
    page.write_text("".join(f"{line}\n" for line in _lines(verdicts)), encoding="utf-8")


def _lines(verdicts: Mapping[Cell, Verdict]) -> Iterator[str]:
    trained = [c for c, v in verdicts.items() if v.trained]
    yield from (_HEAD, f"## Trained: {len(trained)} cells", "")
    yield from _table(_COLUMNS, (cells_of(c) for c in trained))
    refusals = {c: v.sentence for c, v in verdicts.items() if v.refused}
    yield from ("", f"## Refused: {len(refusals)} reasons, one cell each", "")
    yield from _table((*_COLUMNS, "By whom, and why"), ((*cells_of(c), s) for c, s in refusals.items()))


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    names = list(columns)
    yield f"| {' | '.join(names)} |"
    yield "|---" * len(names) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def cells_of(cell: Cell) -> tuple[str, ...]:
    """A cell as the page has it."""
    offload = str(cell.offloaded) if cell.offload else "None"
    return (
        str(cell.method),
        str(cell.objective),
        str(cell.stage),
        offload,
        str(cell.ranks),
        str(cell.row_format),
        str(cell.precision),
        str(cell.optimizer),
        "yes" if cell.stabilized else "no",
    )
