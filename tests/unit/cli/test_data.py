"""What `finetune data check` says, and the code that it ends with."""

import io
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from rich.console import Console

from finetune_operator.cli.data_view import print_report
from finetune_operator.cli.main import invoke
from finetune_operator.cli.output import PIPE_WIDTH
from finetune_trainer.events import DataReport
from tests.support.cli import PROGRAM
from tests.support.golden import check_golden
from tests.support.plans import make_manifest

ANSWERS: Final = ("critical", "high", "low")


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def row(number: int, **changes: Any) -> dict[str, Any]:
    answer = json.dumps({"priority": ANSWERS[number % 3], "reason": f"r{number}"})
    return {"instruction": f"Ticket {number}.", "system": "Be brief.", "output": answer} | changes


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = invoke(["data", "check", *arguments], "finetune")
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_report_is_the_reviewed_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = "The whole team has been unable to export since Monday, and the eleven of us can't work at all. " * 3
    rows = [
        *(row(n) for n in range(40)),
        row(1),
        row(2, output="another answer"),
        row(41, instruction=long),
        row(42, instruction=long.replace("eleven", "seven", 1)),
        row(43, input="from jane@company.org, card 4111 1111 1111 1111"),
        row(44, input="AKIA" + "ABCDEFGHIJKLMNOP"),
        *(row(n, output="") for n in range(50, 58)),
        row(60, output="y" * 900),
    ]
    train = write_rows(tmp_path / "train.jsonl", rows)
    held = write_rows(tmp_path / "check.jsonl", [row(5, output="z"), row(99)])
    code, out, _ = said(capsys, str(train), "--evaluation", str(held), "--max-length", "200")
    assert code == 11
    check_golden("cli/data.txt", out)


def test_clean_files_are_code_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, str(write_rows(tmp_path / "train.jsonl", [row(n) for n in range(9)])))
    assert code == 0
    assert out.endswith("every row can be learnt from\n")


def test_the_report_is_one_object_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = write_rows(tmp_path / "train.jsonl", [row(1), row(2), row(1)])
    code, out, _ = said(capsys, str(train), "--json")
    value = json.loads(out)
    assert (code, value["left_out"], value["flag_counts"]) == (11, 1, {"duplicate": 1})
    assert value["flags"] == [
        {
            "kind": "duplicate",
            "file": "train.jsonl",
            "line": 3,
            "message": "is the same row as line 1; remove one of them",
        }
    ]


def test_rows_are_held_against_a_job_s_contract(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contract = {
        "output": {"json": {"required": ["reason"], "schema": {"properties": {"reason": {"maxLength": 2}}}}},
        "unique": ["input"],
    }
    data = {"train": {"source": {"path": "t.jsonl"}}, "evaluation": {"fraction": "0.1"}, "contract": contract}
    job = tmp_path / "job.yaml"
    job.write_text(json.dumps(make_manifest(dataset=data)), encoding="utf-8")
    rows = [row(1), row(2), row(10), row(2, output='{"reason": ""}')]
    code, out, _ = said(capsys, str(write_rows(tmp_path / "train.jsonl", rows)), "--job", str(job))
    assert code == 11
    assert "train.jsonl:3: the answer doesn't meet the schema at reason: " in out
    assert "train.jsonl:4: has the same input as line 2" in out
    assert "2 rows would be left out" in out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        pytest.param(["nowhere.jsonl"], 11, "error: nowhere.jsonl: there is no such file; ", id="missing"),
        pytest.param(["train.jsonl", "--model", "nowhere"], 12, "error: nowhere: has no tokenizer.json; ", id="model"),
        pytest.param(["train.jsonl", "--job", "job.yaml"], 10, "error: job.yaml: asks nothing of rows; ", id="job"),
        pytest.param(["train.jsonl", "--format", "x"], 2, "Invalid value for '--format'", id="format"),
        pytest.param([], 2, "Missing argument 'FILE...'", id="no-file"),
    ],
)
def test_what_can_not_be_checked_is_a_sentence_and_a_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "train.jsonl", [row(1)])
    (tmp_path / "job.yaml").write_text(json.dumps(make_manifest()), encoding="utf-8")
    found, _, err = said(capsys, *arguments)
    assert (found, told in err) == (code, True), err
    assert "Traceback" not in err


def test_a_narrow_terminal_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = write_rows(tmp_path / "train.jsonl", [row(1), row(2), row(1, output="")])
    report = DataReport.model_validate_json(json.dumps(json.loads(said(capsys, str(train), "--json")[1])))
    texts = []
    for width in (60, PIPE_WIDTH):
        out = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False)
        print_report(out, report)
        assert isinstance(out.file, io.StringIO)
        lines = out.file.getvalue().splitlines()
        assert all(len(line) <= width for line in lines)
        texts.append(" ".join(out.file.getvalue().split()))
    assert texts[0] == texts[1]


def drain(terminal: int) -> bytes:
    """All that is written to a terminal, until its other end is closed."""
    parts = []
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:
            # Linux's way to say that there is no other end any more
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


def test_a_terminal_is_shown_how_far_it_is(tmp_path: Path) -> None:
    train = write_rows(tmp_path / "train.jsonl", [row(n) for n in range(9)])
    ours, theirs = os.openpty()
    command = [PROGRAM, "data", "check", str(train)]
    with ThreadPoolExecutor(1) as pool:
        # a terminal that nobody reads is full after 4 kB, and the program waits for it
        seen = pool.submit(drain, ours)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, check=False, timeout=60)
        os.close(theirs)
        shown = seen.result().decode(errors="replace")
    os.close(ours)
    assert done.returncode == 0
    assert "checking train.jsonl" in shown
    assert b"checking" not in done.stdout


def test_the_verb_teaches_by_example(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "--help")
    assert code == 0
    assert "finetune data check train.jsonl --evaluation check.jsonl" in out
    assert "Exit code 11" in out
