"""Each reason against a way, and the order in which they are told."""

from dataclasses import replace
from typing import Any

import pytest

from finetune_operator.api.spec import Accelerator, Hardware
from finetune_operator.planner.candidates import Candidate, enumerate_candidates
from finetune_operator.planner.capacity import NodeClass
from finetune_operator.planner.checks import SMALL_FILES, Verdict, disk_bytes, download_bytes, judge, judge_all
from finetune_operator.planner.plan import RejectionReason
from finetune_operator.planner.question import Question, pose
from finetune_operator.units import GIB, Bytes
from tests.unit.planner.builders import (
    SEVEN,
    TINY,
    make_capacity,
    make_cpu,
    make_data,
    make_facts,
    make_gpus,
    make_spec,
)


def case(option: str, node_class: NodeClass, repo: str = SEVEN, **fields: Any) -> tuple[Question, Candidate]:
    """A question about one class, and one of its candidates."""
    limit = fields.pop("max_devices", None)
    facts = fields.pop("facts", make_facts(repo))
    spec = make_spec(**fields)
    capacity = make_capacity(node_class, max_devices=limit)
    found = {c.id: c for c in enumerate_candidates(spec.method, spec.hardware, capacity)}
    return pose(spec, facts, capacity), found[option]


def verdict(option: str, node_class: NodeClass, repo: str = SEVEN, **fields: Any) -> Verdict:
    """The judgement of that candidate."""
    return judge(*case(option, node_class, repo, **fields))


@pytest.mark.parametrize(
    ("option", "node_class", "fields", "reason", "message"),
    [
        pytest.param(
            "lora-4x24g",
            make_gpus(24, 2, product="L4"),
            {"hardware": {"devicesPerNode": 4}},
            RejectionReason.NOT_ENOUGH_DEVICES,
            "needs 1 node with 4 devices each; fleet.yaml has 1 node with 2 (L4)",
            id="not-there",
        ),
        pytest.param(
            "lora-3x8x24g",
            make_gpus(24, 8, 2, product="L4"),
            {"hardware": {"nodes": 3}, "training": {"batchSize": 24}},
            RejectionReason.NOT_ENOUGH_DEVICES,
            "needs 3 nodes with 8 devices each; fleet.yaml has 2 nodes with 8 (L4)",
            id="nodes-not-there",
        ),
        pytest.param(
            "lora-2x24g",
            make_gpus(24, 2),
            {"max_devices": 1},
            RejectionReason.NOT_ENOUGH_DEVICES,
            "needs 2 devices together; whoever starts it here can use at most 1 device together",
            id="not-together",
        ),
        pytest.param(
            "lora-1x16g",
            make_gpus(16, 1, product="Tesla T4", bf16=False),
            {"training": {"precision": "BF16"}},
            RejectionReason.UNSUPPORTED_PRECISION,
            "needs BF16, which Tesla T4 doesn't compute natively",
            id="no-bfloat16",
        ),
        pytest.param(
            "lora-cpu",
            make_cpu(),
            {"training": {"precision": "FP16"}},
            RejectionReason.UNSUPPORTED_PRECISION,
            "needs FP16, which EPYC doesn't compute natively",
            id="cpu-without-half",
        ),
        pytest.param(
            "lora-8x24g",
            make_gpus(24, 8),
            {"training": {"batchSize": 12}},
            RejectionReason.BATCH_NOT_DIVISIBLE,
            "needs a batchSize that 8 devices can share evenly; it is 12",
            id="uneven-batch",
        ),
        pytest.param(
            "full-1x24g",
            make_gpus(24, 1),
            {},
            RejectionReason.OUT_OF_MEMORY,
            "needs 145.2 GiB a device, a device has 24.0 GiB free of 24.0 GiB",
            id="too-big",
        ),
        pytest.param(
            "full-cpu",
            make_cpu(24, 20),
            {},
            RejectionReason.OUT_OF_MEMORY,
            "needs 144.7 GiB a node, a node has 20.0 GiB free of 24.0 GiB",
            id="too-big-for-a-cpu",
        ),
        pytest.param(
            "full-z2-offload-1x80g",
            make_gpus(80, 1, ram=Bytes(64 * GIB), free_ram=Bytes(60 * GIB)),
            {},
            RejectionReason.OUT_OF_HOST_MEMORY,
            "needs 152.1 GiB of RAM a node, a node has 57.0 GiB to plan with: 60.0 GiB free of 64.0 GiB, 5% of it "
            "kept in reserve",
            id="ram",
        ),
        pytest.param(
            "full-z3-8x80g",
            make_gpus(80, 8, disk=Bytes(100 * GIB)),
            {},
            RejectionReason.OUT_OF_DISK,
            "needs 326.4 GiB of disk for weights, result and 3 checkpoints; 100.0 GiB are free",
            id="disk",
        ),
    ],
)
def test_reason(
    option: str, node_class: NodeClass, fields: dict[str, Any], reason: RejectionReason, message: str
) -> None:
    found = verdict(option, node_class, **fields).rejection
    assert found is not None
    assert (found.option, found.reason, found.message) == (option, reason, message)


def test_the_cheapest_reason_is_told_first() -> None:
    # too few devices, no bfloat16, an uneven batch and too little memory, all at once
    fields: dict[str, Any] = {"hardware": {"devicesPerNode": 4}, "training": {"precision": "BF16", "batchSize": 12}}
    found = verdict("full-4x16g", make_gpus(16, 2, bf16=False), **fields)
    assert found.rejection is not None
    assert found.rejection.reason is RejectionReason.NOT_ENOUGH_DEVICES
    assert found.sizing is None


def test_what_fits_has_no_rejection() -> None:
    found = verdict("lora-1x24g", make_gpus(24, 1))
    assert found.rejection is None
    assert found.sizing is not None


def test_exactly_enough_free_memory_is_enough() -> None:
    gpus = make_gpus(80, 1)
    short = make_data(longest=64, p50=60, p95=62, mean=50)
    facts = make_facts(TINY, short)
    need = verdict("lora-1x80g", gpus, facts=facts, training={"batchSize": 1}).sizing
    assert need is not None
    enough = -int(-need.sized.memory.device_total // 0.95) + 1
    exact, less = (replace(gpus, device=replace(gpus.device, free=Bytes(n))) for n in (enough, enough - 3))
    assert verdict("lora-1x80g", exact, facts=facts, training={"batchSize": 1}).rejection is None
    # with checkpointing, or without: the least that there is
    assert verdict("lora-1x80g", less, facts=facts, training={"batchSize": 1}).sizing != need


def test_reserve_is_named_where_it_is_what_lacks() -> None:
    least = verdict("lora-1x24g", make_gpus(24, 1, free=1), training={"batchSize": 1}).rejection
    assert least is not None
    assert least.need is not None
    free = least.need / GIB + 0.01
    found = verdict("lora-1x24g", make_gpus(24, 1, free=free), training={"batchSize": 1}).rejection
    assert found is not None
    assert found.need is not None
    assert found.have is not None
    assert found.need > found.have
    assert "to plan with" in found.message
    assert "5% of it kept in reserve" in found.message


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="open"),
        pytest.param({"training": {"batchSize": 12, "precision": "BF16"}}, id="batch-precision"),
        pytest.param({"hardware": {"maxDuration": "1h", "maxCost": "5", "maxHourlyCost": "2"}}, id="limits"),
        pytest.param({"hardware": {"nodes": 4}}, id="nodes"),
    ],
)
def test_ways_judged_together_are_told_what_each_is_told_alone(fields: dict[str, Any]) -> None:
    old = make_gpus(16, 4, 2, bf16=False, product="Tesla T4")
    capacity = make_capacity(make_gpus(24, 8, 2, price_per_device_hour=1.0), old, make_cpu(64), max_devices=8)
    spec = make_spec(**fields)
    question = pose(spec, make_facts(SEVEN), capacity)
    candidates = enumerate_candidates(spec.method, spec.hardware, capacity)
    together = judge_all(question, candidates)
    assert [v.candidate for v in together] == list(candidates)
    assert [v.rejection for v in together] == [judge(question, c).rejection for c in candidates]
    assert {v.rejection.option for v in together if v.rejection} == {v.candidate.id for v in together if v.objection}


def test_every_amount_in_a_sentence_is_more_than_the_other() -> None:
    spec, facts = make_spec(), make_facts()
    for gib in (1, 16, 24, 40, 80):
        capacity = make_capacity(make_gpus(gib, 8, ram=Bytes(64 * GIB), free_ram=Bytes(50 * GIB)))
        question = pose(spec, facts, capacity)
        for candidate in enumerate_candidates(None, Hardware(accelerator=Accelerator.GPU), capacity):
            found = judge(question, candidate).rejection
            if found is not None and found.need is not None and found.have is not None:
                assert found.need > found.have, found


def test_disk_holds_checkpoints_and_the_result_twice() -> None:
    question, candidate = case("full-z3-8x80g", make_gpus(80, 8))
    sizing = judge(question, candidate).sizing
    assert sizing is not None
    # 14 bytes a parameter for each of two kept checkpoints and one in the making, 2 staged and 2 published
    weights = (3 * 14 + 4) * 7_615_616_512
    assert disk_bytes(question, sizing.workload, sizing.place.sharding) == weights + 5 * SMALL_FILES


@pytest.mark.parametrize(
    ("option", "repo", "checkpoint"),
    [
        # weights twice and 12 bytes of optimizer state; under ZeRO-3 the weights once
        pytest.param("full-1x80g", TINY, 16 * 134_515_008, id="full"),
        pytest.param("full-z3-2x80g", TINY, 14 * 134_515_008, id="full-zero-3"),
        pytest.param("lora-1x80g", TINY, 16 * 4_884_480 + 2 * 49_152 * 576, id="adapter-with-a-tied-head"),
        pytest.param("lora-1x80g", SEVEN, 16 * 40_370_176, id="adapter"),
    ],
)
def test_engine_keeps_what_is_trained_a_second_time(option: str, repo: str, checkpoint: int) -> None:
    question, candidate = case(option, make_gpus(80, 2), repo, training={"checkpoint": {"keep": 1}})
    sizing = judge(question, candidate).sizing
    assert sizing is not None
    result = 2 * sizing.workload.trainable
    found = disk_bytes(question, sizing.workload, sizing.place.sharding)
    assert found == 2 * checkpoint + 2 * result + 4 * SMALL_FILES


def test_weights_that_are_not_here_need_disk_too() -> None:
    facts = make_facts()
    here, _ = case("lora-1x80g", make_gpus(80, 1), facts=facts)
    away, _ = case(
        "lora-1x80g", make_gpus(80, 1), facts=replace(facts, model=replace(facts.model, weight_bytes=Bytes(0)))
    )
    assert download_bytes(here) == 0
    assert download_bytes(away) == 2 * 7_615_616_512


def test_weights_that_have_4_bits_already_are_not_rounded_again() -> None:
    rejection = verdict("qlora-1x80g", make_gpus(80), "openai/gpt-oss-20b").rejection
    assert rejection is not None
    assert rejection.reason is RejectionReason.UNSUPPORTED_PRECISION
    assert "GptOssForCausalLM" in rejection.message
    assert verdict("lora-1x80g", make_gpus(80), "openai/gpt-oss-20b").rejection is None
