"""Knowing a job again."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_operator.api.spec import Accelerator, Adapter, Method
from finetune_operator.exceptions import OutputConflictError
from finetune_operator.local.manifest import read_job
from finetune_operator.local.record import (
    BUNDLE,
    MANIFEST,
    Record,
    differences,
    normalise,
    read_record,
    read_repeat,
    write_record,
)
from finetune_operator.renderers.bundle import Bundle, render_bundle
from finetune_operator.renderers.repeat import render_repeat
from finetune_operator.renderers.trainer_config import Places
from finetune_trainer.job_config import RESULT_FILE, STATE_FOLDER
from tests.support.plans import TINY_ARCHITECTURE, make_class, make_device, make_job, make_plan

PLACES = Places(
    model="/cache/model",
    model_description="model",
    model_revision=None,
    model_source="/jobs/model",
    train=("/jobs/train.jsonl",),
    evaluation="/jobs/check.jsonl",
    output="/jobs/out",
)


def write(output: Path, **spec: Any) -> Record:
    job, plan = make_job(**spec), make_plan()
    bundle = render_bundle(job, plan, TINY_ARCHITECTURE, PLACES)
    return write_record(output, normalise(job, Path("/jobs")), plan, bundle)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = write(tmp_path)
    assert read_record(tmp_path) == record
    assert (record.option, record.product, record.devices, record.result) == ("lora-1x24g", "NVIDIA A10", 1, None)
    assert record.job_file.is_file()


def test_a_plan_for_a_cpu_names_no_product(tmp_path: Path) -> None:
    plan = make_plan(node_class=make_class(device=make_device(accelerator=Accelerator.CPU)))
    assert write_record(tmp_path, {}, plan, Bundle(files={"job.json": "{}"})).product is None


def test_without_a_manifest_nothing_was_begun(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    assert read_record(tmp_path / "not" / "there") is None
    write(tmp_path)
    (tmp_path / STATE_FOLDER / MANIFEST).unlink()
    assert read_record(tmp_path) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param(MANIFEST, '{"spec": {', id="cut-off"),
        pytest.param(MANIFEST, '{"spec": {}, "option": "a"}', id="of-an-older-version"),
        pytest.param(MANIFEST, "[]", id="something-else"),
        pytest.param(RESULT_FILE, '{"decision": "Maybe"}', id="result-of-another-version"),
    ],
)
def test_notes_that_can_not_be_read_are_a_conflict(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path)
    (tmp_path / STATE_FOLDER / name).write_text(text, encoding="utf-8")
    with pytest.raises(OutputConflictError) as caught:
        read_record(tmp_path)
    assert str(caught.value) == (
        f"spec.output.path: {tmp_path} holds a run of another version, or a damaged one; write another output.path, or "
        "remove that folder"
    )


def test_the_recorded_manifest_is_a_job_with_nothing_left_to_choose(tmp_path: Path) -> None:
    repeat = read_repeat(write(tmp_path))
    assert repeat is not None
    assert (repeat.spec.plan.option, repeat.spec.training.learning_rate) == ("lora-1x24g", "2e-4")


def test_an_adapter_for_the_other_options_is_not_in_the_manifest_of_a_full_run(tmp_path: Path) -> None:
    job, plan = make_job(adapter={"rank": 8}), make_plan(method=Method.FULL)
    repeat = read_repeat(write_record(tmp_path, {}, plan, render_bundle(job, plan, TINY_ARCHITECTURE, PLACES)))
    assert repeat is not None
    assert repeat.spec.adapter == Adapter()


WORDS = st.text(min_size=1, max_size=12) | st.from_regex(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?|yes|null|~", fullmatch=True)


@settings(max_examples=25, deadline=None)
@given(word=WORDS)
def test_any_allowed_value_survives_the_recorded_manifest(tmp_path_factory: pytest.TempPathFactory, word: str) -> None:
    held_out = {"evaluation": {"source": {"path": "/jobs/check.jsonl"}}}
    contract = {"contract": {"output": {"json": {"values": {"a": [word]}}}}}
    job = make_job(dataset=data("/jobs/train.jsonl") | held_out | contract)
    path = tmp_path_factory.getbasetemp() / "finetune_config.yaml"
    path.write_text(render_repeat(job, make_plan(), PLACES), encoding="utf-8")
    assert read_job(path).spec.dataset.contract == job.spec.dataset.contract


@pytest.mark.parametrize("damage", [None, "kind: FineTuneJob\n"], ids=["gone", "of-another-version"])
def test_a_recorded_manifest_that_is_no_job_counts_for_nothing(tmp_path: Path, damage: str | None) -> None:
    record = write(tmp_path)
    path = tmp_path / STATE_FOLDER / BUNDLE / "finetune_config.yaml"
    path.unlink()
    if damage is not None:
        path.write_text(damage, encoding="utf-8")
    assert read_repeat(record) is None


def test_a_job_is_the_same_wherever_its_file_lies(tmp_path: Path) -> None:
    near = make_job(model={"source": {"path": "../model"}}, dataset=data("../train.jsonl"))
    far = make_job(model={"source": {"path": "model"}}, dataset=data(str(tmp_path / "train.jsonl")))
    assert normalise(near, tmp_path / "jobs") == normalise(far, tmp_path)


def data(train: str) -> dict[str, Any]:
    return {"train": {"source": {"path": train}}, "evaluation": {"fraction": "0.1"}}


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"plan": {"option": "lora-1x24g"}}, id="option-is-named"),
        pytest.param({"output": {"path": "elsewhere"}}, id="output-is-compared-by-where-it-is"),
        pytest.param({"training": {"batchSize": 16}}, id="a-default-is-written"),
    ],
)
def test_a_job_is_the_same_however_it_is_written(spec: dict[str, Any]) -> None:
    assert normalise(make_job(**spec), Path("/jobs")) == normalise(make_job(), Path("/jobs"))


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        pytest.param({"training": {"seed": 7}}, "spec.training.seed: 42 there, 7 here", id="number"),
        pytest.param({"method": "LoRA"}, 'spec.method: absent there, "LoRA" here', id="absent"),
        pytest.param({"dataset": data("b.jsonl")}, 'spec.dataset.evaluation.fraction: absent there, "0.1" here',
                     id="the-first-in-order"),
        pytest.param({"adapter": {"targetModules": ["q_proj"]}},
                     'spec.adapter.targetModules: ["all-linear"] there, ["q_proj"] here', id="list"),
    ],
)  # fmt: skip
def test_a_difference_is_told_with_both_values(spec: dict[str, Any], told: str) -> None:
    found = differences(normalise(make_job(), Path("/jobs")), normalise(make_job(**spec), Path("/jobs")))
    assert found[0] == told


def test_a_spec_read_back_from_its_file_is_equal() -> None:
    spec = normalise(make_job(adapter={"targetModules": ["q_proj", "v_proj"]}), Path("/jobs"))
    assert json.loads(json.dumps(spec)) == spec
