"""Every pair of what can be combined is trained once, and what can't be is refused with a sentence."""

from pathlib import Path

import pytest

from tests.matrix.cells import Cell, paired, refused
from tests.matrix.trial import try_cell

pytestmark = pytest.mark.usefixtures("stack")


@pytest.mark.parametrize("cell", paired(), ids=lambda c: c.id)
def test_it_trains(cell: Cell, tiny: Path, tmp_path: Path) -> None:
    verdict = try_cell(cell, tmp_path / "cell", tiny)
    assert verdict.trained, verdict.sentence


@pytest.mark.parametrize("cell", refused(), ids=lambda c: c.id)
def test_it_is_refused_with_a_sentence(cell: Cell, tiny: Path, tmp_path: Path) -> None:
    verdict = try_cell(cell, tmp_path / "cell", tiny)
    assert verdict.refused, verdict.sentence
    assert verdict.sentence.startswith(("the job: ", "the plan: ", "the trainer: "))
    assert "\n" not in verdict.sentence
