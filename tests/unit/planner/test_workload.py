"""Trainable parameters and activations of each method."""

import pytest

from finetune_operator.api.spec import Method
from finetune_operator.planner.workload import Activations
from tests.unit.planner.builders import SEVEN, TINY, make_workload


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
def test_adapter_is_rank_times_inputs_and_outputs(adapter: dict[str, object], count: int) -> None:
    workload = make_workload(Method.LORA, SEVEN, **adapter)
    assert workload.trainable == count
    assert workload.parameters == 7_615_616_512 + count


def test_smallest_model_has_the_adapter_of_the_quick_start() -> None:
    assert make_workload(Method.LORA, TINY).trainable == 4_884_480


def test_activations_of_full_training_are_the_fitted_formula() -> None:
    # 16H + 4Q + 4KV + 8I bytes a token and layer in 16 bits, scales and log-sums apart; H 576, Q 576, KV 192, I 1536
    kept = make_workload(Method.FULL, TINY).activations
    small = 4 * (2 + 9)
    assert kept.fixed_bytes - small + 2 * kept.elements == 16 * 576 + 4 * 576 + 4 * 192 + 8 * 1536


def test_an_adapter_on_fewer_modules_keeps_less() -> None:
    few = make_workload(Method.LORA, TINY, target_modules=("q_proj",)).activations
    every = make_workload(Method.LORA, TINY).activations
    assert few.elements < every.elements < make_workload(Method.FULL, TINY).activations.elements


def test_dropout_copies_every_input_for_its_module() -> None:
    without, dropped = (make_workload(Method.LORA, TINY, dropout=d).activations for d in ("0", "0.1"))
    assert without.dropped == 0
    # q, k, v, o, gate and up read 576 each, down 1536
    assert dropped.dropped == 6 * 576 + 1536
    assert dropped.elements < without.elements


def test_qk_norms_are_kept_in_32_bits() -> None:
    plain = make_workload(Method.LORA, "meta-llama/Llama-3.1-8B").activations
    normed = make_workload(Method.LORA, "Qwen/Qwen3-8B").activations
    assert isinstance(plain, Activations)
    # 4 bytes of 4096 query and 1024 key elements, and of one scale for each of 40 heads
    assert normed.fixed_bytes - plain.fixed_bytes == 4 * (4096 + 1024 + 40)
