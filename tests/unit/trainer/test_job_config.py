import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import JobConfig, load_deepspeed, load_job
from tests.support.trainer_builders import make_job

FOUR_BITS = {"kind": "nf4", "double": True, "storage": "uint8"}


@pytest.mark.parametrize("changes", [{"method": "DoRA"}, {"method": "QLoRA", "quantization": FOUR_BITS}])
def test_every_adapter_method_is_a_contract(changes: Mapping[str, Any]) -> None:
    assert make_job(**changes).adapter is not None


def test_a_job_comes_back_from_its_file(tmp_path: Path) -> None:
    job = make_job(training={"learning_rate": 0.1 + 0.2})
    path = tmp_path / "job.json"
    path.write_text(job.model_dump_json(), encoding="utf-8")
    assert load_job(path) == job


def test_no_part_of_the_contract_has_a_default() -> None:
    def optional(model: Any, place: str) -> list[str]:
        found = []
        for name, field in model.model_fields.items():
            if not field.is_required():
                found.append(f"{place}.{name}")
            if hasattr(field.annotation, "model_fields"):
                found += optional(field.annotation, f"{place}.{name}")
        return found

    assert optional(JobConfig, "job") == []


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"more": 1}, id="unknown-key"),
        pytest.param({"version": 2}, id="another-version"),
        pytest.param({"method": "Full"}, id="full-with-an-adapter"),
        pytest.param({"adapter": None}, id="lora-without-an-adapter"),
        pytest.param({"method": "DoRA", "adapter": None}, id="dora-without-an-adapter"),
        pytest.param({"method": "QLoRA"}, id="qlora-without-quantization"),
        pytest.param({"quantization": FOUR_BITS}, id="lora-with-quantization"),
        pytest.param({"method": "DoRA", "quantization": FOUR_BITS}, id="dora-with-quantization"),
        pytest.param({"method": "QLoRA", "adapter": None, "quantization": FOUR_BITS}, id="qlora-without-an-adapter"),
        pytest.param({"method": "QLoRA", "quantization": FOUR_BITS | {"kind": "fp4"}}, id="another-kind"),
        pytest.param({"adapter": {"rank": 0}}, id="rank-0"),
        pytest.param({"adapter": {"dropout": 1.0}}, id="dropout-of-everything"),
        pytest.param({"adapter": {"target_modules": []}}, id="no-targets"),
        pytest.param({"data": {"evaluation": None}}, id="no-held-out-rows"),
        pytest.param({"data": {"evaluation_fraction": 0.1}}, id="held-out-rows-twice"),
        pytest.param({"training": {"epochs": 0.0}}, id="no-epoch"),
        pytest.param({"training": {"learning_rate": 0.0}}, id="no-learning-rate"),
        pytest.param({"training": {"learning_rate": float("nan")}}, id="learning-rate-not-a-number"),
        pytest.param({"training": {"learning_rate": float("inf")}}, id="learning-rate-infinite"),
        pytest.param({"training": {"learning_rate": "2e-4"}}, id="learning-rate-as-text"),
        pytest.param({"training": {"warmup_share": 1.0}}, id="warm-up-to-the-end"),
        pytest.param({"training": {"micro_batch_size": 0}}, id="no-micro-batch"),
        pytest.param({"training": {"checkpoints_kept": 0}}, id="no-checkpoint-kept"),
        pytest.param({"acceptance": {"minimum": 90.0}}, id="minimum-in-percent"),
        pytest.param({"acceptance": {"minimum": None, "maximum": 0.5}}, id="maximum-of-a-share"),
        pytest.param({"acceptance": {"metric": "loss"}}, id="minimum-of-a-loss"),
        pytest.param({"world": {"nodes": 0}}, id="no-node"),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused(changes: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make_job(**changes)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("{", "Invalid JSON: EOF while parsing an object at line 1 column 1", id="cut-short"),
        pytest.param("[]", "Input should be an object", id="no-object"),
        pytest.param(
            make_job().model_dump_json().replace('"rank":16', '"rank":-1'),
            "adapter.rank: Input should be greater than or equal to 1",
            id="one-fault",
        ),
        pytest.param(
            json.dumps(make_job().model_dump(mode="json") | {"more": 1, "version": 3}),
            "version: Input should be 1 (and 1 more)",
            id="two-faults",
        ),
    ],
)
def test_a_file_that_holds_no_contract_is_refused_in_one_line(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "job.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TrainerError) as caught:
        load_job(path)
    assert caught.value.code is ExitCode.CONFIGURATION
    assert caught.value.message == f"{path}: {sentence}"


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainerError) as caught:
        load_job(tmp_path / "job.json")
    assert caught.value.message == f"{tmp_path / 'job.json'}: can't be read: No such file or directory"


def test_ranks_are_devices_over_all_nodes() -> None:
    assert make_job(world={"nodes": 2, "devices_per_node": 4}).world.size == 8


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param('{"zero', "deepspeed.json: is not JSON (", id="cut-off"),
        pytest.param("\xff", "deepspeed.json: is not JSON (", id="binary"),
        pytest.param("[]", "deepspeed.json: is not a JSON object; render the job again", id="no-object"),
        pytest.param(None, "deepspeed.json: can't be read: No such file or directory", id="absent"),
    ],
)
def test_a_deepspeed_file_that_is_none_is_named(text: str | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "deepspeed.json"
    if text is not None:
        path.write_text(text, encoding="latin-1")
    with pytest.raises(TrainerError) as caught:
        load_deepspeed(path)
    assert caught.value.code is ExitCode.CONFIGURATION
    assert says in caught.value.message
