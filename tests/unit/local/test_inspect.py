"""Model and data, read by the trainer's own code in a child process."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.exceptions import DatasetInvalidError
from finetune_operator.local.inspect import DataFiles, data_files, inspect
from finetune_operator.local.model_store import CatalogueModel, ModelFolder
from tests.support.plans import make_job
from tests.support.tiny_model import CONFIG, write_tokenizer


def quiet(_: str) -> None:
    """Nobody listens."""


def rows(path: Path, count: int) -> None:
    text = "".join(json.dumps({"instruction": f"question {i}", "output": "answer"}) + "\n" for i in range(count))
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def model(tmp_path: Path) -> ModelFolder:
    """A model without weights, as a plan has it."""
    folder = tmp_path / "model"
    write_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return ModelFolder(path=folder, description="me/tiny@main", weights=False)


def held_out(evaluation: dict[str, Any]) -> dict[str, Any]:
    return {"train": {"source": {"path": "train.jsonl"}}, "evaluation": evaluation}


def test_data_files_start_at_the_job_file(tmp_path: Path) -> None:
    job = make_job(dataset=held_out({"source": {"path": "../check.jsonl"}}))
    assert data_files(job.spec, tmp_path / "jobs", quiet) == DataFiles(
        train=(tmp_path / "jobs" / "train.jsonl",), evaluation=tmp_path / "check.jsonl"
    )
    assert data_files(make_job(dataset=held_out({"fraction": "0.1"})).spec, tmp_path, quiet).evaluation is None


def test_several_data_files_keep_their_order(tmp_path: Path) -> None:
    sources = [{"path": "b.jsonl"}, {"path": "sub/a.csv", "weight": "0.5"}]
    job = make_job(dataset={"train": {"sources": sources}, "evaluation": {"fraction": "0.1"}})
    assert data_files(job.spec, tmp_path, quiet).train == (tmp_path / "b.jsonl", tmp_path / "sub" / "a.csv")


def test_the_trainer_reads_what_a_plan_needs(tmp_path: Path, model: ModelFolder) -> None:
    rows(tmp_path / "train.jsonl", 10)
    found = inspect(make_job(dataset=held_out({"fraction": "0.2"})).spec, tmp_path, model, quiet)
    assert found.inspection is not None
    assert (found.model, found.inspection.train.format) == ("me/tiny@main", "Alpaca")
    assert found.facts.dataset.rows == 8
    assert found.facts.dataset.longest * 8 >= found.facts.dataset.tokens > 0
    assert (found.facts.model.config, found.facts.model.weight_bytes) == (CONFIG, 0)


def test_what_the_trainer_refuses_is_our_error(tmp_path: Path, model: ModelFolder) -> None:
    (tmp_path / "train.jsonl").touch()
    spec = make_job(dataset=held_out({"fraction": "0.2"})).spec
    with pytest.raises(DatasetInvalidError, match=r"train\.jsonl: is empty"):
        inspect(spec, tmp_path, model, quiet)


def test_a_model_of_the_catalogue_is_estimated_in_process(tmp_path: Path) -> None:
    rows(tmp_path / "train.jsonl", 10)
    rows(tmp_path / "check.jsonl", 3)
    model = CatalogueModel(config={"model_type": "qwen2"}, description="Qwen/Qwen2.5-7B@main")
    found = inspect(make_job(dataset=held_out({"source": {"path": "check.jsonl"}})).spec, tmp_path, model, quiet)
    assert found.inspection is None
    assert found.facts.dataset.rows == 10
    assert found.facts.model.config == {"model_type": "qwen2"}
