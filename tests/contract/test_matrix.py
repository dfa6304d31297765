"""docs/matrix.md has every cell that is tried, and nothing is advertised that isn't among them."""

from itertools import chain
from typing import Final

import pytest

from finetune_operator.api.spec import DataFormat, Method, Objective, PrecisionChoice
from finetune_operator.planner import candidates
from tests.matrix.cells import AXES, all_trained, paired, refused
from tests.matrix.page import PAGE, cells_of

LINES: Final = [line.strip("| ").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines()]
COLUMNS: Final = len(AXES)
OFFERED: Final = {
    Method.FULL: (*candidates.ALONE, *candidates.TOGETHER, *candidates.CPU_ONLY),
    Method.LORA: (*candidates.ADAPTER_ALONE, *candidates.ADAPTER_TOGETHER, *candidates.CPU_ONLY),
    Method.DORA: (*candidates.ADAPTER_ALONE, *candidates.ADAPTER_TOGETHER, *candidates.CPU_ONLY),
    Method.QLORA: (*candidates.QUANTIZED_ALONE, *candidates.QUANTIZED_TOGETHER, *candidates.CPU_ONLY),
}


def test_exactly_the_cells_that_are_tried_are_on_the_page() -> None:
    rows = [tuple(line[:COLUMNS]) for line in LINES if line[0] in set(Method)]
    assert rows == [cells_of(c) for c in chain(paired(), refused())]


def test_what_is_refused_has_a_sentence() -> None:
    sentences = [line[COLUMNS] for line in LINES if line[0] in set(Method) and len(line) > COLUMNS]
    assert len(sentences) == len(refused())
    assert all(s.startswith(("the job: ", "the plan: ", "the trainer: ")) for s in sentences)


@pytest.mark.parametrize("words", [Method, Objective, DataFormat, PrecisionChoice], ids=lambda w: w.__name__)
def test_every_word_of_the_api_is_trained_or_refused(words: type[Method | Objective | DataFormat]) -> None:
    tried = {value for cell in (*paired(), *refused()) for value in cell}
    assert {word for word in words if word != "Auto"} <= tried


@pytest.mark.parametrize("method", Method)
def test_every_engine_that_the_planner_offers_is_trained(method: Method) -> None:
    trained = {(c.stage, c.offloaded) for c in all_trained() if c.method is method}
    assert set(OFFERED[method]) <= trained
    # and one of them has been, with that method
    assert set(OFFERED[method]) <= {(c.stage, c.offloaded) for c in paired() if c.method is method}
