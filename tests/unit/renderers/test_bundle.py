"""job.json and finetune_config.yaml, and the hash over all that a run starts with."""

import json
from dataclasses import replace

import yaml

from finetune_operator.api.resource import FineTuneJob
from finetune_operator.renderers.bundle import Bundle, render_bundle
from finetune_operator.renderers.trainer_config import Places
from finetune_trainer.job_config import JobConfig
from tests.support.golden import check_golden
from tests.support.plans import make_job, make_plan

PLACES = Places(
    model="/models/smollm2",
    model_description="model",
    model_source="/models/smollm2",
    model_revision=None,
    train="/data/train.jsonl",
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
    return render_bundle(job(), make_plan(**changes), 576, PLACES)


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


def test_the_repeating_manifest_is_a_job_with_nothing_left_to_choose() -> None:
    manifest = yaml.safe_load(bundle().files["finetune_config.yaml"])
    repeated = FineTuneJob.model_validate_json(json.dumps(manifest))
    assert repeated.spec.plan.option == "lora-1x24g"
    assert repeated.spec.training.learning_rate == "2e-4"
    assert repeated.spec.training.precision.value == "BF16"
    assert repeated.spec.dataset.train.source.path == "/data/train.jsonl"
    assert repeated.spec.model.source.path == "/models/smollm2"


def test_numbers_are_quoted_for_readers_that_take_2e_4_for_a_float() -> None:
    assert 'learningRate: "2e-4"' in bundle().files["finetune_config.yaml"]


def test_a_branch_of_the_hub_becomes_the_commit_that_was_used() -> None:
    hub = make_job(model={"source": {"hub": {"repo": "a/b"}}})
    places = replace(PLACES, model_source=None, model_revision="1" * 40)
    text = render_bundle(hub, make_plan(), 576, places).files["finetune_config.yaml"]
    assert yaml.safe_load(text)["spec"]["model"]["source"]["hub"]["revision"] == "1" * 40


def test_full_fine_tuning_has_no_adapter() -> None:
    full = render_bundle(job(), make_plan(method=make_job(method="Full").spec.method), 576, PLACES)
    assert json.loads(full.files["job.json"])["adapter"] is None


def test_the_hash_follows_the_content() -> None:
    assert bundle().hash == bundle().hash
    assert bundle(micro_batch=4).hash != bundle().hash
    assert Bundle(files={"a": "bc"}).hash != Bundle(files={"ab": "c"}).hash
