"""Inspection as its caller runs it: a request in, one event line out, an exit code."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer import inspection
from finetune_trainer.data.files import FETCHED_FILE
from finetune_trainer.data.tokenizer import TextTokenizer
from finetune_trainer.events import FailureEvent, InspectionFacts, parse_event
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.termination import TERMINATION
from tests.unit.trainer_data.builders import make_data, make_row, write_rows, write_tokenizer
from tests.unit.trainer_data.test_model_files import CONFIG, WHOLE, write_model


@pytest.fixture
def request_fields(tmp_path: Path) -> dict[str, Any]:
    """A request for a model and rows that can be used."""
    folder = write_tokenizer(write_model(tmp_path / "model"))
    train = write_rows(tmp_path / "train.jsonl", [make_row(n) for n in range(8)])
    return {"model_path": str(folder), "weights": True, "data": make_data(train).model_dump(mode="json")}


def asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request: str
) -> tuple[int, InspectionFacts | FailureEvent]:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(request.encode())))
    code = inspection.main()
    (line,) = capsys.readouterr().out.splitlines()
    event = parse_event(line)
    assert isinstance(event, InspectionFacts | FailureEvent)
    return code, event


def test_the_facts_of_model_and_data_come_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request_fields: dict[str, Any]
) -> None:
    code, facts = asked(monkeypatch, capsys, json.dumps(request_fields))
    assert code == ExitCode.OK
    assert isinstance(facts, InspectionFacts)
    assert json.loads(facts.model_config_json) == CONFIG
    assert facts.weight_bytes == len(WHOLE)
    assert (facts.train.rows, facts.evaluation.rows) == (6, 2)


def test_the_commit_that_was_read_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request_fields: dict[str, Any]
) -> None:
    _, facts = asked(monkeypatch, capsys, json.dumps(request_fields))
    assert isinstance(facts, InspectionFacts)
    assert facts.commit is None
    fetched = {"repo": "me/tiny", "revision": "main", "commit": "1" * 40}
    Path(request_fields["model_path"], FETCHED_FILE).write_text(json.dumps(fetched), encoding="utf-8")
    _, facts = asked(monkeypatch, capsys, json.dumps(request_fields))
    assert isinstance(facts, InspectionFacts)
    assert facts.commit == "1" * 40


def test_without_weights_none_are_looked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request_fields: dict[str, Any]
) -> None:
    Path(request_fields["model_path"], "model.safetensors").unlink()
    code, facts = asked(monkeypatch, capsys, json.dumps(request_fields | {"weights": False}))
    assert code == ExitCode.OK
    assert isinstance(facts, InspectionFacts)
    assert facts.weight_bytes == 0
    code, failure = asked(monkeypatch, capsys, json.dumps(request_fields))
    assert code == ExitCode.MODEL
    assert isinstance(failure, FailureEvent)
    assert "has no weights" in failure.message


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        pytest.param({"model_path": "/nowhere"}, ExitCode.MODEL, "/nowhere: there is no such folder; ", id="model"),
        pytest.param({"weights": "yes"}, ExitCode.CONFIGURATION, "the inspection request is wrong: ", id="request"),
    ],
)
def test_a_failure_is_a_code_and_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request_fields: dict[str, Any],
    changes: dict[str, Any],
    code: ExitCode,
    message: str,
) -> None:
    found, failure = asked(monkeypatch, capsys, json.dumps(request_fields | changes))
    assert isinstance(failure, FailureEvent)
    assert (found, failure.code) == (code, code)
    assert failure.message.startswith(message)


def test_a_held_out_row_is_audited_like_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request_fields: dict[str, Any], tmp_path: Path
) -> None:
    audited: list[str] = []
    monkeypatch.setattr(inspection, "audit", lambda examples, _: audited.extend(e.file for e in examples))
    train = write_rows(tmp_path / "train.jsonl", [make_row(1)])
    check = write_rows(tmp_path / "check.jsonl", [make_row(2)])
    request = request_fields | {"data": make_data(train, check).model_dump(mode="json")}
    assert asked(monkeypatch, capsys, json.dumps(request))[0] == ExitCode.OK
    assert audited == ["train.jsonl", "check.jsonl"]


def in_pod(request: dict[str, Any], folder: Path) -> int:
    """As a pod asks: by a file."""
    config = folder / "request.json"
    config.write_text(json.dumps(request), encoding="utf-8")
    return inspection.main(["--config", str(config)])


def test_in_a_pod_the_facts_are_its_last_word_and_every_bad_row_is_in_its_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request_fields: dict[str, Any], tmp_path: Path
) -> None:
    bad = [{"instruction": f"question {n}", "output": ""} for n in range(30)]
    train = write_rows(tmp_path / "train.jsonl", [*(make_row(n) for n in range(80)), *bad])
    data = make_data(train).model_dump(mode="json")
    data["contract"]["max_bad_share"] = 0.5
    place = tmp_path / "termination-log"
    monkeypatch.setenv(TERMINATION, str(place))
    assert in_pod(request_fields | {"data": data}, tmp_path) == ExitCode.OK
    facts = parse_event(place.read_text(encoding="utf-8"))
    assert isinstance(facts, InspectionFacts)
    assert facts.train.fault_count == 30
    log = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in log] == [f"train.jsonl:{n}" for n in range(81, 111)]


def test_in_a_pod_rows_that_are_refused_are_all_told(
    capsys: pytest.CaptureFixture[str], request_fields: dict[str, Any], tmp_path: Path
) -> None:
    bad = [{"instruction": f"question {n}", "output": ""} for n in range(30)]
    train = write_rows(tmp_path / "train.jsonl", [*(make_row(n) for n in range(8)), *bad])
    data = make_data(train).model_dump(mode="json")
    data["contract"]["max_bad_share"] = 0.05
    assert in_pod(request_fields | {"data": data}, tmp_path) == ExitCode.DATA
    assert len(capsys.readouterr().err.splitlines()) == 30


def test_in_a_pod_a_config_that_is_too_long_to_be_told_is_refused(
    capsys: pytest.CaptureFixture[str], request_fields: dict[str, Any], tmp_path: Path
) -> None:
    config = {"model_type": "llama", "layer_types": ["full_attention"] * 1000}
    Path(request_fields["model_path"], "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert in_pod(request_fields, tmp_path) == ExitCode.MODEL
    assert "doesn't fit the 4000 bytes" in capsys.readouterr().out


def test_a_request_that_is_nowhere_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert inspection.main(["--config", str(tmp_path / "nowhere.json")]) == ExitCode.CONFIGURATION
    assert "nowhere.json: can't be read" in capsys.readouterr().out


def test_a_token_without_an_embedding_is_refused_with_its_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request_fields: dict[str, Any]
) -> None:
    config = Path(request_fields["model_path"]) / "config.json"
    known = TextTokenizer.load(config.parent).tokenizer.get_vocab_size()
    config.write_text(json.dumps(CONFIG | {"vocab_size": known}), encoding="utf-8")
    assert asked(monkeypatch, capsys, json.dumps(request_fields))[0] == ExitCode.OK
    # as where a tokenizer was given a token, and the model no row for it
    config.write_text(json.dumps(CONFIG | {"vocab_size": 1}), encoding="utf-8")
    code, failure = asked(monkeypatch, capsys, json.dumps(request_fields))
    assert code == ExitCode.MODEL
    assert isinstance(failure, FailureEvent)
    assert failure.message.startswith("train.jsonl:1: has the token ")
    assert failure.message.endswith(
        "and the model has embeddings for 1 tokens; new tokens aren't added in training: resize the embeddings "
        "with transformers and save it, or take the token out of the rows"
    )
