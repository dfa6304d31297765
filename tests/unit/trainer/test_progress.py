import os

import pytest

from finetune_trainer.events import FailureEvent, WarningEvent, parse_event
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.progress import emit, emit_failure


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
