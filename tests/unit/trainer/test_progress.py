import os
from pathlib import Path

import pytest

from finetune_trainer.events import FailureEvent, WarningEvent, parse_event
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.interrupts import LAUNCHER
from finetune_trainer.progress import FAILURES, emit, emit_failure, left_failures


def test_a_failure_is_told_on_one_line_and_its_code_returned(capsys: pytest.CaptureFixture[str]) -> None:
    assert emit_failure(ExitCode.DATA, "train.jsonl:\n  is empty") == 11
    out = capsys.readouterr().out
    assert out.endswith("\n")
    assert parse_event(out) == FailureEvent(code=11, message="train.jsonl: is empty")


def test_an_event_is_on_the_pipe_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as out:
        monkeypatch.setattr("sys.stdout", out)
        emit(WarningEvent(message="x"))
        received = os.read(reading, 4096)
    os.close(reading)
    assert parse_event(received.decode()) == WarningEvent(message="x")


def test_training_goes_on_when_nobody_listens_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as out:
        monkeypatch.setattr("sys.stdout", out)
        emit(WarningEvent(message="x"))
        emit(WarningEvent(message="y"))
        out.write("a library's own words")
        out.flush()


def test_one_of_several_ranks_leaves_its_failure_and_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(FAILURES, str(tmp_path))
    monkeypatch.setenv(LAUNCHER, str(os.getppid()))
    monkeypatch.setenv("RANK", "1")
    assert emit_failure(ExitCode.DATA, "train.jsonl:17:\noutput is empty") == ExitCode.DATA
    assert not capsys.readouterr().out
    left = left_failures(tmp_path)
    assert [(rank, f.code, f.message) for rank, f in left.items()] == [(1, 11, "train.jsonl:17: output is empty")]


def test_a_rank_whose_launcher_is_gone_speaks_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(FAILURES, str(tmp_path))
    monkeypatch.setenv(LAUNCHER, "-1")
    assert emit_failure(ExitCode.DATA, "empty") == ExitCode.DATA
    assert "empty" in capsys.readouterr().out
