"""A model from the hub in a pod: what is taken, complete or absent, and what is said where it can't be had."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from finetune_trainer import fetch
from finetune_trainer.data.files import FETCHED_FILE, files_of
from finetune_trainer.events import FailureEvent, PhaseEvent, parse_event
from finetune_trainer.exit_codes import ExitCode
from tests.unit.local.hub_server import COMMIT, FILES, Hub
from tests.unit.local.test_hub import point_at
from tests.unit.trainer_data.test_model_files import WHOLE


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A hub that answers, with whole weights."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setitem(FILES, "model.safetensors", WHOLE)
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        point_at(monkeypatch, server.server_port)
        yield
        server.shutdown()


def said(capsys: pytest.CaptureFixture[str]) -> list[PhaseEvent | FailureEvent]:
    events = map(parse_event, capsys.readouterr().out.splitlines())
    return [e for e in events if isinstance(e, PhaseEvent | FailureEvent)]


@pytest.mark.usefixtures("online")
def test_safetensors_config_and_tokenizer_are_taken_and_the_commit_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "work" / "model"
    assert fetch.main(["me/tiny", "main", str(folder)]) == ExitCode.OK
    assert {p.name for p in folder.iterdir()} == {
        "config.json", "tokenizer.json", "model.safetensors", FETCHED_FILE,
    }  # fmt: skip
    kept = json.loads((folder / FETCHED_FILE).read_text(encoding="utf-8"))
    assert kept == {"repo": "me/tiny", "revision": "main", "commit": COMMIT}
    assert said(capsys)[-1].message == f"me/tiny is there, at commit {COMMIT}"
    assert fetch.fetched_commit(folder) == COMMIT
    assert fetch.fetched_commit(tmp_path) is None


@pytest.mark.usefixtures("online")
def test_a_plan_needs_no_weights(tmp_path: Path) -> None:
    assert fetch.main(["me/tiny", COMMIT, str(tmp_path / "model"), "--without-weights"]) == ExitCode.OK
    assert not (tmp_path / "model" / "model.safetensors").exists()


@pytest.mark.usefixtures("online")
def test_two_at_once_fetch_it_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(lambda _: fetch.main(["me/tiny", "main", str(tmp_path / "model")]), range(2)))
    assert codes == [ExitCode.OK, ExitCode.OK]
    assert len(said(capsys)) == 2


@pytest.mark.usefixtures("online")
def test_weights_that_arent_whole_leave_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(FILES, "model.safetensors", b"half of them")
    assert fetch.main(["me/tiny", "main", str(tmp_path / "model")]) == ExitCode.MODEL
    assert not (tmp_path / "model").exists()
    assert "no whole safetensors file" in said(capsys)[-1].message


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize(
    ("repo", "revision", "says"),
    [
        pytest.param(
            "me/gated", "main", "is gated; accept its licence on its page, and write tokenSecretRef", id="gated"
        ),
        pytest.param("me/nothing", "main", "doesn't exist, or is private; check the name", id="absent"),
        pytest.param("me/tiny", "v9", "has no revision v9", id="revision"),
        pytest.param("me/a/b", "main", "the hub knows no such names", id="name"),
    ],
)
def test_what_the_hub_doesnt_give_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], repo: str, revision: str, says: str
) -> None:
    assert fetch.main([repo, revision, str(tmp_path / "model")]) == ExitCode.MODEL
    assert says in said(capsys)[-1].message
    assert not (tmp_path / "model").exists()


def test_a_hub_that_doesnt_answer_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        point_at(monkeypatch, nobody.getsockname()[1])
        assert fetch.main(["me/tiny", "main", str(tmp_path / "model")]) == ExitCode.INTERNAL
    assert "the hub can't be reached from here; go online, or write a volume or an image" in said(capsys)[-1].message


def test_a_full_disk_is_a_code_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch, "_download", full)
    assert fetch.main(["me/tiny", "main", str(tmp_path / "model")]) == ExitCode.STORAGE_FULL
    assert isinstance(said(capsys)[-1], FailureEvent)


@pytest.mark.usefixtures("online")
def test_of_a_data_set_the_files_that_are_asked_for_are_taken(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    assert fetch.main(["me/rows", "main", str(folder), "--rows", "data/train-*.jsonl"]) == ExitCode.OK
    assert [str(Path(p).relative_to(folder)) for p in files_of(str(folder))] == [
        "data/train-0.jsonl",
        "data/train-1.jsonl",
    ]


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize(
    ("repo", "pattern", "told"),
    [
        ("me/rows", "train.csv", "dataset: hub: it has no file train.csv; write the path of one, or a pattern such as"),
        ("me/rows", "rows.py", "dataset: hub: it has no file rows.py"),
        ("me/none", "*.csv", "dataset: hub: me/none doesn't exist, or is private; check the name, or write tokenSec"),
        ("me/gated", "*.csv", "dataset: hub: me/gated is gated; accept its licence on its page, and write tokenSecre"),
    ],
)
def test_rows_that_can_not_be_had_are_said(
    repo: str, pattern: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch.main([repo, "main", str(tmp_path / "rows"), "--rows", pattern]) == ExitCode.DATA
    assert said(capsys)[-1].message.startswith(told)
    assert not (tmp_path / "rows").exists()


@pytest.mark.usefixtures("online")
def test_an_adapter_is_taken_without_checkpoints_and_pickles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "adapter"
    assert fetch.main(["me/adapter", "main", str(folder), "--adapter"]) == ExitCode.OK
    assert {p.name for p in folder.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", FETCHED_FILE,
    }  # fmt: skip
    assert fetch.main(["me/tiny", "main", str(tmp_path / "none"), "--adapter"]) == ExitCode.MODEL
    assert said(capsys)[-1].message == (
        "model.adapter.hub: it has no adapter_config.json; name a repository with an adapter of PEFT's"
    )
