"""Tokenised rows are kept whole or not at all, and made anew where anything that they were made of has changed."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from finetune_trainer.data.load import LoadedData, load_data
from finetune_trainer.data.token_cache import CACHE, TokenCache, kept_or_made, open_cache
from finetune_trainer.data.tokenizer import TextTokenizer
from finetune_trainer.job_config import DataConfig
from tests.support.tiny_model import write_tokenizer
from tests.unit.trainer_data.builders import make_data

PAIR = {"prompt": "which one? ", "chosen": "this one", "rejected": "that one"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_tokenizer(tmp_path / "model")
    return tmp_path / "model"


def config_of(folder: Path, rows: int = 40) -> DataConfig:
    lines = [json.dumps({"instruction": f"question {i} ☃", "output": "an answer"}) for i in range(rows)]
    (folder / "train.jsonl").write_text("\n".join([*lines, "no row"]), encoding="utf-8")
    return make_data(folder / "train.jsonl", evaluation_fraction=0.1)


def opened(config: DataConfig, model: Path, state: Path) -> TokenCache:
    found = open_cache(config, model, state, {})
    assert found is not None
    return found


def never() -> LoadedData:
    raise AssertionError("rows are kept")


def test_what_is_kept_is_what_was_made(tmp_path: Path, model: Path) -> None:
    config, said = config_of(tmp_path), list[str]()
    made = load_data(config, TextTokenizer.load(model))
    assert made.faults
    cache = opened(config, model, tmp_path / "state")
    assert cache.read(said.append) is None
    assert kept_or_made(cache, lambda: made, said.append) is made
    assert kept_or_made(cache, never, said.append) == made
    assert not said
    # slow ones are worth a word
    cache.keep(made, 61.5)
    assert cache.read(said.append) == made
    assert said == ["rows are taken as they were tokenised before, which saves 61 s"]


def test_pairs_come_back_with_both_answers(tmp_path: Path, model: Path) -> None:
    rows = [PAIR | {"prompt": f"which one is number {i}? "} for i in range(20)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    config = make_data(tmp_path / "train.jsonl", evaluation_fraction=0.1, objective="DPO")
    cache, made = opened(config, model, tmp_path), load_data(config, TextTokenizer.load(model))
    cache.keep(made, 0.0)
    assert cache.read(lambda _: None) == made


def test_another_row_tokenizer_template_length_or_objective_is_another_key(tmp_path: Path, model: Path) -> None:
    config = config_of(tmp_path)
    keys = [opened(config, model, tmp_path).key]
    keys.append(opened(config.model_copy(update={"max_length": 99}), model, tmp_path).key)
    keys.append(opened(config.model_copy(update={"objective": "ORPO"}), model, tmp_path).key)
    keys.append(opened(config_of(tmp_path, rows=41), model, tmp_path).key)
    (model / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    keys.append(opened(config, model, tmp_path).key)
    (model / "tokenizer.json").write_bytes((model / "tokenizer.json").read_bytes() + b" ")
    keys.append(opened(config, model, tmp_path).key)
    assert len(set(keys)) == len(keys)
    assert opened(config, model, tmp_path / "elsewhere").key == keys[-1]


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "note"])
def test_what_is_damaged_is_said_and_made_anew(damage: str, tmp_path: Path, model: Path) -> None:
    config, said = config_of(tmp_path), list[str]()
    cache, made = opened(config, model, tmp_path), load_data(config, TextTokenizer.load(model))
    cache.keep(made, 100.0)
    rows, note = cache.folder / f"{cache.key}.arrow", cache.folder / f"{cache.key}.json"
    content = rows.read_bytes()
    match damage:
        case "flipped":
            rows.write_bytes(content[:-99] + bytes([content[-99] ^ 1]) + content[-98:])
        case "cut":
            rows.write_bytes(content[:-9])
        case "gone":
            rows.unlink()
        case _:
            note.write_text("{", encoding="utf-8")
    again = replace(made, faults=())
    assert kept_or_made(cache, lambda: again, said.append) is again
    (told,) = said
    assert told.startswith(f"the tokenised rows kept in {rows.name} are damaged (")
    assert told.endswith("); rows are tokenised again")
    assert cache.read(never_tell) == again


def never_tell(message: str) -> None:
    raise AssertionError(message)


def test_a_kill_leaves_nothing_that_is_believed(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(tmp_path)
    cache, made = opened(config, model, tmp_path), load_data(config, TextTokenizer.load(model))

    pid = os.fork()
    if pid == 0:
        # the rows are there, the note isn't yet
        monkeypatch.setattr(
            "finetune_trainer.data.token_cache.write_json", lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        )
        cache.keep(made, 1.0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert cache.read(never_tell) is None
    assert kept_or_made(cache, lambda: made, never_tell) is made
    assert {p.name for p in cache.folder.iterdir()} == {f"{cache.key}.arrow", f"{cache.key}.json"}


def test_runs_share_the_folder_that_the_environment_names(tmp_path: Path, model: Path) -> None:
    config = config_of(tmp_path)
    found = open_cache(config, model, tmp_path / "state", {CACHE: str(tmp_path / "shared")})
    assert found is not None
    assert (found.folder, found.own) == (tmp_path / "shared" / "tokens", False)


def test_a_missing_file_is_left_to_whoever_reads_rows(tmp_path: Path, model: Path) -> None:
    assert open_cache(make_data(tmp_path / "none.jsonl", evaluation_fraction=0.1), model, tmp_path, {}) is None
