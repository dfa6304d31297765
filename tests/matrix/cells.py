"""The cells of the matrix: every way that a job may be trained in, as the api's own words have it."""

import random
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations, product
from typing import Any, Final, NamedTuple

from finetune_operator.api.spec import TRAINED, DataFormat, Method, Objective, OptimizerChoice, PrecisionChoice
from finetune_operator.api.status import Offload

SPOKEN: Final = frozenset(DataFormat) - {DataFormat.AUTO, DataFormat.PREFERENCE, DataFormat.UNPAIRED}
"""Formats of rows that SFT learns from."""

JUDGED: Final = {Objective.SFT: SPOKEN, Objective.KTO: frozenset({DataFormat.UNPAIRED})}
"""Formats by objective; every other one learns from two answers."""


class Cell(NamedTuple):
    """One way; its fields are the matrix's axes."""

    method: Method
    objective: Objective
    stage: int
    offload: bool
    """To the CPU: below ZeRO-3 of the optimizer, there of parameters as well."""
    ranks: int
    row_format: DataFormat
    precision: PrecisionChoice
    optimizer: OptimizerChoice
    stabilized: bool
    """The adapter counts alpha / sqrt(rank) times."""

    @property
    def id(self) -> str:
        """Short and unique."""
        words = [self.method, self.objective, f"z{self.stage}", *(["offload"] if self.offload else [])]
        kept = [
            *(["8bit"] if self.optimizer is OptimizerChoice.ADAMW_8BIT else []),
            *(["rs"] if self.stabilized else []),
        ]
        return "-".join((*words, f"{self.ranks}x", self.row_format, self.precision, *kept)).lower()

    @property
    def offloaded(self) -> Offload:
        """In the planner's words."""
        if not self.offload:
            return Offload.NONE
        return Offload.PARAMETERS if self.stage == 3 else Offload.OPTIMIZER


AXES: Final[dict[str, Sequence[Any]]] = {
    "method": tuple(Method),
    "objective": tuple(Objective),
    "stage": (0, 1, 2, 3),
    "offload": (False, True),
    "ranks": (1, 2),
    "row_format": tuple(f for f in DataFormat if f is not DataFormat.AUTO),
    "precision": tuple(p for p in PrecisionChoice if p is not PrecisionChoice.AUTO),
    "optimizer": tuple(OptimizerChoice),
    "stabilized": (False, True),
}
"""Values of each; Auto is none of its own, it becomes one of the others."""

READ_BEFORE: Final = frozenset({"stage", "offload", "ranks", "precision", "optimizer", "stabilized"})
"""Axes that rows know nothing of: formats aren't paired with them."""


def formats_of(objective: Objective) -> frozenset[DataFormat]:
    """What an objective learns from."""
    return JUDGED.get(objective, frozenset({DataFormat.PREFERENCE}))


def is_trained(cell: Cell) -> bool:
    """Whether it is to be trained on a CPU; all others are to be refused."""
    return (
        cell.objective in TRAINED
        and cell.row_format in formats_of(cell.objective)
        and cell.precision is not PrecisionChoice.FP16
        and (not cell.offload or cell.stage >= 2)
        # 4-bit weights stay where they were rounded
        and not (cell.method is Method.QLORA and cell.offload and cell.stage == 3)
        and not (cell.optimizer is OptimizerChoice.ADAMW_8BIT and cell.stage)
        and not (cell.method is Method.FULL and cell.stabilized)
    )


def all_trained() -> Iterator[Cell]:
    """Every cell that is to be trained."""
    return (cell for cell in map(Cell._make, product(*AXES.values())) if is_trained(cell))


@cache
def paired() -> tuple[Cell, ...]:
    """Trained cells with each pair of values that any has, and with each engine of each method; the same every time."""
    cells = list(all_trained())
    # what is chosen for its last missing pair then differs in the rest as well
    random.Random(6).shuffle(cells)  # noqa: S311  nobody is to be kept from guessing it
    missing = {pair for cell in cells for pair in _pairs(cell)}
    chosen: list[Cell] = []
    while missing:
        best = max(cells, key=lambda cell: len(missing & _pairs(cell)))
        chosen.append(best)
        missing -= _pairs(best)
    return (*chosen, *_other_engines(chosen, cells))


def _other_engines(chosen: Sequence[Cell], cells: Sequence[Cell]) -> list[Cell]:
    """A cell for each stage and offload that a method has and that wasn't chosen with it."""
    first: dict[tuple[Method, int, bool], Cell] = {}
    for cell in (*chosen, *cells):
        first.setdefault((cell.method, cell.stage, cell.offload), cell)
    return [cell for cell in first.values() if cell not in set(chosen)]


@cache
def _pairs(cell: Cell) -> frozenset[Any]:
    named = zip(AXES, cell, strict=True)
    return frozenset(
        (a, b) for a, b in combinations(named, 2) if not ({a[0], b[0]} & READ_BEFORE and "row_format" in {a[0], b[0]})
    )


PLAIN: Final = Cell(
    method=Method.LORA,
    objective=Objective.SFT,
    stage=0,
    offload=False,
    ranks=1,
    row_format=DataFormat.ALPACA,
    precision=PrecisionChoice.FP32,
    optimizer=OptimizerChoice.ADAMW,
    stabilized=False,
)
"""What a refused cell is like in all that it isn't refused for."""


def refused() -> list[Cell]:
    """One cell for each reason to refuse: as plain as that reason allows."""
    formats = [PLAIN._replace(objective=o, row_format=f) for o in TRAINED for f in AXES["row_format"]]
    engines = [
        PLAIN._replace(method=m, stage=s, offload=True, precision=p)
        for m, s, p in ((Method.FULL, 0, PLAIN.precision), (Method.FULL, 1, PLAIN.precision))
    ]
    objectives = [PLAIN._replace(objective=o, row_format=DataFormat.PREFERENCE) for o in Objective if o not in TRAINED]
    others = [
        PLAIN._replace(method=Method.QLORA, stage=3, offload=True),
        PLAIN._replace(precision=PrecisionChoice.FP16),
        PLAIN._replace(optimizer=OptimizerChoice.ADAMW_8BIT, stage=1),
    ]
    return [cell for cell in (*objectives, *formats, *engines, *others) if not is_trained(cell)]
