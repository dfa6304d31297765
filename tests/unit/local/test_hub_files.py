"""Adapters and rows from the hub on this machine: fetched once, by commit, and known without a network afterwards."""

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from finetune_operator.api.sources import HubRows, HubSource
from finetune_operator.exceptions import DatasetInvalidError, FineTuneError
from finetune_operator.local import hub_files
from finetune_operator.local.inspect import data_files
from finetune_trainer.data.files import files_of
from tests.support.plans import make_job
from tests.unit.local.hub_server import Hub
from tests.unit.local.test_hub import point_at

TRAIN = HubRows(repo="me/rows", path="data/train-*.jsonl")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Caches that are empty, also for child processes."""
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    hub_files._commit.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """A hub that answers this process and its children."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        point_at(monkeypatch, server.server_port)
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()


def test_rows_are_fetched_once_and_known_afterwards(
    online: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    found = hub_files.fetch_rows(TRAIN, told.append)
    assert [Path(p).name for p in files_of(str(found))] == ["train-0.jsonl", "train-1.jsonl"]
    assert told[0].startswith("fetching me/rows at ")
    online.shutdown()
    point_at(monkeypatch, 9)
    hub_files._commit.cache_clear()
    again: list[str] = []
    assert hub_files.fetch_rows(TRAIN, again.append) == found
    assert again == ["the hub doesn't answer: me/rows is taken as it was at main before"]
    # other files of it aren't here
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(FineTuneError, match="can't be fetched: the hub can't be reached"):
        hub_files.fetch_rows(HubRows(repo="me/rows", path="data/test-*.jsonl"), again.append)


@pytest.mark.usefixtures("online")
def test_a_job_names_them_beside_files_of_its_own(tmp_path: Path) -> None:
    hub = {"repo": "me/rows", "path": "data/train-*.jsonl"}
    data = {"train": {"source": {"hub": hub}}, "evaluation": {"source": {"path": "check.jsonl"}}}
    files = data_files(make_job(dataset=data).spec, tmp_path, lambda _: None)
    assert len(files_of(str(files.train[0]))) == 2
    assert files.evaluation == tmp_path / "check.jsonl"


@pytest.mark.usefixtures("online")
def test_what_the_hub_refuses_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetInvalidError, match="dataset: hub: me/none doesn't exist, or is private"):
        hub_files.fetch_rows(HubRows(repo="me/none", path="a.csv"), lambda _: None)
    adapter = hub_files.fetch_adapter(HubSource(repo="me/adapter"), lambda _: None)
    assert (adapter / "adapter_model.safetensors").is_file()
    assert adapter.is_relative_to(tmp_path / "cache")
