"""The data's size without a tokenizer."""

import json
from pathlib import Path

import pytest

from finetune_operator.exceptions import DatasetInvalidError
from finetune_operator.local.estimate import estimate_dataset


def write(path: Path, *lengths: int) -> Path:
    """Rows of so many tokens by the estimate: 16 of template, the rest of four characters each."""
    rows = [{"instruction": "x" * (4 * (n - 16) - 4), "output": ["text"]} for n in lengths]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_lengths_are_those_of_the_rows_that_fit(tmp_path: Path) -> None:
    facts = estimate_dataset(
        [(write(tmp_path / "train.jsonl", 20, 30, 40, 129), 1.0)], write(tmp_path / "check.jsonl", 25, 300), None, 128
    )
    assert (facts.rows, facts.tokens, facts.p50, facts.longest) == (3, 90, 30, 40)


def test_a_row_of_just_the_longest_length_fits(tmp_path: Path) -> None:
    train, check = write(tmp_path / "train.jsonl", 128, 129), write(tmp_path / "check.jsonl", 20)
    assert estimate_dataset([(train, 1.0)], check, None, 128).longest == 128


def test_a_fraction_is_taken_out_of_the_training_rows(tmp_path: Path) -> None:
    facts = estimate_dataset([(write(tmp_path / "train.jsonl", *range(20, 30)), 1.0)], None, 0.2, 128)
    assert facts.rows == 8
    assert facts.tokens == pytest.approx(0.8 * sum(range(20, 30)), rel=0.05)


def test_blank_lines_and_a_byte_order_mark_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('\ufeff{"text": "a"}\n\n{"text": "b"}\n', encoding="utf-8")
    assert estimate_dataset([(path, 1.0)], None, 0.5, 128).rows == 1


def test_of_two_answers_the_longer_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    row = {"prompt": "x" * 40, "chosen": "y" * 8, "rejected": [{"content": "z" * 20}]}
    path.write_text(2 * (json.dumps(row) + "\n"), encoding="utf-8")
    assert estimate_dataset([(path, 1.0)], None, 0.5, 128).longest == 16 + (40 + 20) // 4


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(b"", "is empty; write one JSON object a line", id="empty"),
        pytest.param(b'{}\n{"text":\n', "2: is not JSON (Expecting value, column 9); write one object a line",
                     id="cut-off"),
        pytest.param(b"[1]\n", "1: is not a JSON object; write one object a line", id="no-object"),
        pytest.param(b'{"text": "caf\xe9"}\n', "is not UTF-8; save it as UTF-8", id="latin-1"),
        pytest.param(b'{"a":' * 2000 + b"\n", "1: is nested too deeply; write one object a line", id="deep"),
        pytest.param(b'{"text": "a"}\n', "evaluation.fraction 0.5 holds out all of its 1 rows; write a smaller one",
                     id="nothing-left-to-train-on"),
        pytest.param(
            json.dumps({"text": "x" * 4000}).encode(),
            "all 1 rows are over dataset.maxLength 128, the shortest has about 1016 tokens; write a larger maxLength",
            id="all-too-long",
        ),
    ],
)  # fmt: skip
def test_data_that_can_not_be_used_is_refused_with_its_place(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(content)
    with pytest.raises(DatasetInvalidError) as caught:
        estimate_dataset([(path, 1.0)], None, 0.5, 128)
    assert str(caught.value).removeprefix(f"{path}:").lstrip() == told


def test_an_evaluation_file_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "check.jsonl").touch()
    with pytest.raises(DatasetInvalidError, match=r"check\.jsonl: is empty"):
        estimate_dataset([(write(tmp_path / "train.jsonl", 20), 1.0)], tmp_path / "check.jsonl", None, 128)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetInvalidError) as caught:
        estimate_dataset([(tmp_path / "none.jsonl", 1.0)], None, 0.5, 128)
    told = "can't be read: No such file or directory; write the path of a .jsonl file"
    assert str(caught.value) == f"{tmp_path}/none.jsonl: {told}"


def test_each_file_counts_as_often_as_its_weight_says(tmp_path: Path) -> None:
    once, often = write(tmp_path / "once.jsonl", 20, 40), write(tmp_path / "often.jsonl", 100, 110)
    facts = estimate_dataset([(once, 0.5), (often, 2.0)], write(tmp_path / "check.jsonl", 20), None, 128)
    assert (facts.rows, facts.tokens) == (5, 20 + 2 * (100 + 110))


@pytest.mark.parametrize("name", ["train.parquet", "train.csv", "train.jsonl.gz"])
def test_lengths_of_other_files_are_not_guessed(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, 20)
    with pytest.raises(DatasetInvalidError, match="row lengths are estimated from JSON Lines alone"):
        estimate_dataset([(path, 1.0)], None, 0.5, 128)
