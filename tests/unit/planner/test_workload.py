"""Trainable parameters and activations of each method."""

from dataclasses import replace
from typing import Any

import pytest

from finetune_operator.api.spec import Method, Objective
from finetune_operator.exceptions import InvalidManifestError
from finetune_operator.planner.architecture import read_architecture
from finetune_operator.planner.catalogue import CATALOGUE
from finetune_operator.planner.question import pose, recipe_of
from tests.unit.planner.builders import SEVEN, TINY, make_capacity, make_data, make_facts, make_spec, make_workload


def test_full_trains_everything() -> None:
    workload = make_workload(Method.FULL)
    assert (workload.trainable, workload.frozen) == (7_615_616_512, 0)


@pytest.mark.parametrize(
    ("adapter", "count"),
    [
        pytest.param({}, 40_370_176, id="all-linear"),
        pytest.param({"rank": 32}, 80_740_352, id="twice-the-rank"),
        # 28 layers x 16 x (3584 + 3584 + 3584 + 512)
        pytest.param({"target_modules": ("q_proj", "v_proj")}, 5_046_272, id="two-modules"),
        pytest.param({"rank": 1, "target_modules": ("down_proj",)}, 630_784, id="one-module"),
    ],
)
def test_adapter_is_rank_times_inputs_and_outputs(adapter: dict[str, Any], count: int) -> None:
    workload = make_workload(Method.LORA, SEVEN, **adapter)
    assert workload.trainable == count
    assert workload.parameters == 7_615_616_512 + count


def test_smallest_model_has_the_adapter_of_the_quick_start() -> None:
    assert make_workload(Method.LORA, TINY).trainable == 4_884_480


def test_activations_of_full_training_are_the_fitted_formula() -> None:
    # 16H + 4Q + 4KV + 8I bytes a token and layer in 16 bits, scales and log-sums apart; H 576, Q 576, KV 192, I 1536
    kept = make_workload(Method.FULL, TINY).costs[0]
    small = 4 * (2 + 9)
    assert kept.fixed_bytes - small + 2 * kept.elements == 16 * 576 + 4 * 576 + 4 * 192 + 8 * 1536


def test_an_adapter_on_fewer_modules_keeps_less() -> None:
    few = make_workload(Method.LORA, TINY, target_modules=("q_proj",)).costs[0]
    every = make_workload(Method.LORA, TINY).costs[0]
    assert few.elements < every.elements < make_workload(Method.FULL, TINY).costs[0].elements


def test_dropout_copies_every_input_for_its_module() -> None:
    without, dropped = (make_workload(Method.LORA, TINY, dropout=d).costs[0] for d in ("0", "0.1"))
    assert without.dropped == 0
    # q, k, v, o, gate and up read 576 each, down 1536
    assert dropped.dropped == 6 * 576 + 1536
    assert dropped.elements < without.elements


def test_qk_norms_are_kept_in_32_bits() -> None:
    plain = make_workload(Method.LORA, "meta-llama/Llama-3.1-8B").costs[0]
    normed = make_workload(Method.LORA, "Qwen/Qwen3-8B").costs[0]
    # 4 bytes of 4096 query and 1024 key elements, and of one scale for each of 40 heads
    assert normed.fixed_bytes - plain.fixed_bytes == 4 * (4096 + 1024 + 40)


def test_dora_adds_a_magnitude_and_keeps_outputs() -> None:
    lora, dora = (make_workload(m, TINY) for m in (Method.LORA, Method.DORA))
    # q and o 576 wide, k and v 192, gate and up 1536, down 576
    outputs = 576 + 192 + 192 + 576 + 1536 + 1536 + 576
    assert dora.trainable - lora.trainable == 30 * outputs
    assert dora.costs[0].elements - lora.costs[0].elements == 2 * outputs


def test_quantisation_reaches_linear_modules_alone() -> None:
    workload = make_workload(Method.QLORA)
    tables = 2 * 152_064 * 3584
    norms, biases = 28 * 2 * 3584 + 3584, 28 * (3584 + 2 * 512)
    assert workload.quantised == 7_615_616_512 - tables - norms - biases
    assert workload.unpacked == 3584 * 18_944


@pytest.mark.parametrize(
    ("objective", "sequences"),
    [
        (Objective.SFT, 1),
        (Objective.DPO, 2),
        (Objective.ORPO, 2),
        (Objective.KTO, 1),
        (Objective.REWARD, 2),
        (Objective.GRPO, 1),
    ],
)
def test_pairs_go_through_together(objective: Objective, sequences: int) -> None:
    assert make_workload(Method.LORA, TINY, objective=objective).sequences == sequences


def test_a_reference_is_asked_once_and_not_kept() -> None:
    full, lora = (make_workload(m, TINY, objective=Objective.DPO) for m in (Method.FULL, Method.LORA))
    assert (full.trainable, full.frozen) == (134_515_008, 0)
    assert lora.frozen == 134_515_008
    assert [full.forward_passes(epochs) for epochs in (1, 4)] == [1, 0.25]


def test_kto_looks_aside_in_every_epoch() -> None:
    kto = make_workload(Method.LORA, TINY, objective=Objective.KTO)
    assert [kto.forward_passes(epochs) for epochs in (1, 4)] == [3, 1.5]


def test_a_reward_model_has_a_score_in_place_of_a_head() -> None:
    workload = make_workload(Method.FULL, SEVEN, objective=Objective.REWARD)
    assert workload.trainable == 7_615_616_512 - 152_064 * 3584 + 3584


@pytest.mark.parametrize(
    ("packing", "objective", "family", "packed"),
    [
        ("Auto", "SFT", "qwen2", True),
        ("BestFit", "SFT", "qwen2", True),
        ("Never", "SFT", "qwen2", False),
        ("Auto", "DPO", "qwen2", False),
        ("Auto", "SFT", "gpt_oss", False),
    ],
)
def test_rows_lie_end_to_end_where_the_trainer_lays_them_so(
    *, packing: str, objective: str, family: str, packed: bool
) -> None:
    spec = make_spec(training={"packing": packing}, objective=objective)
    architecture = replace(read_architecture(CATALOGUE[SEVEN]), family=family)
    assert recipe_of(spec, architecture, make_data()).packed is packed
    assert not recipe_of(spec, architecture, make_data(rows=1)).packed


def test_lines_are_refused_where_rows_would_see_one_another() -> None:
    facts = make_facts("openai/gpt-oss-20b")
    with pytest.raises(InvalidManifestError, match="family gpt_oss rows of one line would see one another; write Auto"):
        pose(make_spec(training={"packing": "BestFit"}), facts, make_capacity())
