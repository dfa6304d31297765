"""job.json and finetune_config.yaml, and the hash over all that a run starts with."""

import json
from dataclasses import replace
from typing import Any, Literal

import pytest
import yaml

from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.spec import Method
from finetune_operator.api.surroundings import refused_here
from finetune_operator.planner.architecture import read_architecture
from finetune_operator.planner.catalogue import CATALOGUE
from finetune_operator.planner.plan import PrecisionUsed
from finetune_operator.renderers.bundle import Bundle, render_bundle
from finetune_operator.renderers.repeat import render_repeat
from finetune_operator.renderers.trainer_config import Places, render_data
from finetune_trainer.job_config import JobConfig, QuantizationConfig
from tests.support.golden import check_golden
from tests.support.plans import TINY_ARCHITECTURE, make_job, make_plan

PLACES = Places(
    model="/models/smollm2",
    model_description="model",
    model_source="/models/smollm2",
    model_revision=None,
    train=("/data/train.jsonl",),
    evaluation="/data/check.jsonl",
    output="/results/tickets",
)

CONTRACT = {"output": {"json": {"required": ["priority"], "values": {"priority": ["high", "low"]}}}}


def job() -> FineTuneJob:
    return make_job(
        dataset={
            "train": {"source": {"path": "train.jsonl"}},
            "evaluation": {"source": {"path": "check.jsonl"}},
            "contract": CONTRACT,
        },
        acceptance={"metric": "field:priority", "minimum": "0.9"},
    )


def bundle(**changes: object) -> Bundle:
    return render_bundle(job(), make_plan(**changes), TINY_ARCHITECTURE, PLACES)


def test_every_file_is_the_reviewed_one() -> None:
    files = bundle().files
    assert set(files) == {"job.json", "deepspeed.json", "finetune_config.yaml"}
    for name in ("job.json", "finetune_config.yaml"):
        check_golden(f"bundle/{name}", files[name])


def test_the_trainer_reads_what_we_write() -> None:
    config = JobConfig.model_validate_json(bundle().files["job.json"])
    assert config.prediction.memory_bytes == make_plan().memory.components()
    assert config.data.contract.answer_json is not None
    assert config.training.learning_rate == 2e-4


def test_several_sources_keep_their_order_formats_and_weights() -> None:
    sources = [{"path": "a.jsonl", "format": "Text"}, {"path": "b.csv", "weight": "0.5"}]
    schema = {"type": "object", "properties": {"reason": {"maxLength": 40}}}
    job = make_job(
        dataset={
            "train": {"sources": sources},
            "evaluation": {"fraction": "0.1"},
            "contract": {"output": {"json": {"schema": schema}}},
        }
    )
    rendered = render_data(job.spec, ["/data/a.jsonl", "/data/b.csv"], None)
    assert [(f.path, f.format.value, f.weight) for f in rendered.train] == [
        ("/data/a.jsonl", "Text", 1.0),
        ("/data/b.csv", "Auto", 0.5),
    ]
    assert rendered.contract.answer_json is not None
    assert rendered.contract.answer_json.json_schema == schema
    places = replace(PLACES, train=("/data/a.jsonl", "/data/b.csv"), evaluation=None)
    manifest = yaml.safe_load(render_repeat(job, make_plan(), places))
    assert [(s["path"], s["weight"]) for s in manifest["spec"]["dataset"]["train"]["sources"]] == [
        ("/data/a.jsonl", "1"),
        ("/data/b.csv", "0.5"),
    ]
    assert FineTuneJob.model_validate_json(json.dumps(manifest)).spec.dataset.contract == job.spec.dataset.contract


def test_the_repeating_manifest_is_a_job_with_nothing_left_to_choose() -> None:
    manifest = yaml.safe_load(bundle().files["finetune_config.yaml"])
    repeated = FineTuneJob.model_validate_json(json.dumps(manifest))
    assert repeated.spec.plan.option == "lora-1x24g"
    assert repeated.spec.training.learning_rate == "2e-4"
    assert repeated.spec.training.precision.value == "BF16"
    assert [s.path for s in repeated.spec.dataset.train.files] == ["/data/train.jsonl"]
    assert repeated.spec.model.source.path == "/models/smollm2"


def test_numbers_are_quoted_for_readers_that_take_2e_4_for_a_float() -> None:
    assert 'learningRate: "2e-4"' in bundle().files["finetune_config.yaml"]


def test_a_branch_of_the_hub_becomes_the_commit_that_was_used() -> None:
    hub = make_job(model={"source": {"hub": {"repo": "a/b"}}})
    places = replace(PLACES, model_source=None, model_revision="1" * 40)
    text = render_bundle(hub, make_plan(), TINY_ARCHITECTURE, places).files["finetune_config.yaml"]
    assert yaml.safe_load(text)["spec"]["model"]["source"]["hub"]["revision"] == "1" * 40


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ({"schedule": "Constant"}, ("constant_with_warmup", None, None, None)),
        ({"schedule": "CosineWithRestarts"}, ("cosine_with_restarts", 4, None, None)),
        ({"schedule": "CosineWithRestarts", "cycles": 2}, ("cosine_with_restarts", 2, None, None)),
        ({"evaluate": {"everySteps": 7}}, ("cosine", None, 7, None)),
        ({"earlyStopping": {}, "checkpoint": {"everySteps": 50}}, ("cosine", None, 50, (5, 0.0))),
        (
            {"earlyStopping": {"patience": 3, "threshold": "0.01"}, "evaluate": {"everySteps": 7}},
            ("cosine", None, 7, (3, 0.01)),
        ),
    ],
)
def test_what_happens_while_training_is_complete(training: dict[str, Any], expected: tuple[Any, ...]) -> None:
    files = render_bundle(make_job(training=training), make_plan(), TINY_ARCHITECTURE, PLACES).files
    found = JobConfig.model_validate_json(files["job.json"]).training
    rule = found.early_stopping
    stops = (rule.patience, rule.threshold) if rule is not None else None
    assert (found.schedule, found.schedule_cycles, found.evaluate_every_steps, stops) == expected


def test_full_fine_tuning_has_no_adapter() -> None:
    full = render_bundle(job(), make_plan(method=make_job(method="Full").spec.method), TINY_ARCHITECTURE, PLACES)
    assert json.loads(full.files["job.json"])["adapter"] is None


@pytest.mark.parametrize("method", [m for m in Method if m is not Method.QLORA])
def test_only_qlora_rounds_the_base_model(method: Method) -> None:
    config = json.loads(bundle(method=method).files["job.json"])
    assert (config["method"], config["quantization"]) == (method.value, None)


@pytest.mark.parametrize(
    ("changes", "storage"),
    [
        pytest.param({}, "uint8", id="z0"),
        pytest.param({"zero_stage": 3}, "bfloat16", id="z3-bf16"),
        pytest.param({"zero_stage": 3, "precision": PrecisionUsed.FP16}, "float16", id="z3-fp16"),
        pytest.param({"zero_stage": 3, "precision": PrecisionUsed.FP32}, "float32", id="z3-fp32"),
    ],
)
def test_zero_3_gets_four_bit_weights_that_it_can_divide(
    changes: dict[str, Any], storage: Literal["uint8", "bfloat16", "float16", "float32"]
) -> None:
    config = JobConfig.model_validate_json(bundle(method=Method.QLORA, **changes).files["job.json"])
    assert config.adapter is not None
    assert config.quantization == QuantizationConfig(kind="nf4", double=True, storage=storage)


def test_the_hash_follows_the_content() -> None:
    assert bundle().hash == bundle().hash
    assert bundle(micro_batch=4).hash != bundle().hash
    assert Bundle(files={"a": "bc"}).hash != Bundle(files={"ab": "c"}).hash


def test_names_that_stand_for_experts_are_never_left_to_peft() -> None:
    mixtral = read_architecture(CATALOGUE["mistralai/Mixtral-8x7B-v0.1"])
    files = render_bundle(job(), make_plan(), mixtral, PLACES).files
    config = JobConfig.model_validate_json(files["job.json"])
    assert config.adapter is not None
    assert config.adapter.target_modules == ("q_proj", "k_proj", "v_proj", "o_proj")


def test_what_was_on_this_machine_and_the_hub_can_be_repeated_here() -> None:
    hub = {"repo": "me/rows", "path": "data/*.csv"}
    job = make_job(
        model={"source": {"path": "model"}, "adapter": {"path": "sft"}},
        method="LoRA",
        dataset={
            "train": {"sources": [{"hub": hub, "weight": "2"}, {"path": "b"}]},
            "evaluation": {"source": {"path": "b"}},
        },
    )
    places = replace(PLACES, train=("/rows", "/here/b"), evaluation="/here/b", adapter="/here/sft")
    text = render_bundle(job, make_plan(), TINY_ARCHITECTURE, places).files["finetune_config.yaml"]
    repeated = FineTuneJob.model_validate_json(json.dumps(yaml.safe_load(text)))
    assert refused_here(repeated.spec) == ()
    assert repeated.spec.model.source.path == PLACES.model_source
    assert repeated.spec.model.adapter is not None
    assert repeated.spec.model.adapter.path == "/here/sft"
    first, second = repeated.spec.dataset.train.files
    assert first.hub is not None
    assert (first.hub.path, first.weight, second.path) == ("data/*.csv", "2", "/here/b")
