"""A corpus of malformed files: each row that says MALFORMED is found at its line, and no other one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from finetune_trainer.data.load import load_data
from finetune_trainer.data.tokenizer import TextTokenizer
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import JsonContractConfig
from tests.support.golden import check_golden
from tests.unit.trainer_data.builders import make_data

CORPUS: Final = Path(__file__).parents[2] / "data" / "malformed"
MARK: Final = b"MALFORMED"
SCHEMA: Final = {"type": "object", "properties": {"reason": {"type": "string"}}}
CONTRACT: Final = JsonContractConfig(
    required=("priority", "reason"), values={"priority": ("high", "low")}, json_schema=SCHEMA
)
ROWS: Final[dict[str, dict[str, Any]]] = {
    "alpaca.jsonl": {},
    "array.json": {},
    "contract.jsonl": {"answer_json": CONTRACT},
    "messages.jsonl": {},
    "preference.jsonl": {"objective": "DPO"},
    "prompt_completion.csv": {},
    "sharegpt.jsonl": {},
    "text.jsonl": {},
    "too_long.jsonl": {"max_length": 256},
    "twins.jsonl": {"evaluation": CORPUS / "held_out.jsonl", "unique_input": True},
    "unpaired.jsonl": {"objective": "KTO"},
}
"""Files of which single rows are bad, with what they are read for."""

WHOLE: Final = ("array_cut_off.json", "cut_off.jsonl", "mixed.jsonl", "open_quote.csv", "spread.jsonl")
"""Files that are refused as a whole."""


def marked(path: Path) -> list[int]:
    """Lines that are to be found."""
    return [n for n, line in enumerate(path.read_bytes().splitlines(), 1) if MARK in line]


@pytest.mark.parametrize("name", ROWS)
def test_every_malformed_row_is_found_at_its_line_and_no_other(name: str, chatml: TextTokenizer) -> None:
    asked = dict(ROWS[name])
    data = load_data(make_data(CORPUS / name, asked.pop("evaluation", None), **asked), chatml)
    assert [(f.file, f.line) for f in data.faults] == [(name, line) for line in marked(CORPUS / name)]
    told = "".join(f"{f.file}:{f.line}: {f.message}\n" for f in data.faults)
    check_golden(f"malformed/{name}.txt", told)


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_can_not_be_used_is_refused_with_its_place(name: str, chatml: TextTokenizer) -> None:
    with pytest.raises(TrainerError) as refused:
        load_data(make_data(CORPUS / name), chatml)
    assert refused.value.code is ExitCode.DATA
    check_golden(f"malformed/{name}.txt", refused.value.message.replace(f"{CORPUS}/", "") + "\n")


def test_every_file_of_the_corpus_is_tried() -> None:
    assert {p.name for p in CORPUS.iterdir()} == {*ROWS, *WHOLE, "held_out.jsonl"}


@pytest.mark.parametrize(
    ("suffix", "write"),
    [("parquet", parquet.write_table), ("feather", lambda table, path: feather.write_feather(table, str(path)))],
    ids=["parquet", "arrow"],
)
def test_in_columns_a_row_is_found_by_its_number(
    suffix: str, write: Callable[[pa.Table, Path], Any], tmp_path: Path, chatml: TextTokenizer
) -> None:
    rows = [
        {"instruction": "What color is the sky?", "output": "blue"},
        {"instruction": "no answer", "output": None},
        {"instruction": "an empty one", "output": " "},
        {"instruction": "What color is the rose?", "output": "red"},
    ]
    write(pa.Table.from_pylist(rows), tmp_path / f"rows.{suffix}")
    data = load_data(make_data(tmp_path / f"rows.{suffix}"), chatml)
    assert [(f.file, f.line) for f in data.faults] == [(f"rows.{suffix}", 2), (f"rows.{suffix}", 3)]


def test_rows_of_several_files_are_found_by_their_own_lines(tmp_path: Path, chatml: TextTokenizer) -> None:
    good, bad = {"instruction": "What?", "output": "this"}, {"instruction": "What?"}
    for name, rows in (("one", [good, bad]), ("two", [bad, {**good, "instruction": "And?"}, bad])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    config = make_data(tmp_path / "one.jsonl")
    second = config.train[0].model_copy(update={"path": str(tmp_path / "two.jsonl"), "weight": 2.0})
    data = load_data(config.model_copy(update={"train": (*config.train, second)}), chatml)
    assert [(f.file, f.line) for f in data.faults] == [("one.jsonl", 2), ("two.jsonl", 1), ("two.jsonl", 3)]
