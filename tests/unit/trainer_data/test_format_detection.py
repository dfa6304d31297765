"""Which format a file is of, over all of its rows."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest

from finetune_trainer.data.formats import detect
from finetune_trainer.data.raw import RawRow
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import RowFormat
from tests.unit.trainer_data.test_formats import ALPACA, MESSAGES, PAIR, TEXT, WRITE, A, U


def raw(*rows: Mapping[str, Any]) -> Sequence[RawRow]:
    return [RawRow(line=2 * number, value=dict(row)) for number, row in enumerate(rows, start=1)]


ROWS: Final[Mapping[RowFormat, dict[str, Any]]] = {
    ALPACA: {"instruction": "q", "output": "a"},
    MESSAGES: {"messages": [U, A]},
    PAIR: {"prompt": "q", "completion": "a"},
    TEXT: {"text": "t"},
}


@pytest.mark.parametrize("row_format", ROWS, ids=str)
def test_a_file_s_format_is_found(row_format: RowFormat) -> None:
    assert detect(raw(*[ROWS[row_format]] * 3), "train.jsonl") is row_format


def test_a_few_rows_of_another_format_leave_the_file_s_as_it_is() -> None:
    assert detect(raw(*[ROWS[TEXT]] * 1, *[ROWS[ALPACA]] * 4), "train.jsonl") is ALPACA


def test_rows_without_a_known_format_do_not_outvote_the_others() -> None:
    assert detect(raw({}, {"a": 1}, {"b": 1}, ROWS[MESSAGES]), "train.jsonl") is MESSAGES


def test_a_mixture_is_refused_with_the_first_line_of_each_format() -> None:
    rows = raw(ROWS[ALPACA], ROWS[TEXT], ROWS[ALPACA], ROWS[ALPACA])
    with pytest.raises(TrainerError) as e:
        detect(rows, "train.jsonl")
    assert e.value.code is ExitCode.DATA
    assert e.value.message == (
        "train.jsonl: mixes formats: 3 Alpaca rows (first at line 2) and 1 Text rows (first at line 4); "
        "write one format a file"
    )


def test_a_file_of_unknown_rows_is_refused_with_the_first_one_s_keys() -> None:
    with pytest.raises(TrainerError) as e:
        detect(raw({"question": "q", "answer": "a"}, {}), "train.jsonl")
    assert e.value.message == f"train.jsonl:2: has the keys answer, question; {WRITE}"
