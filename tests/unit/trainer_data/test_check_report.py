"""Files of rows, checked whole: every row that is bad or to be looked at, by file and line."""

import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune_trainer.data.check import __main__ as program
from finetune_trainer.data.check import blocks, workers
from finetune_trainer.events import DataReport, FailureEvent, PhaseEvent, parse_event
from finetune_trainer.exit_codes import ExitCode
from tests.unit.trainer_data.builders import CONTRACT, make_row, write_rows

LONG = (
    "The whole analytics team has been unable to export since Monday, and the eleven of us can't work at all today. "
    "Other teams can, as far as we have heard; nothing was changed on our side, and no message is shown anywhere."
)


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Checks files as a program does; its last event."""

    def run(*train: Path, **changes: Any) -> DataReport | FailureEvent:
        request = {
            "train": [str(path) for path in train],
            "evaluation": None,
            "format": "Auto",
            "max_length": None,
            "model_path": None,
            "contract": None,
            "unique_input": False,
        }
        asked = json.dumps(request | {k: str(v) if isinstance(v, Path) else v for k, v in changes.items()})
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(asked.encode())))
        code = program.main()
        events = [parse_event(line) for line in capsys.readouterr().out.splitlines()]
        assert all(isinstance(e, PhaseEvent) for e in events[:-1])
        last = events[-1]
        assert isinstance(last, DataReport | FailureEvent)
        assert code == (last.code if isinstance(last, FailureEvent) else ExitCode.OK)
        return last

    return run


def flags(report: DataReport, kind: str) -> list[str]:
    return [f"{f.file}:{f.line}: {f.message.split(';')[0]}" for f in report.flags if f.kind == kind]


def faults(report: DataReport) -> list[str]:
    return [f"{f.file}:{f.line}: {f.message}" for f in report.faults]


def _short(number: int) -> dict[str, Any]:
    """A row that is too short to be compared with others."""
    return {"instruction": f"Ticket {number}", "output": '{"priority": "high"}'}


def test_clean_rows_are_counted(tmp_path: Path, check: Any) -> None:
    train = write_rows(tmp_path / "train.jsonl", [_short(n) for n in range(20)])
    held = write_rows(tmp_path / "check.jsonl", [_short(100)])
    report = check(train, evaluation=held)
    assert [(f.file, f.role, f.format, f.rows, f.bad) for f in report.files] == [
        ("train.jsonl", "train", "Alpaca", 20, 0),
        ("check.jsonl", "evaluation", "Alpaca", 1, 0),
    ]
    assert (report.fault_count, report.left_out, report.flags, report.flag_counts) == (0, 0, (), {})
    assert report.lengths is not None
    assert sum(report.lengths.rows) == 21
    assert (report.instructions.rows, report.instructions.distinct) == (21, 21)
    assert [(b.field, [(v.value, v.rows) for v in b.values]) for b in report.balances] == [("priority", [("high", 21)])]


ALIKE: Mapping[str, tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]], str, list[str]]] = {
    "the-same-row": (
        [make_row(1), make_row(2), make_row(1), make_row(1)],
        [],
        "duplicate",
        ["train.jsonl:3: is the same row as line 1", "train.jsonl:4: is the same row as line 1"],
    ),
    "the-same-input": (
        [make_row(1), make_row(1, output="x", instruction="TICKET 1:  the shop\nis down.")],
        [],
        "same-input",
        ["train.jsonl:2: has the same input as line 1, and another answer"],
    ),
    "nearly-the-same": (
        [make_row(1, instruction=LONG), make_row(2, instruction=LONG.replace("Monday", "Friday"))],
        [],
        "near-duplicate",
        ["train.jsonl:2: is nearly the same as line 1"],
    ),
    "held-out": (
        [make_row(1), make_row(2)],
        [make_row(7), make_row(2, output="x")],
        "leak",
        ["train.jsonl:2: has the input of check.jsonl:2, which is held out"],
    ),
    "held-out-in-another-case": (
        [make_row(1), make_row(2, instruction="ticket 2: THE shop is  down.")],
        [make_row(2)],
        "leak",
        ["train.jsonl:2: has the input of check.jsonl:1, which is held out"],
    ),
    "held-out-nearly": (
        [make_row(1, instruction=LONG)],
        [make_row(1, instruction=LONG.replace("Monday", "Friday"))],
        "near-leak",
        ["check.jsonl:1: is nearly the same as train.jsonl:1, which is trained on"],
    ),
    "secret": ([make_row(1, input="AKIA" + "ABCDEFGHIJKLMNOP")], [], "secret", []),
}


@pytest.mark.parametrize(("train", "held", "kind", "told"), ALIKE.values(), ids=ALIKE)
def test_what_is_to_be_looked_at_is_told_at_its_place(
    tmp_path: Path,
    check: Any,
    train: Sequence[Mapping[str, Any]],
    held: Sequence[Mapping[str, Any]],
    kind: str,
    told: list[str],
) -> None:
    path = write_rows(tmp_path / "train.jsonl", train)
    other = write_rows(tmp_path / "check.jsonl", held or [make_row(900)])
    report = check(path, evaluation=other)
    told = told or ["train.jsonl:1: holds what looks like an AWS access key"]
    assert flags(report, kind) == told
    assert report.flag_counts == {kind: len(told)}
    assert report.left_out == (len(told) if kind in {"duplicate", "leak"} else 0)


def test_no_secret_is_ever_told(tmp_path: Path, check: Any) -> None:
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    bad = make_row(2, output="", input=secret)
    report = check(write_rows(tmp_path / "train.jsonl", [make_row(1, input=f"{secret} jane@corp.io"), bad]))
    assert report.flag_counts == {"personal": 1, "secret": 1}
    assert report.fault_count == 1
    assert secret not in report.model_dump_json()
    assert "jane" not in report.model_dump_json()


def test_every_malformed_row_is_told_at_its_place(tmp_path: Path, check: Any) -> None:
    path = tmp_path / "train.jsonl"
    good = json.dumps(make_row(1)).encode()
    lines = [good, b'{"a": ', b"", b"\xff", b'{"text": "t"}', b'{"x": 1, "x": 2}', b"3", b'{"instruction": "q"}', b"{}"]
    path.write_bytes(b"\n".join([*lines, json.dumps(make_row(2)).encode()]) + b"\n")
    report = check(path, format="Alpaca")
    assert [f.line for f in report.faults] == [2, 4, 5, 6, 7, 8, 9]
    assert (report.files[0].rows, report.files[0].bad, report.left_out) == (2, 7, 7)


def test_a_mixture_is_told_with_the_first_line_of_each_format(tmp_path: Path, check: Any) -> None:
    rows = [make_row(1), {"text": "t"}, make_row(2), make_row(3)]
    report = check(write_rows(tmp_path / "train.jsonl", rows))
    mixed = "mixes formats: 3 Alpaca rows (first at line 1) and 1 Text rows (first at line 2); write one format a file"
    other = "is a row of the format Text in a file of the format Alpaca; write one format a file"
    assert faults(report) == [f"train.jsonl:0: {mixed}", f"train.jsonl:2: {other}"]


def test_the_format_of_most_rows_counts_and_not_that_of_the_first(
    tmp_path: Path, check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_trainer.data.check.checked_file.LOOKED_AT", 3)
    rows = [*({"text": f"t{n}"} for n in range(3)), *(make_row(n) for n in range(30))]
    report = check(write_rows(tmp_path / "train.jsonl", rows))
    assert (report.files[0].format, [f.line for f in report.faults]) == ("Alpaca", [1, 2, 3])


def test_answers_are_held_against_a_contract(tmp_path: Path, check: Any) -> None:
    rows = [make_row(1), make_row(2, output='{"priority": "urgent", "reason": "r"}')]
    report = check(write_rows(tmp_path / "train.jsonl", rows), contract=CONTRACT.model_dump(mode="json"))
    assert faults(report) == ['train.jsonl:2: priority "urgent" is not allowed; write one of high, low']
    assert [b.field for b in report.balances] == []


def test_inputs_that_must_be_unique_are_bad_rows(tmp_path: Path, check: Any) -> None:
    train = write_rows(tmp_path / "train.jsonl", [make_row(1), make_row(1, output="x")])
    assert check(train).left_out == 0
    assert check(train, unique_input=True).left_out == 1


def test_lengths_are_estimated_or_counted(tmp_path: Path, check: Any, chatml_folder: Path) -> None:
    train = write_rows(tmp_path / "train.jsonl", [make_row(1), make_row(2, output="y" * 1000)])
    guessed = check(train, max_length=200)
    assert (guessed.measure, guessed.flag_counts, guessed.left_out) == ("characters / 4", {"too-long": 1}, 0)
    assert flags(guessed, "too-long")[0].startswith("train.jsonl:2: has about 259 tokens (characters / 4), ")
    counted = check(train, max_length=200, model_path=chatml_folder)
    assert (counted.measure, counted.flag_counts, counted.left_out) == ("tokens", {"too-long": 1}, 1)
    assert flags(counted, "too-long")[0].startswith("train.jsonl:2: has 1")


def test_with_a_tokenizer_rows_are_laid_out_as_a_run_does(tmp_path: Path, check: Any, chatml_folder: Path) -> None:
    train = write_rows(tmp_path / "train.jsonl", [make_row(1), make_row(2, output="a<|im_end|>b")])
    assert check(train).fault_count == 0
    (told,) = faults(check(train, model_path=chatml_folder))
    assert told.startswith("train.jsonl:2: the answer holds <|im_end|>, with which the model ends its answers")


@pytest.mark.parametrize(
    ("row", "row_format"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "Preference"),
        ({"prompt": "q", "completion": "a", "label": False}, "Unpaired"),
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}, "ShareGPT"),
    ],
)
def test_judged_answers_are_checked_and_counted(
    tmp_path: Path, check: Any, row: Mapping[str, Any], row_format: str
) -> None:
    report = check(write_rows(tmp_path / "train.jsonl", [row]))
    assert [(f.format, f.rows, f.bad) for f in report.files] == [(row_format, 1, 0)]


def test_system_prompts_are_counted(tmp_path: Path, check: Any) -> None:
    rows = [make_row(n, system=f"Be {'brief' if n else 'kind'}.") for n in range(4)]
    report = check(write_rows(tmp_path / "train.jsonl", [*rows, make_row(9)]))
    assert (report.systems.rows, report.systems.distinct) == (4, 2)
    assert [(s.value, s.rows) for s in report.systems.most] == [("Be brief.", 3), ("Be kind.", 1)]


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        pytest.param({"model_path": "/nowhere"}, ExitCode.MODEL, "/nowhere: has no tokenizer.json; ", id="model"),
        pytest.param({"format": "Alpacca"}, ExitCode.CONFIGURATION, "the request is wrong: ", id="request"),
        pytest.param(
            {"contract": CONTRACT.model_dump(mode="json"), "format": "Text"},
            ExitCode.DATA,
            "train.jsonl: its rows are plain texts, which have no answers",
            id="contract-for-texts",
        ),
    ],
)
def test_what_can_not_be_checked_is_a_code_and_a_sentence(
    tmp_path: Path, check: Any, changes: dict[str, Any], code: ExitCode, message: str
) -> None:
    failure = check(write_rows(tmp_path / "train.jsonl", [make_row(1)]), **changes)
    assert (failure.code, failure.message.startswith(message)) == (code, True), failure.message


def test_a_file_that_is_named_twice_is_refused(tmp_path: Path, check: Any) -> None:
    train = write_rows(tmp_path / "train.jsonl", [make_row(1)])
    assert check(train, evaluation=train).message == f"{train}: is named twice; name every file once"


def test_a_file_that_is_cut_off_in_a_later_block_is_told_with_its_line(
    tmp_path: Path, check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 100)
    train = write_rows(tmp_path / "train.jsonl", [make_row(n) for n in range(2000)])
    with train.open("a", encoding="utf-8") as f:
        f.write('{"instruction": "q", "out')
    assert check(train).message.startswith("train.jsonl:2001: is cut off: ")


def test_several_processes_say_what_one_says(tmp_path: Path, check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 500)
    rows = [make_row(n % 90) if n % 7 else make_row(n, output="") for n in range(120)]
    train = write_rows(tmp_path / "train.jsonl", rows)
    alone = check(train)
    monkeypatch.setattr(workers, "WORTHWHILE_BYTES", 1)
    assert check(train) == alone
    assert alone.left_out == alone.fault_count + alone.flag_counts["duplicate"] > 20


def test_rows_of_other_files_are_checked_in_blocks_too(
    tmp_path: Path, check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 2)
    path = tmp_path / "train.json"
    path.write_text(json.dumps([make_row(1), make_row(2), make_row(3), make_row(1)], indent=1), encoding="utf-8")
    report = check(path)
    assert flags(report, "duplicate") == ["train.json:14: is the same row as line 2"]


def test_the_check_loads_nothing_of_the_training_stack() -> None:
    heavy = {"accelerate", "datasets", "deepspeed", "jsonschema", "pandas", "peft", "pyarrow", "torch", "transformers"}
    command = "import finetune_trainer.data.check.__main__, sys; print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert Counter(done.stdout.split()).keys() & heavy == set()


def test_both_answers_of_a_preference_are_looked_at(tmp_path: Path, check: Any, chatml_folder: Path) -> None:
    rows = [
        {"prompt": "q", "chosen": "a", "rejected": "mail jane@corp.io"},
        {"prompt": "q", "chosen": "a", "rejected": "b" * 900},
        {"prompt": "q", "chosen": "a", "rejected": "b" * 900},
    ]
    for model in (None, chatml_folder):
        report = check(write_rows(tmp_path / "train.jsonl", rows), max_length=100, model_path=model)
        assert report.flag_counts == {"duplicate": 1, "personal": 1, "too-long": 2}


def test_a_label_makes_another_row(tmp_path: Path, check: Any) -> None:
    rows = [{"prompt": "q", "completion": "a", "label": wanted} for wanted in (True, False, True)]
    report = check(write_rows(tmp_path / "train.jsonl", rows))
    assert flags(report, "duplicate") == ["train.jsonl:3: is the same row as line 1"]
    assert report.flag_counts == {"duplicate": 1}


PIECES = st.binary(max_size=30) | st.sampled_from(
    [
        b'{"text": "a"}',
        b'{"instruction": "q", "output": "a"}',
        b"\n",
        b"[",
        b"]",
        b",",
        b'{"messages": [{"role": ',
        b"{}",
    ]
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECES, max_size=10), st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.parquet"]))
def test_any_file_is_a_report_or_a_sentence(tmp_path: Path, check: Any, pieces: list[bytes], name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"".join(pieces))
    found = check(path)
    if isinstance(found, FailureEvent):
        assert (found.code, found.message.startswith((f"{path}: ", f"{name}:"))) == (ExitCode.DATA, True)
    else:
        assert found.files[0].rows + found.files[0].bad >= 1
