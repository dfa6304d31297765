"""Files to examples: faults, duplicates, leaks, lengths, limits and the split."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune_trainer.data.load import LoadedData, audit, load_data, write_fault_report
from finetune_trainer.data.tokenizer import TextTokenizer
from finetune_trainer.events import RowFault
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import DataConfig, RowFormat, TrainFileConfig
from tests.unit.trainer_data.builders import CONTRACT, make_data, make_row, write_rows


def refused(config: DataConfig, tokenizer: TextTokenizer) -> str:
    with pytest.raises(TrainerError) as e:
        load_data(config, tokenizer)
    assert e.value.code is ExitCode.DATA
    return e.value.message


def check_file(folder: Path) -> Path:
    """A file for evaluation with a row that is in no other file."""
    return write_rows(folder / "check.jsonl", [make_row(1000)])


def loaded(folder: Path, tokenizer: TextTokenizer, rows: list[dict[str, Any]], **changes: Any) -> LoadedData:
    train = write_rows(folder / "train.jsonl", rows)
    return load_data(make_data(train, check_file(folder), **changes), tokenizer)


def faults_of(data: LoadedData) -> list[str]:
    return [f"{f.file}:{f.line}: {f.message}" for f in data.faults]


def test_rows_become_examples_with_their_places_and_facts(tmp_path: Path, chatml: TextTokenizer) -> None:
    data = loaded(tmp_path, chatml, [make_row(n) for n in range(1, 21)])
    assert [(e.file, e.line) for e in data.train] == [("train.jsonl", n) for n in range(1, 21)]
    assert [(e.file, e.line) for e in data.evaluation] == [("check.jsonl", 1)]
    lengths = sorted(len(e.input_ids) for e in data.train)
    facts = data.train_facts
    assert (facts.format, facts.rows, facts.skipped, facts.fault_count, facts.faults) == ("Alpaca", 20, 0, 0, ())
    assert (facts.lengths.p50, facts.lengths.p95) == (lengths[10], lengths[19])
    assert (facts.lengths.max, facts.lengths.total) == (lengths[-1], sum(lengths))
    assert facts.lengths.answer_total == sum(sum(e.answer_mask) for e in data.train)


@pytest.mark.parametrize(
    ("row", "changes", "message"),
    [
        pytest.param(make_row(2, output=""), {}, "output is empty; write it or remove the row", id="empty-answer"),
        pytest.param({"question": "q"}, {}, "has the keys question; write instruction and output, ", id="unknown-keys"),
        pytest.param(
            {"text": "t"},
            {},
            "is a row of the format Text in a file of the format Alpaca; write one format",
            id="format",
        ),
        pytest.param(make_row(1), {}, "is the same row as line 1; remove one of them", id="duplicate"),
        pytest.param(
            make_row(1, instruction="TICKET 1:  the shop is down. ", output="x"),
            {"unique_input": True},
            "has the same input as line 1; keep one of them, or drop contract.unique",
            id="duplicate-input",
        ),
        pytest.param(
            make_row(2, output="high"),
            {"answer_json": CONTRACT},
            "the answer is not JSON: Expecting value at column 1; the contract asks for a JSON object",
            id="contract",
        ),
        pytest.param(
            make_row(2, output="x" * 500),
            {"max_length": 400},
            "has 541 tokens (501 in its answer), dataset.maxLength is 400; shorten the row or write maxLength: 541",
            id="too-long",
        ),
        pytest.param(
            make_row(2, output="a<|im_end|>b"),
            {},
            "the answer holds <|im_end|>, with which the model ends",
            id="stop-token",
        ),
        pytest.param(
            make_row(1000, output="another answer"),
            {},
            "has the input of check.jsonl:1, which is held out, and isn't trained on; take it out of one of the files",
            id="leak",
        ),
        pytest.param(
            make_row(1000, instruction="ticket 1000:\nthe SHOP is down."),
            {},
            "has the input of check.jsonl:1, which is held out, and isn't trained on; take it out of one of the files",
            id="leak-in-other-case",
        ),
    ],
)
def test_a_bad_row_is_skipped_with_its_place(
    tmp_path: Path, chatml: TextTokenizer, row: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    data = loaded(tmp_path, chatml, [make_row(1), row, *map(make_row, range(3, 9))], **changes)
    assert [f.line for f in data.faults] == [2]
    assert faults_of(data)[0].startswith(f"train.jsonl:2: {message}")
    assert [e.line for e in data.train] == [1, *range(3, 9)]
    assert (data.train_facts.skipped, data.train_facts.fault_count, data.train_facts.faults) == (1, 1, data.faults)


def test_without_unique_inputs_two_answers_to_one_question_are_two_rows(tmp_path: Path, chatml: TextTokenizer) -> None:
    assert loaded(tmp_path, chatml, [make_row(1), make_row(1, output="x")]).faults == ()


def test_a_row_of_just_the_greatest_length_is_kept(tmp_path: Path, chatml: TextTokenizer) -> None:
    need = loaded(tmp_path, chatml, [make_row(1)]).train_facts.lengths.max
    # the held-out row is longer by the three digits more of its number, twice
    data = loaded(tmp_path, chatml, [make_row(1)], max_length=need + 6)
    assert (len(data.train), len(data.evaluation)) == (1, 1)
    with pytest.raises(TrainerError, match=f"train.jsonl:1: has {need} tokens"):
        loaded(tmp_path, chatml, [make_row(1)], max_length=need - 1)


def test_faults_are_told_in_the_order_of_lines_and_ten_at_most(tmp_path: Path, chatml: TextTokenizer) -> None:
    path = tmp_path / "train.jsonl"
    lines = [json.dumps(make_row(n)) if n % 2 else ("not json" if n % 4 else '{"text": "t"}') for n in range(1, 41)]
    path.write_text("\n".join(lines), encoding="utf-8")
    source = TrainFileConfig(path=str(path), format=RowFormat.ALPACA, weight=1.0)
    data = load_data(make_data(path, train=(source,)), chatml)
    assert [f.line for f in data.faults] == list(range(2, 41, 2))
    assert (len(data.train_facts.faults), data.train_facts.fault_count) == (10, 20)


@pytest.mark.parametrize(("name", "label"), [("check.jsonl", "train.jsonl"), ("train.jsonl", "{folder}/a/train.jsonl")])
def test_a_file_is_called_by_its_path_only_where_names_are_the_same(
    tmp_path: Path, chatml: TextTokenizer, name: str, label: str
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    train = write_rows(tmp_path / "a" / "train.jsonl", [make_row(1)])
    data = load_data(make_data(train, write_rows(tmp_path / "b" / name, [make_row(2)])), chatml)
    assert data.train[0].file == label.format(folder=tmp_path)


def test_one_file_for_both_is_refused(tmp_path: Path, chatml: TextTokenizer) -> None:
    train = write_rows(tmp_path / "train.jsonl", [make_row(1), make_row(2)])
    (tmp_path / "link.jsonl").symlink_to(train)
    assert refused(make_data(train, tmp_path / "link.jsonl"), chatml) == (
        f"{tmp_path / 'link.jsonl'}: is named for training and for evaluation; name another file, or hold rows of this "
        "one out with evaluation.fraction"
    )


def test_a_leak_is_told_with_the_first_held_out_row_of_its_input(tmp_path: Path, chatml: TextTokenizer) -> None:
    train = write_rows(tmp_path / "train.jsonl", [make_row(1), make_row(2), make_row(3)])
    check = write_rows(tmp_path / "check.jsonl", [make_row(7), make_row(2, output="a"), make_row(2, output="b")])
    data = load_data(make_data(train, check), chatml)
    assert [f.message.split(",")[0] for f in data.faults] == ["has the input of check.jsonl:2"]
    assert len(data.evaluation) == 3


def test_evaluation_rows_may_have_the_key_expected(tmp_path: Path, chatml: TextTokenizer) -> None:
    train = write_rows(tmp_path / "train.jsonl", [make_row(1)])
    check = write_rows(tmp_path / "check.jsonl", [{"instruction": "q", "expected": "a"}])
    assert load_data(make_data(train, check), chatml).evaluation[0].reference == "a"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param(["nope"], "train.jsonl:1: is not JSON: Expecting value at column 1", id="one-line"),
        pytest.param(
            ["nope", "[]"],
            "train.jsonl:1: is not JSON: Expecting value at column 1 (all 2 rows are bad)",
            id="no-object",
        ),
        pytest.param(
            ['{"instruction": "q"}', '{"output": "a"}'],
            "train.jsonl:1: output is missing; write it as a string (all 2 rows are bad)",
            id="no-usable-object",
        ),
        pytest.param(
            [json.dumps(make_row(1000))],
            "train.jsonl:1: has the input of check.jsonl:1, which is held out, and isn't trained on; take it out of "
            "one of the files",
            id="all-held-out",
        ),
    ],
)
def test_where_no_row_is_left_the_first_fault_is_named(
    tmp_path: Path, chatml: TextTokenizer, rows: list[str], message: str
) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("".join(r + "\n" for r in rows), encoding="utf-8")
    assert refused(make_data(path, check_file(tmp_path)), chatml) == message


def test_an_evaluation_file_without_a_usable_row_is_refused(tmp_path: Path, chatml: TextTokenizer) -> None:
    train = write_rows(tmp_path / "train.jsonl", [make_row(1)])
    check = write_rows(tmp_path / "check.jsonl", [make_row(2, output="")])
    assert refused(make_data(train, check), chatml) == "check.jsonl:1: output is empty; write it or remove the row"


BAD = make_row(2, output="")


def test_a_bad_row_is_refused_where_none_may_be_skipped(tmp_path: Path, chatml: TextTokenizer) -> None:
    train = write_rows(tmp_path / "train.jsonl", [make_row(1), BAD, make_row(3)])
    assert refused(make_data(train, check_file(tmp_path), fail_on_bad_row=True), chatml) == (
        "train.jsonl:2: output is empty; write it or remove the row (1 of 3 rows are bad); mend them, or write "
        "contract.onBadRow: Skip"
    )


@pytest.mark.parametrize(("share", "passes"), [(0.26, True), (0.25, True), (0.24, False), (0.0, False)])
def test_the_share_of_bad_rows_has_a_limit(
    tmp_path: Path, chatml: TextTokenizer, *, share: float, passes: bool
) -> None:
    train = write_rows(tmp_path / "train.jsonl", [make_row(1), BAD, make_row(3), make_row(4)])
    config = make_data(train, check_file(tmp_path), max_bad_share=share)
    if passes:
        assert len(load_data(config, chatml).train) == 3
        return
    assert refused(config, chatml) == (
        "train.jsonl:2: output is empty; write it or remove the row (1 of 4 rows are bad); contract.maxBadRows allows "
        f"{share:.1%}; mend them, or allow more"
    )


def test_bad_held_out_rows_count_against_the_same_limit(tmp_path: Path, chatml: TextTokenizer) -> None:
    train = write_rows(tmp_path / "train.jsonl", [make_row(1)])
    check = write_rows(tmp_path / "check.jsonl", [BAD, make_row(3)])
    assert refused(make_data(train, check, max_bad_share=0.4), chatml).startswith("check.jsonl:1: output is empty; ")


def test_a_contract_for_answers_does_not_go_with_plain_texts(tmp_path: Path, chatml: TextTokenizer) -> None:
    train = write_rows(tmp_path / "train.jsonl", [{"text": "a"}])
    assert refused(make_data(train, check_file(tmp_path), answer_json=CONTRACT), chatml) == (
        "train.jsonl: its rows are plain texts, which have no answers that contract.output could hold for; take it out "
        "of the job, or write rows with answers"
    )


def test_a_named_format_is_not_guessed(tmp_path: Path, chatml: TextTokenizer) -> None:
    rows = [{"text": "t", "prompt": f"q{n}", "completion": "a"} for n in range(2)]
    train = write_rows(tmp_path / "train.jsonl", rows)
    source = TrainFileConfig(path=str(train), format=RowFormat.TEXT, weight=1.0)
    data = load_data(make_data(train, check_file(tmp_path), train=(source,)), chatml)
    assert data.train_facts.format == "Text"
    assert faults_of(data) == ["train.jsonl:2: is the same row as line 1; remove one of them"]


def test_mixed_formats_are_refused(tmp_path: Path, chatml: TextTokenizer) -> None:
    train = write_rows(tmp_path / "train.jsonl", [make_row(1), {"text": "t"}])
    assert refused(make_data(train, check_file(tmp_path)), chatml) == (
        "train.jsonl: mixes formats: 1 Alpaca rows (first at line 1) and 1 Text rows (first at line 2); write one "
        "format a file"
    )


@pytest.mark.parametrize(
    ("rows", "fraction", "held"),
    [(20, 0.25, 5), (20, 0.01, 1), (10, 0.16, 2), (2, 0.5, 1), (20, 0.9, 18)],
    ids=["quarter", "at-least-one", "rounded", "two", "most"],
)
def test_a_fraction_is_held_out_and_not_trained_on(
    tmp_path: Path, chatml: TextTokenizer, rows: int, fraction: float, held: int
) -> None:
    train = write_rows(tmp_path / "train.jsonl", [make_row(n) for n in range(rows)])
    data = load_data(make_data(train, evaluation_fraction=fraction), chatml)
    assert (len(data.train), len(data.evaluation)) == (rows - held, held)
    assert sorted(e.line for e in data.train + data.evaluation) == list(range(1, rows + 1))
    assert (data.train_facts.rows, data.evaluation_facts.rows) == (rows - held, held)


def held_prompts(folder: Path, tokenizer: TextTokenizer, rows: list[dict[str, Any]], seed: int = 42) -> set[str]:
    train = write_rows(folder / "train.jsonl", rows)
    return {e.prompt for e in load_data(make_data(train, seed=seed), tokenizer).evaluation}


def test_the_split_follows_content_and_seed_alone(tmp_path: Path, chatml: TextTokenizer) -> None:
    rows = [make_row(n) for n in range(20)]
    first = held_prompts(tmp_path, chatml, rows)
    assert held_prompts(tmp_path, chatml, rows) == first
    assert held_prompts(tmp_path, chatml, rows[::-1]) == first
    assert held_prompts(tmp_path, chatml, rows, seed=43) != first
    # the same on every machine and in every version
    assert first == {f"Ticket {n}: the shop is down." for n in SPLIT}


SPLIT = (2, 3, 4, 7, 8)
"""Of twenty rows with the seed 42, a quarter."""


def test_rows_of_one_input_are_never_parted(tmp_path: Path, chatml: TextTokenizer) -> None:
    rows = [make_row(n % 5, output=f"answer {n}") for n in range(20)]
    train = write_rows(tmp_path / "train.jsonl", rows)
    data = load_data(make_data(train), chatml)
    assert not {e.prompt for e in data.train} & {e.prompt for e in data.evaluation}


@pytest.mark.parametrize(
    ("rows", "fraction", "message"),
    [
        pytest.param([make_row(1)], 0.1, "0.1 leaves none of its 1 usable rows (1 input)", id="one-row"),
        pytest.param(
            [make_row(1), make_row(1, output="x")],
            0.5,
            "0.5 leaves none of its 2 usable rows (1 input)",
            id="one-input",
        ),
        pytest.param(
            [make_row(1), make_row(2)],
            0.8,
            "0.8 leaves none of its 2 usable rows (2 different inputs)",
            id="large-fraction",
        ),
    ],
)
def test_a_fraction_that_leaves_nothing_to_train_on_is_refused(
    tmp_path: Path, chatml: TextTokenizer, rows: list[dict[str, Any]], fraction: float, message: str
) -> None:
    train = write_rows(tmp_path / "train.jsonl", rows)
    assert refused(make_data(train, evaluation_fraction=fraction), chatml) == (
        f"train.jsonl: evaluation.fraction {message} to train on; add rows, or name a file for evaluation"
    )


def test_an_audit_passes_what_was_built(tmp_path: Path, chatml: TextTokenizer) -> None:
    data = loaded(tmp_path, chatml, [make_row(1)])
    audit((*data.train, *data.evaluation), chatml)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param("nothing-learnt", "train.jsonl:1: has no token to learn; leave the row out", id="empty-mask"),
        pytest.param("first-token-alone", "train.jsonl:1: has no token to learn; leave the row out", id="first-token"),
        pytest.param(
            "stop-not-learnt", "train.jsonl:1: the answer doesn't end with a stop token (<|im_end|>), ", id="mask"
        ),
        pytest.param(
            "stop-missing", "train.jsonl:1: the answer doesn't end with a stop token (<|im_end|>), ", id="ids"
        ),
    ],
)
def test_an_audit_is_red_where_the_end_is_not_learnt(
    tmp_path: Path, chatml: TextTokenizer, change: str, message: str
) -> None:
    good = loaded(tmp_path, chatml, [make_row(1)]).train[0]
    size = len(good.input_ids)
    bad = {
        "nothing-learnt": replace(good, answer_mask=(False,) * size),
        "first-token-alone": replace(good, answer_mask=(True,) + (False,) * (size - 1)),
        "stop-not-learnt": replace(good, answer_mask=(*good.answer_mask[:-1], False)),
        "stop-missing": replace(good, input_ids=good.input_ids[:-1], answer_mask=good.answer_mask[:-1]),
    }[change]
    with pytest.raises(TrainerError) as e:
        audit([good, bad], chatml)
    assert e.value.code is ExitCode.DATA
    assert e.value.message.startswith(message)


def test_all_faults_are_reported_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "out" / "data_report.json"
    write_fault_report(path, [RowFault(file="train.jsonl", line=17, message="is “empty”")])
    assert json.loads(path.read_text(encoding="utf-8")) == [
        {"file": "train.jsonl", "line": 17, "message": "is “empty”"}
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.floats(0.05, 0.95), st.integers(0, 2**31))
def test_no_input_is_ever_on_both_sides(
    tmp_path: Path, chatml: TextTokenizer, numbers: list[int], fraction: float, seed: int
) -> None:
    rows = [make_row(n, output=f"answer {i}") for i, n in enumerate(numbers)]
    config = make_data(write_rows(tmp_path / "train.jsonl", rows), evaluation_fraction=fraction, seed=seed)
    if len(set(numbers)) == 1:
        assert "leaves none of its" in refused(config, chatml)
        return
    if round(fraction * len(rows)) == len(rows):
        assert "leaves none of its" in refused(config, chatml)
        return
    data = load_data(config, chatml)
    assert data.evaluation
    assert data.train
    assert {e.prompt for e in data.train}.isdisjoint(e.prompt for e in data.evaluation)
    assert len(data.train) + len(data.evaluation) == len(rows)
