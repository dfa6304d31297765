"""The hub: what is taken, what is kept, and what is said where it can't be reached."""

import errno
import os
import socket
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from finetune_operator.api.sources import HubSource, ModelSource
from finetune_operator.exceptions import ModelUnreadableError, StorageFullError
from finetune_operator.local import hub
from finetune_operator.local.model_store import CatalogueModel, ModelFolder, model_for_planning, model_for_training
from tests.unit.local.hub_server import COMMIT, Hub

TINY = HubSource(repo="me/tiny")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, empty."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def point_at(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    endpoint = f"http://127.0.0.1:{port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub that answers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        point_at(monkeypatch, server.server_port)
        yield
        server.shutdown()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    point_at(monkeypatch, port)


def quiet(_: str) -> None:
    """Nobody listens."""


def plan_for(source: HubSource) -> object:
    return model_for_planning(ModelSource(hub=source), Path(), quiet)


def names(folder: Path | None) -> list[str]:
    assert folder is not None
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.usefixtures("online")
def test_weights_are_downloaded_once_and_never_pickles() -> None:
    told: list[str] = []
    folder = hub.download(TINY, told.append)
    assert names(folder) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert told == ["downloading me/tiny"]
    assert hub.find_cached(TINY) == folder
    assert hub.find_cached(HubSource(repo="me/tiny", revision=COMMIT)) == folder


@pytest.mark.usefixtures("online")
def test_a_plan_takes_all_but_the_weights() -> None:
    assert hub.find_cached(TINY) is None
    assert names(hub.download_without_weights(TINY)) == ["config.json", "tokenizer.json"]
    assert hub.find_cached(TINY) is None
    planned = model_for_planning(ModelSource(hub=TINY), Path(), quiet)
    assert isinstance(planned, ModelFolder)
    assert (planned.weights, planned.description) == (False, "me/tiny@main")


@pytest.mark.usefixtures("online")
def test_training_takes_what_the_cache_has() -> None:
    first = model_for_training(ModelSource(hub=TINY), Path(), quiet)
    told: list[str] = []
    assert model_for_training(ModelSource(hub=TINY), Path(), told.append) == first
    assert told == []


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize(
    ("source", "told"),
    [
        pytest.param(
            HubSource(repo="me/gated"),
            "me/gated is gated; accept its licence on its page and log in with `hf auth login`",
            id="gated",
        ),
        pytest.param(
            HubSource(repo="me/none"),
            "me/none doesn't exist, or is private; check the name, or log in with `hf auth login`",
            id="not-there",
        ),
        pytest.param(
            HubSource(repo="me/tiny", revision="v9"),
            "me/tiny has no revision v9; write a branch, tag or commit that it has",
            id="no-such-revision",
        ),
    ],
)
def test_what_the_hub_refuses_is_told(source: HubSource, told: str) -> None:
    for ask in (hub.download_without_weights, lambda s: hub.download(s, quiet), plan_for):
        with pytest.raises(ModelUnreadableError) as caught:
            ask(source)
        assert str(caught.value) == f"spec.model.source.hub: {told}"


@pytest.mark.usefixtures("offline")
def test_without_a_hub_training_is_refused() -> None:
    with pytest.raises(ModelUnreadableError) as caught:
        model_for_training(ModelSource(hub=TINY), Path(), quiet)
    assert str(caught.value) == (
        "spec.model.source.hub: me/tiny is not on this machine and the hub can't be reached; go online, or write "
        "model.source.path with a folder"
    )


@pytest.mark.usefixtures("offline")
def test_without_a_hub_a_known_model_is_planned_from_the_catalogue() -> None:
    source = ModelSource(hub=HubSource(repo="Qwen/Qwen2.5-7B-Instruct"))
    told: list[str] = []
    planned = model_for_planning(source, Path(), told.append)
    assert isinstance(planned, CatalogueModel)
    assert planned.config["model_type"] == "qwen2"
    (sentence,) = told
    assert sentence == (
        "spec.model.source.hub: Qwen/Qwen2.5-7B-Instruct is not on this machine and the hub can't be reached; "
        "go online, or write model.source.path with a folder; until then the plan is from the built-in catalogue"
    )


@pytest.mark.usefixtures("offline")
def test_without_a_hub_an_unknown_model_can_not_be_planned() -> None:
    with pytest.raises(ModelUnreadableError) as caught:
        model_for_planning(ModelSource(hub=TINY), Path(), quiet)
    assert str(caught.value) == (
        "spec.model.source.hub: me/tiny is not on this machine and the hub can't be reached; go online, or write "
        "model.source.path with a folder"
    )


def test_a_plan_waits_only_so_long_for_a_hub_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        point_at(monkeypatch, silent.getsockname()[1])
        with pytest.raises(ModelUnreadableError, match="the hub can't be reached; go online"):
            hub.download_without_weights(TINY, patience_seconds=0.05)


def test_a_name_that_the_hub_never_gives_is_refused_before_asking() -> None:
    with pytest.raises(ModelUnreadableError, match=r"^spec\.model\.source\.hub: .+; write owner/name$"):
        hub.find_cached(HubSource(repo="me/..tiny"))


@pytest.mark.usefixtures("online")
def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    for ask in (hub.download_without_weights, lambda s: hub.download(s, quiet)):
        with pytest.raises(StorageFullError) as caught:
            ask(TINY)
        assert str(caught.value) == (
            "spec.model.source.hub: its download doesn't fit the disk; free some, or set HF_HOME to another disk"
        )


INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("files", "complete"),
    [
        pytest.param({"model.safetensors": ""}, True, id="one-file"),
        pytest.param({"config.json": "{}"}, False, id="no-weights"),
        pytest.param({INDEX: '{"weight_map": {"a": "1.safetensors"}}', "1.safetensors": ""}, True, id="all-shards"),
        pytest.param({INDEX: '{"weight_map": {"a": "1.safetensors"}}'}, False, id="a-shard-is-missing"),
        pytest.param({INDEX: '{"weight_map": {}}'}, False, id="index-of-nothing"),
        pytest.param({INDEX: '{"weight_map": {"a"'}, False, id="index-cut-off"),
        pytest.param({INDEX: "[]"}, False, id="index-of-another-kind"),
    ],
)
def test_a_snapshot_of_another_program_counts_with_all_its_weights(
    cache: Path, files: dict[str, str], *, complete: bool
) -> None:
    repository = cache / "models--me--tiny"
    snapshot = repository / "snapshots" / COMMIT
    for name, text in {"refs/main": COMMIT, **{f"snapshots/{COMMIT}/{n}": t for n, t in files.items()}}.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text, encoding="utf-8")
    assert hub.find_cached(TINY) == (snapshot if complete else None)
