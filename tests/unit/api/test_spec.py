"""What a spec accepts, what it refuses, and with which sentence."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from finetune_operator.api.base import format_place
from finetune_operator.api.resource import FineTuneJob
from tests.support.plans import make_job, make_manifest

JSON_CONTRACT = {"output": {"json": {"required": ["reason"], "values": {"priority": ["high", "low"]}}}}


def dataset(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {"train": {"source": {"path": "t.jsonl"}}, "evaluation": {"fraction": "0.1"}}
    return whole | changes


def refusals(manifest: dict[str, Any]) -> list[str]:
    """Every refusal as place and sentence."""
    with pytest.raises(ValidationError) as caught:
        FineTuneJob.model_validate_json(json.dumps(manifest))
    found = []
    for error in caught.value.errors():
        for at, sentence in error.get("ctx", {}).get("faults", [((), error.get("ctx", {}).get("sentence"))]):
            found.append(f"{format_place((*error['loc'], *at))}: {sentence or error['type']}")
    return found


@pytest.mark.parametrize(
    ("spec", "refusal"),
    [
        pytest.param(
            {"model": {"source": {}}},
            "spec.model.source: holds none; write exactly one of path, gguf, hub, volume, image",
            id="no-model-source",
        ),
        pytest.param(
            {"model": {"source": {"path": "a", "gguf": "b"}}},
            "spec.model.source: holds path and gguf; write exactly one of path, gguf, hub, volume, image",
            id="two-model-sources",
        ),
        pytest.param(
            {"model": {"source": {"hub": {"repo": "SmolLM2"}}}},
            'spec.model.source.hub.repo: "SmolLM2" is not owner/name of a repository; write for example '
            '"HuggingFaceTB/SmolLM2-135M-Instruct"',
            id="hub-repo-without-owner",
        ),
        pytest.param(
            {"model": {"source": {"hub": {"repo": "me/tiny", "revision": "a b"}}}},
            'spec.model.source.hub.revision: "a b" is not a branch, tag or commit; write for example "main"',
            id="revision-with-space",
        ),
        pytest.param(
            {"model": {"source": {"volume": {"claimName": "models", "path": "../a"}}}},
            'spec.model.source.volume.path: "../a" leads out of it; write a path that begins at its root, such as '
            "models/smollm2",
            id="path-out-of-a-volume",
        ),
        pytest.param(
            {"model": {"source": {"volume": {"claimName": "Models", "path": "a"}}}},
            'spec.model.source.volume.claimName: "Models" is not the name of an object; write for example "models"',
            id="name-of-no-object",
        ),
        pytest.param(
            {"dataset": dataset(evaluation={"source": {"configMap": {"name": "a", "key": "a/b"}}})},
            'spec.dataset.evaluation.source.configMap.key: "a/b" is not a key of a ConfigMap or Secret; write for '
            'example "train.jsonl"',
            id="key-with-a-slash",
        ),
        pytest.param(
            {"hardware": {"tolerations": [{"operator": "Exists", "value": "a"}]}},
            "spec.hardware.tolerations[0].value: is not compared by operator: Exists; remove it, or write Equal",
            id="value-of-exists",
        ),
        pytest.param(
            {"hardware": {"tolerations": [{}]}},
            "spec.hardware.tolerations[0]: compares a key and names none; write key, or operator: Exists",
            id="toleration-of-nothing",
        ),
        pytest.param(
            {"output": {"path": "a", "volume": {"claimName": "b", "path": "c"}}},
            "spec.output: holds path and volume; write exactly one of path, volume",
            id="two-outputs",
        ),
        pytest.param(
            {"objective": "GRPO", "training": {"evaluate": {"everySteps": 10}}},
            "spec.training.evaluate: has no measure for objective: GRPO; remove it, or write objective: SFT",
            id="held-out-loss-of-preferences",
        ),
        pytest.param(
            {"objective": "GRPO", "training": {"earlyStopping": {}}},
            "spec.training.earlyStopping: has no measure for objective: GRPO; remove it, or write objective: SFT",
            id="early-stopping-of-preferences",
        ),
        pytest.param(
            {"training": {"cycles": 3}},
            "spec.training.cycles: is not used by schedule: Cosine; remove it, or write CosineWithRestarts",
            id="cycles-of-a-schedule-without",
        ),
        pytest.param(
            {"dataset": dataset(train={})},
            "spec.dataset.train: holds none; write exactly one of source, sources",
            id="no-rows",
        ),
        pytest.param(
            {"dataset": dataset(train={"source": {"path": "a"}, "sources": [{"path": "b"}]})},
            "spec.dataset.train: holds source and sources; write exactly one of source, sources",
            id="one-and-several-sources",
        ),
        pytest.param(
            {"dataset": dataset(train={"sources": [{"path": "a"}], "format": "Text"})},
            "spec.dataset.train.format: is for a single source; write it beside each of the sources",
            id="format-of-several-sources",
        ),
        pytest.param(
            {"dataset": dataset(train={"sources": [{"path": "a"}, {"path": "b"}, {"path": "a"}]})},
            "spec.dataset.train.sources[2]: a is there already; name it once, with the weight of both",
            id="source-twice",
        ),
        pytest.param(
            {"dataset": dataset(evaluation={})},
            "spec.dataset.evaluation: holds none; write exactly one of source, fraction",
            id="no-evaluation",
        ),
        pytest.param(
            {"dataset": dataset(evaluation={"fraction": "0.1", "format": "Alpaca"})},
            "spec.dataset.evaluation.format: is for a source, and there is none; write it under dataset.train",
            id="format-of-a-fraction",
        ),
        pytest.param(
            {"dataset": dataset(evaluation={"fraction": "1"})},
            'spec.dataset.evaluation.fraction: 1 is not between 0 and 1; write for example "0.1"',
            id="fraction-of-everything",
        ),
        pytest.param(
            {"dataset": dataset(contract={"output": {"json": {"values": {"priority": []}}}})},
            "spec.dataset.contract.output.json.values.priority: is empty; list the allowed values or remove the key",
            id="nothing-allowed",
        ),
        pytest.param(
            {"dataset": dataset(contract={"maxBadRows": "5"})},
            'spec.dataset.contract.maxBadRows: 5 is more than all rows: it is a share of them; for 5 % write "0.05"',
            id="bad-rows-in-percent",
        ),
        pytest.param(
            {"adapter": {"dropout": "1"}},
            'spec.adapter.dropout: 1 would drop everything; write a share below 1 such as "0.05"',
            id="dropout-of-everything",
        ),
        pytest.param(
            {"adapter": {"targetModules": ["all-linear", "q_proj"]}},
            "spec.adapter.targetModules: names all-linear and others; write one or the other",
            id="all-and-some-targets",
        ),
        pytest.param(
            {"method": "Full", "adapter": {"rank": 8}},
            "spec.adapter: is not used by method: Full; remove it, or write method: LoRA",
            id="adapter-of-full",
        ),
        pytest.param(
            {"training": {"epochs": "0"}},
            'spec.training.epochs: 0 is not above 0 and at most 10000; write for example "3"',
            id="no-epoch",
        ),
        pytest.param(
            {"training": {"learningRate": "1e-400"}},
            'spec.training.learningRate: 1e-400 is not between 0 and 1; write for example "2e-4"',
            id="learning-rate-that-is-zero-as-a-float",
        ),
        pytest.param(
            {"training": {"learningRate": "-2e-4"}},
            'spec.training.learningRate: "-2e-4" is not a decimal; write for example "0.05"',
            id="negative-decimal",
        ),
        pytest.param(
            {"training": {"warmup": "3%"}},
            'spec.training.warmup: "3%" is not a decimal; write for example "0.05"',
            id="percent-sign",
        ),
        pytest.param(
            {"training": {"warmup": "1"}},
            'spec.training.warmup: 1 is not a share of all steps, below 1; write for example "0.03"',
            id="only-warmup",
        ),
        pytest.param(
            {"training": {"weightDecay": "1.1"}},
            'spec.training.weightDecay: 1.1 is above 1; write for example "0.01"',
            id="weight-decay-too-large",
        ),
        pytest.param(
            {"training": {"maxGradNorm": "0"}},
            'spec.training.maxGradNorm: 0 is not above 0 and at most 1e6; write for example "1"',
            id="gradients-clipped-to-nothing",
        ),
        pytest.param(
            {"training": {"batchSize": 16}, "hardware": {"nodes": 1, "devicesPerNode": 3}},
            "spec.training.batchSize: 16 rows can't be shared evenly by 3 devices (hardware.nodes x "
            "hardware.devicesPerNode); write a multiple of 3",
            id="batch-that-devices-cannot-share",
        ),
        pytest.param(
            {"hardware": {"maxDuration": "2d"}},
            'spec.hardware.maxDuration: "2d" is not a duration; write for example "2h15m"',
            id="days",
        ),
        pytest.param(
            {"hardware": {"maxDuration": "15m2h"}},
            'spec.hardware.maxDuration: "15m2h" is not a duration; write for example "2h15m"',
            id="minutes-before-hours",
        ),
        pytest.param(
            {"hardware": {"maxDuration": "0h0m"}},
            "spec.hardware.maxDuration: 0h0m is no time at all; write for example 2h15m",
            id="no-time",
        ),
        pytest.param(
            {"hardware": {"maxCost": "0"}},
            'spec.hardware.maxCost: 0 is not above 0 and at most 1e12; write for example "25"',
            id="for-nothing",
        ),
        pytest.param(
            {"hardware": {"maxHourlyCost": "5 EUR"}},
            'spec.hardware.maxHourlyCost: "5 EUR" is not a decimal; write for example "0.05"',
            id="currency",
        ),
        pytest.param(
            {"hardware": {"accelerator": "CPU", "devicesPerNode": 2}},
            "spec.hardware.devicesPerNode: 2 contradicts accelerator: CPU, where a node is one device; write 1",
            id="two-devices-of-a-cpu-node",
        ),
        pytest.param(
            {"plan": {"option": "LoRA on one GPU"}},
            'spec.plan.option: "LoRA on one GPU" is not an option\'s id; write for example "lora-1x24g"',
            id="option-in-prose",
        ),
        pytest.param(
            {"preference": {"beta": "0.2"}},
            "spec.preference: is not used by objective: SFT; remove it, or write objective: DPO",
            id="preference-of-sft",
        ),
        pytest.param(
            {"objective": "DPO", "preference": {"desirableWeight": "2"}},
            "spec.preference: has weights, which DPO doesn't use; remove them, or write objective: KTO",
            id="weights-of-dpo",
        ),
        pytest.param(
            {"acceptance": {"metric": "reward-accuracy"}},
            "spec.acceptance.metric: reward-accuracy isn't measured with objective: SFT; it is with DPO, KTO",
            id="rewards-of-sft",
        ),
        pytest.param(
            {"objective": "KTO", "acceptance": {"maximum": "1"}},
            "spec.acceptance.maximum: reward-accuracy is better when it is higher; write minimum instead",
            id="bound-of-the-metric-that-is-left-out",
        ),
        pytest.param(
            {"acceptance": {"metric": "accuracy"}},
            'spec.acceptance.metric: "accuracy" is not a metric; write one of loss, perplexity, exact-match, '
            "json-valid, json-fields, json-allowed, json-exact, preference-accuracy, reward-accuracy or field:<name>",
            id="unknown-metric",
        ),
        pytest.param(
            {"acceptance": {"metric": "exact-match", "minimum": "90"}},
            'spec.acceptance.minimum: 90 is not a share, at most 1; for 90 % write "0.9"',
            id="minimum-in-percent",
        ),
        pytest.param(
            {"acceptance": {"metric": "loss", "minimum": "0.9"}},
            "spec.acceptance.minimum: loss is better when it is lower; write maximum instead",
            id="least-loss",
        ),
        pytest.param(
            {"acceptance": {"metric": "exact-match", "maximum": "0.9"}},
            "spec.acceptance.maximum: exact-match is better when it is higher; write minimum instead",
            id="most-matches",
        ),
        pytest.param(
            {"acceptance": {"metric": "json-exact"}},
            "spec.acceptance.metric: json-exact needs dataset.contract.output.json; write it, or another metric",
            id="metric-without-contract",
        ),
        pytest.param(
            {"acceptance": {"mustNotRegress": ["loss", "field:priority"]}},
            "spec.acceptance.mustNotRegress[1]: field:priority needs dataset.contract.output.json; write it, or "
            "another metric",
            id="guard-without-contract",
        ),
        pytest.param(
            {"dataset": dataset(contract=JSON_CONTRACT), "acceptance": {"metric": "field:label"}},
            "spec.acceptance.metric: field:label names no field of dataset.contract.output.json; it has priority, "
            "reason",
            id="metric-of-a-field-that-is-not-there",
        ),
    ],
)
def test_a_contradiction_is_refused_with_its_sentence(spec: dict[str, Any], refusal: str) -> None:
    assert refusals(make_manifest(**spec)) == [refusal]


def test_all_contradictions_are_told_at_once() -> None:
    spec = {
        "method": "Full",
        "adapter": {"rank": 8},
        "hardware": {"devicesPerNode": 3},
        "acceptance": {"metric": "json-valid", "mustNotRegress": ["field:a"]},
    }
    places = [r.split(":")[0] for r in refusals(make_manifest(**spec))]
    assert places == [
        "spec.training.batchSize",
        "spec.adapter",
        "spec.acceptance.metric",
        "spec.acceptance.mustNotRegress[0]",
    ]


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="defaults"),
        pytest.param({"method": "Full"}, id="full"),
        pytest.param(
            {
                "model": {"source": {"hub": {"repo": "me/tiny", "revision": "v1.0"}}},
                "dataset": dataset(contract=JSON_CONTRACT | {"unique": ["input"], "onBadRow": "Fail"}),
                "method": "LoRA",
                "adapter": {"rank": 8, "alpha": 16, "dropout": "0.05", "targetModules": ["q_proj", "v_proj"]},
                "training": {"epochs": "0.5", "batchSize": 12, "learningRate": "2e-4", "checkpoint": {"keep": 1}},
                "hardware": {"accelerator": "GPU", "devicesPerNode": 2, "nodes": 3},
                "plan": {"option": "lora-z2-3x2x24g"},
                "acceptance": {"metric": "field:priority", "minimum": "0.9", "mustNotRegress": ["json-valid"]},
            },
            id="everything",
        ),
    ],
)
def test_a_job_survives_being_written_and_read(spec: dict[str, Any]) -> None:
    job = make_job(**spec)
    assert FineTuneJob.model_validate_json(json.dumps(job.model_dump(mode="json", by_alias=True))) == job
    written = job.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert FineTuneJob.model_validate_json(json.dumps(written)) == job


def test_names_are_camel_case_on_the_wire() -> None:
    spec = make_job().model_dump(mode="json", by_alias=True)["spec"]
    assert spec["training"]["batchSize"] == 16
    assert spec["dataset"]["contract"]["onBadRow"] == "Skip"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param(("training", "batchSize"), "16", id="number-as-text"),
        pytest.param(("training", "batchSize"), 16.0, id="number-as-float"),
        pytest.param(("training", "batchSize"), True, id="number-as-boolean"),
        pytest.param(("training", "epochs"), 3, id="decimal-as-integer"),
        pytest.param(("training", "epochs"), 0.5, id="decimal-as-float"),
        pytest.param(("output", "path"), "", id="empty-path"),
        pytest.param(("training", "seed"), 2**32, id="seed-just-above"),
        pytest.param(("adapter", "rank"), 0, id="rank-just-below"),
        pytest.param(("adapter", "targetModules"), [], id="no-targets"),
    ],
)
def test_values_are_strict(path: tuple[str, str], value: object) -> None:
    manifest = make_manifest(**{path[0]: {path[1]: value}})
    assert [r.split(":")[0] for r in refusals(manifest)] == [f"spec.{path[0]}.{path[1]}"]


def test_a_batch_that_devices_share_evenly_is_accepted() -> None:
    job = make_job(training={"batchSize": 12}, hardware={"devicesPerNode": 3, "nodes": 4})
    assert job.spec.training.batch_size == 12


def test_a_cpu_node_is_one_device() -> None:
    assert make_job(hardware={"accelerator": "CPU", "devicesPerNode": 1}).spec.hardware.devices_per_node == 1


def test_a_source_has_a_weight_above_nothing() -> None:
    found = refusals(make_manifest(dataset=dataset(train={"sources": [{"path": "a", "weight": "0"}]})))
    sentence = '0 is not above 0 and at most 1000; write for example "2"'
    assert f"spec.dataset.train.sources[0].weight: {sentence}" in found


def test_one_source_and_several_are_read_alike() -> None:
    one = make_job(dataset=dataset(train={"source": {"path": "a"}, "format": "Text"}))
    several = make_job(dataset=dataset(train={"sources": [{"path": "a", "format": "Text"}]}))
    assert one.spec.dataset.train.files == several.spec.dataset.train.files
