"""Several files to learn from, each as often as its weight says."""

from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pytest

from finetune_trainer.data.load import LoadedData, load_data
from finetune_trainer.data.tokenizer import TextTokenizer
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import RowFormat, TrainFileConfig
from tests.unit.trainer_data.builders import make_data, make_row, write_rows


def source(path: Path, weight: float = 1.0) -> TrainFileConfig:
    return TrainFileConfig(path=str(path), format=RowFormat.AUTO, weight=weight)


def loaded(folder: Path, tokenizer: TextTokenizer, weights: tuple[float, float], **changes: Any) -> LoadedData:
    """Eight rows of one file and four texts of another."""
    one = write_rows(folder / "one.jsonl", [make_row(n) for n in range(8)])
    two = write_rows(folder / "two.jsonl", [{"text": f"text {n}"} for n in range(4)])
    check = write_rows(folder / "check.jsonl", [make_row(100)])
    sources = (source(one, weights[0]), source(two, weights[1]))
    return load_data(make_data(one, check, train=sources, **changes), tokenizer)


def places(data: LoadedData) -> list[tuple[str, int]]:
    return [(e.file, e.line) for e in data.train]


ONE = [("one.jsonl", n) for n in range(1, 9)]
TWO = [("two.jsonl", n) for n in range(1, 5)]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        pytest.param((1.0, 1.0), ONE + TWO, id="once"),
        pytest.param((2.0, 1.0), ONE * 2 + TWO, id="twice"),
        pytest.param((1.0, 3.0), ONE + TWO * 3, id="three-times"),
    ],
)
def test_a_whole_weight_is_as_many_copies(
    tmp_path: Path, chatml: TextTokenizer, weights: tuple[float, float], expected: list[tuple[str, int]]
) -> None:
    data = loaded(tmp_path, chatml, weights)
    assert places(data) == expected
    assert data.train_facts.rows == len(expected)
    assert data.train_facts.lengths.total == sum(len(e.input_ids) for e in data.train)
    assert data.train_facts.format == "Alpaca and Text"


def test_the_rest_of_a_weight_is_a_choice_by_content_and_seed(tmp_path: Path, chatml: TextTokenizer) -> None:
    counts = Counter(places(loaded(tmp_path, chatml, (1.5, 0.5))))
    assert sorted(counts[p] for p in ONE) == [1] * 4 + [2] * 4
    assert sorted(counts[p] for p in TWO) == [0, 0, 1, 1]
    assert Counter(places(loaded(tmp_path, chatml, (1.5, 0.5)))) == counts
    assert Counter(places(loaded(tmp_path, chatml, (1.5, 0.5), seed=7))) != counts


def test_a_file_with_a_tiny_weight_has_a_row_all_the_same(tmp_path: Path, chatml: TextTokenizer) -> None:
    assert len([p for p in places(loaded(tmp_path, chatml, (1.0, 0.01))) if p in TWO]) == 1


def test_rows_are_held_out_before_weights_count(tmp_path: Path, chatml: TextTokenizer) -> None:
    one = write_rows(tmp_path / "one.jsonl", [make_row(n) for n in range(8)])
    two = write_rows(tmp_path / "two.jsonl", [make_row(n) for n in range(20, 24)])
    data = load_data(make_data(one, train=(source(one), source(two, 5.0)), evaluation_fraction=0.5), chatml)
    held = {(e.file, e.line) for e in data.evaluation}
    assert len(data.evaluation) == 6
    assert held.isdisjoint(places(data))
    assert set(Counter(p for p in places(data) if p[0] == "two.jsonl").values()) <= {5}


def test_a_row_of_one_file_is_a_duplicate_in_another(tmp_path: Path, chatml: TextTokenizer) -> None:
    one = write_rows(tmp_path / "one.jsonl", [make_row(1), make_row(2)])
    two = write_rows(tmp_path / "two.jsonl", [make_row(3), make_row(2)])
    data = load_data(make_data(one, train=(source(one), source(two)), evaluation_fraction=0.4), chatml)
    assert [f"{f.file}:{f.line}: {f.message}" for f in data.faults] == [
        "two.jsonl:2: is the same row as one.jsonl:2; remove one of them"
    ]


def test_each_file_is_held_to_the_share_of_bad_rows(tmp_path: Path, chatml: TextTokenizer) -> None:
    one = write_rows(tmp_path / "one.jsonl", [make_row(n) for n in range(50)])
    two = write_rows(tmp_path / "two.jsonl", [make_row(98), make_row(99, output="")])
    with pytest.raises(TrainerError, match=r"two\.jsonl:2: output is empty; .* \(1 of 2 rows are bad\)"):
        load_data(make_data(one, train=(source(one), source(two)), max_bad_share=0.1), chatml)


def test_a_file_that_is_named_twice_is_refused(tmp_path: Path, chatml: TextTokenizer) -> None:
    one = write_rows(tmp_path / "one.jsonl", [make_row(1)])
    (tmp_path / "link.jsonl").symlink_to(one)
    with pytest.raises(TrainerError, match=r"link\.jsonl: is named for training twice; ") as e:
        load_data(make_data(one, train=(source(one), source(tmp_path / "link.jsonl"))), chatml)
    assert e.value.code is ExitCode.DATA


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        pytest.param(
            {"prompt": "q", "chosen": "a", "rejected": "b"},
            "one.jsonl: has rows of the format Preference, which DPO and ORPO learn from; for SFT write the "
            "chosen answer alone, as prompt and completion",
            id="preference",
        ),
        pytest.param(
            {"prompt": "q", "completion": "a", "label": True},
            "one.jsonl: has rows of the format Unpaired, which KTO learns from; for SFT write the rows whose label is "
            "true, without it",
            id="unpaired",
        ),
    ],
)
def test_judged_answers_are_refused_with_what_they_are_for(
    tmp_path: Path, chatml: TextTokenizer, row: dict[str, Any], sentence: str
) -> None:
    one = write_rows(tmp_path / "one.jsonl", [row])
    with pytest.raises(TrainerError) as e:
        load_data(make_data(one), chatml)
    assert (e.value.code, e.value.message) == (ExitCode.DATA, sentence)


PAIR = {"prompt": "q", "chosen": "a", "rejected": "b"}
SINGLE = {"prompt": "q", "completion": "a", "label": True}


@pytest.mark.parametrize(
    ("objective", "row", "sentence"),
    [
        pytest.param(
            "DPO",
            {"prompt": "q", "completion": "a"},
            "one.jsonl: has rows of the format PromptCompletion, which SFT learns from; "
            "DPO learns from Preference rows: "
            "write prompt, chosen and rejected, or objective: SFT",
            id="dpo-of-right-answers",
        ),
        pytest.param(
            "ORPO",
            SINGLE,
            "one.jsonl: has rows of the format Unpaired, which KTO learns from; "
            "ORPO learns from Preference rows: "
            "write prompt, chosen and rejected, or objective: KTO",
            id="orpo-of-single-answers",
        ),
        pytest.param(
            "KTO",
            PAIR,
            "one.jsonl: has rows of the format Preference, which DPO and ORPO learn from; "
            "KTO learns from Unpaired rows: "
            "write prompt, completion and label, or objective: DPO",
            id="kto-of-pairs",
        ),
    ],
)
def test_rows_for_another_objective_are_refused(
    tmp_path: Path, chatml: TextTokenizer, objective: str, row: dict[str, Any], sentence: str
) -> None:
    one = write_rows(tmp_path / "one.jsonl", [row])
    with pytest.raises(TrainerError) as e:
        load_data(make_data(one, objective=objective), chatml)
    assert (e.value.code, e.value.message) == (ExitCode.DATA, sentence)


@pytest.mark.parametrize("label", [True, False])
def test_kto_needs_wanted_answers_and_others(
    tmp_path: Path, chatml: TextTokenizer, label: Literal[True, False]
) -> None:
    rows = [{"prompt": f"q{i}", "completion": "a", "label": label} for i in range(8)]
    one = write_rows(tmp_path / "one.jsonl", rows)
    with pytest.raises(TrainerError) as e:
        load_data(make_data(one, objective="KTO"), chatml)
    assert e.value.message.startswith(f"one.jsonl: none of the 6 rows trained on has label: {str(not label).lower()};")


def test_both_answers_of_a_pair_are_read_counted_and_held_to_the_length(tmp_path: Path, chatml: TextTokenizer) -> None:
    rows = [{"prompt": f"q{i}", "chosen": "a", "rejected": "b" * (1 + i)} for i in range(8)]
    rows += [{"prompt": "q0", "chosen": "a", "rejected": "c"}, {"prompt": "q0", "chosen": "a", "rejected": "c"}]
    rows.append({"prompt": "long", "chosen": "a", "rejected": " x y" * 400})
    data = load_data(make_data(write_rows(tmp_path / "one.jsonl", rows), objective="DPO"), chatml)
    assert len(data.train) + len(data.evaluation) == 9
    assert data.faults[0].message.startswith("is the same row as line 9")
    assert "tokens" in data.faults[1].message
    for example in data.train:
        (chosen, _), (rejected, mask) = example.sequences
        assert chosen != rejected
        assert any(mask)
    lengths = data.train_facts.lengths
    assert lengths.total == sum(len(ids) for e in data.train for ids, _ in e.sequences)
    assert lengths.max == max(len(e.rejected_ids) for e in data.train)
