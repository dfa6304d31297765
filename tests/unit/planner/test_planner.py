"""From a job to its options."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_operator.api.spec import Method
from finetune_operator.constants import MAX_LISTED, MAX_REJECTED
from finetune_operator.exceptions import DatasetInvalidError, InvalidManifestError, UnsupportedArchitectureError
from finetune_operator.planner.plan import PlanSet, PrecisionUsed, RejectionReason
from finetune_operator.planner.planner import plan
from finetune_operator.units import GIB, Bytes
from tests.unit.planner.builders import (
    SEVEN,
    SEVENTY,
    TINY,
    make_capacity,
    make_cpu,
    make_data,
    make_facts,
    make_fleet,
    make_gpus,
    make_spec,
)

TICKETS = make_data(rows=240, longest=131, p50=75, p95=110, mean=80)


def options(found: PlanSet) -> list[str]:
    """Ids of what is listed."""
    return [p.id for p in found.viable]


def test_quick_start_on_a_cpu() -> None:
    found = plan(make_spec(), make_facts(TINY, TICKETS), make_capacity(make_cpu(), max_devices=1))
    assert options(found) == ["lora-cpu", "dora-cpu", "full-cpu"]
    first = found.viable[0]
    assert first.precision is PrecisionUsed.BF16
    assert (first.trainable_parameters, first.total_parameters) == (4_884_480, 139_399_488)
    assert (first.learning_rate, first.tight) == ("2e-4", False)
    assert first.micro_batch * first.accumulation == 16
    assert found.viable[-1].learning_rate == "1e-5"
    assert (found.rejected, found.advice) == ((), None)


def test_full_training_of_7b_on_one_small_gpu_is_refused_with_numbers_and_hardware() -> None:
    gpus = make_gpus(24, 1, ram=Bytes(64 * GIB), free_ram=Bytes(60 * GIB))
    found = plan(make_spec(method="Full"), make_facts(SEVEN), make_capacity(gpus))
    assert found.viable == ()
    rejection = found.rejection("full-1x24g")
    assert rejection is not None
    assert rejection.reason is RejectionReason.OUT_OF_MEMORY
    assert rejection.message == "needs 145.2 GiB a device, a device has 24.0 GiB free of 24.0 GiB"
    assert rejection.advice == found.advice
    assert found.advice is not None
    assert found.advice.recommended.option == "full-z3-2x96g"


def test_the_recommended_one_is_the_first() -> None:
    found = plan(make_spec(), make_facts(SEVEN), make_fleet())
    assert found.find("recommended") is found.viable[0]
    assert found.viable[0].method is Method.LORA
    assert not found.viable[0].tight


def test_nothing_is_recommended_where_nothing_is_viable() -> None:
    assert plan(make_spec(), make_facts(SEVENTY), make_capacity(make_cpu(8))).find("recommended") is None


def test_a_viable_option_can_be_chosen_though_it_is_not_listed() -> None:
    found = plan(make_spec(), make_facts(SEVEN), make_fleet())
    hidden = found.unlisted[0]
    assert hidden not in found.viable
    assert found.find(hidden.id) is hidden
    assert found.rejection(hidden.id) is None


def test_every_option_has_an_answer_and_only_one() -> None:
    found = plan(make_spec(), make_facts(SEVENTY), make_fleet())
    viable = [p.id for p in (*found.viable, *found.unlisted)]
    rejected = [r.option for r in (*found.rejected, *found.other_rejected)]
    assert len({*viable, *rejected}) == len(viable) + len(rejected)
    assert all(found.find(o) is not None for o in viable)
    assert all(found.rejection(o) is not None for o in rejected)


def test_an_unknown_option_has_none() -> None:
    found = plan(make_spec(), make_facts(TINY, TICKETS), make_capacity(make_cpu()))
    assert found.find("lora-1x999g") is None
    assert found.rejection("lora-1x999g") is None


def test_lists_stay_within_what_status_holds() -> None:
    classes = [make_gpus(20 + 3 * n, 8, 2, name=f"n{n}") for n in range(12)]
    found = plan(make_spec(), make_facts(SEVENTY), make_capacity(*classes))
    assert len(found.viable) <= MAX_LISTED
    assert len(found.rejected) <= MAX_REJECTED


def test_the_chosen_options_rejection_is_listed_first() -> None:
    spec = make_spec(plan={"option": "full-z1-4x24g"})
    assert plan(spec, make_facts(SEVENTY), make_fleet()).rejected[0].option == "full-z1-4x24g"


def test_only_the_method_that_is_asked_for() -> None:
    found = plan(make_spec(method="LoRA"), make_facts(SEVEN), make_fleet())
    assert {p.method for p in (*found.viable, *found.unlisted)} == {Method.LORA}


def test_a_gpu_that_is_not_there_is_named() -> None:
    spec = make_spec(hardware={"accelerator": "GPU"})
    found = plan(spec, make_facts(TINY, TICKETS), make_capacity(make_cpu()))
    assert found.viable == ()
    assert "has none" in found.rejected[0].message


def test_one_process_uses_one_device() -> None:
    found = plan(make_spec(), make_facts(SEVEN), make_capacity(make_gpus(80, 8), max_devices=1))
    assert {p.world for p in (*found.viable, *found.unlisted)} == {1}
    rejection = found.rejection("lora-2x80g")
    assert rejection is not None
    assert rejection.reason is RejectionReason.NOT_ENOUGH_DEVICES


def test_a_price_becomes_a_cost() -> None:
    priced = make_capacity(make_gpus(80, 1, price_per_device_hour=2.0))
    first = plan(make_spec(), make_facts(SEVEN), priced).viable[0]
    assert first.cost is not None
    assert first.cost.mid == pytest.approx(first.seconds.mid / 3600 * 2.0)
    assert plan(make_spec(), make_facts(SEVEN), make_capacity(make_gpus(80, 1))).viable[0].cost is None


def test_the_jobs_own_learning_rate_counts() -> None:
    spec = make_spec(training={"learningRate": "3e-3"})
    found = plan(spec, make_facts(TINY, TICKETS), make_capacity(make_cpu()))
    assert {p.learning_rate for p in found.viable} == {"3e-3"}


def test_old_gpus_train_in_half_precision() -> None:
    found = plan(make_spec(), make_facts(TINY, TICKETS), make_capacity(make_gpus(16, 1, bf16=False)))
    assert {p.precision for p in found.viable} == {PrecisionUsed.FP16}


def test_rows_longer_than_the_model_reads_are_refused() -> None:
    spec = make_spec(dataset={**make_spec().model_dump(mode="json", by_alias=True)["dataset"], "maxLength": 9000})
    facts = make_facts(TINY, make_data(longest=8500))
    with pytest.raises(InvalidManifestError) as e:
        plan(spec, facts, make_capacity(make_cpu()))
    assert str(e.value) == (
        "spec.dataset.maxLength: 9000 lets rows of 8500 tokens in, and LlamaForCausalLM has 8192 positions; "
        "write 8192 or less"
    )


def test_rows_exactly_as_long_are_not() -> None:
    facts = make_facts(TINY, make_data(longest=8192))
    assert plan(make_spec(), facts, make_capacity(make_gpus(80, 1))).viable


def test_a_job_without_rows_is_refused() -> None:
    with pytest.raises(DatasetInvalidError, match="has no usable row"):
        plan(make_spec(), make_facts(TINY, replace(TICKETS, rows=0, tokens=0)), make_capacity(make_cpu()))


def test_a_model_that_is_not_known_is_refused() -> None:
    with pytest.raises(UnsupportedArchitectureError, match="known are llama"):
        plan(make_spec(), make_facts(TINY, model_type="mamba"), make_capacity(make_cpu()))


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(InvalidManifestError, match="qproj is not in LlamaForCausalLM"):
        plan(make_spec(adapter={"targetModules": ["qproj"]}), make_facts(TINY), make_capacity(make_cpu()))


@settings(max_examples=50)
@given(
    st.sampled_from((TINY, SEVEN, "Qwen/Qwen3-8B")),
    st.floats(2, 200),
    st.integers(1, 8),
    st.sampled_from((1, 4, 12, 16, 64)),
    st.integers(16, 8192),
)
def test_every_viable_plan_fits_and_shares_the_batch(
    repo: str, gib: float, devices: int, batch: int, longest: int
) -> None:
    spec = make_spec(training={"batchSize": batch})
    data = make_data(longest=longest, p50=16, p95=16, mean=16)
    found = plan(spec, make_facts(repo, data), make_capacity(make_gpus(gib, devices)))
    for each in (*found.viable, *found.unlisted):
        assert each.memory.device_total <= 0.95 * each.node_class.device.free
        assert each.micro_batch * each.accumulation * each.world == batch
        assert each.world <= devices
        assert each.because
    for rejection in (*found.rejected, *found.other_rejected):
        if rejection.need is not None and rejection.have is not None:
            assert rejection.need > rejection.have


@settings(max_examples=15)
@given(st.sampled_from((TINY, SEVEN)), st.floats(2, 100))
def test_the_same_question_has_the_same_answer(repo: str, gib: float) -> None:
    capacity = make_capacity(make_gpus(gib, 4), make_cpu())
    assert plan(make_spec(), make_facts(repo), capacity) == plan(make_spec(), make_facts(repo), capacity)


@pytest.mark.parametrize(
    ("objective", "whole", "adapter"),
    [
        ("SFT", "1e-5", "2e-4"),
        ("DPO", "5e-7", "5e-6"),
        ("ORPO", "8e-6", "8e-5"),
        ("KTO", "5e-7", "5e-6"),
        ("Reward", "1e-5", "1e-4"),
        ("GRPO", "1e-6", "1e-5"),
    ],
)
def test_a_learning_rate_that_is_left_out_is_the_objectives(objective: str, whole: str, adapter: str) -> None:
    found = plan(make_spec(objective=objective), make_facts(TINY, TICKETS), make_capacity(make_cpu()))
    told = {p.method: p.learning_rate for p in found.viable}
    assert told[Method.FULL] == whole
    assert {rate for method, rate in told.items() if method is not Method.FULL} == {adapter}


def test_a_reward_model_of_a_family_without_one_is_refused_before_anything_is_planned() -> None:
    granite = make_facts(TINY, TICKETS)
    facts = replace(granite, model=replace(granite.model, config={**granite.model.config, "model_type": "granite"}))
    with pytest.raises(InvalidManifestError, match="transformers has no such model of the family granite"):
        plan(make_spec(objective="Reward"), facts, make_capacity(make_cpu()))
