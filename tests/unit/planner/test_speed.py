"""How fast, for how long."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.api.spec import Accelerator, Method
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.plan import PrecisionUsed
from finetune_operator.planner.speed import (
    around,
    flops_per_token,
    measure_pace,
    micro_step_seconds,
    num_steps,
    optimizer_seconds,
    padded_length,
    sustained_flops,
)
from tests.unit.planner.builders import SEVEN, make_cpu, make_data, make_gpus, make_setting, make_workload

H100 = make_gpus(80, product="NVIDIA H100", peak_flops=989e12)


@pytest.mark.parametrize(
    ("rows", "batch", "epochs", "steps"),
    [
        pytest.param(240, 16, "3", 45, id="even"),
        pytest.param(241, 16, "3", 48, id="last-batch-is-smaller"),
        pytest.param(240, 16, "0.5", 8, id="half-an-epoch"),
        pytest.param(5, 16, "1", 1, id="less-than-a-batch"),
        pytest.param(5, 16, "0.1", 1, id="never-none"),
    ],
)
def test_steps_are_the_trainers(rows: int, batch: int, epochs: str, steps: int) -> None:
    assert num_steps(rows, batch, epochs) == steps


@pytest.mark.parametrize(
    ("micro_batch", "length"),
    [
        pytest.param(1, 330, id="alone-unpadded"),
        pytest.param(2, 472.6, id="two"),
        pytest.param(19, 800, id="p95"),
        pytest.param(99, 1798.4, id="nearly-the-longest"),
    ],
)
def test_rows_are_padded_to_the_longest_of_their_batch(micro_batch: int, length: float) -> None:
    assert padded_length(make_data(), micro_batch) == pytest.approx(length, rel=1e-3)


@given(st.integers(1, 4096))
def test_padding_is_never_under_the_mean_or_over_the_longest(micro_batch: int) -> None:
    data = make_data()
    assert data.tokens / data.rows <= padded_length(data, micro_batch) <= data.longest


def test_published_speed_of_a_7b_adapter_is_within_a_third() -> None:
    # 14,110 tokens a second on one H100: two rows of 4096 tokens, rank 16, no checkpointing
    data = replace(make_data(rows=1000, longest=4096, p50=4096, p95=4096, mean=4096))
    setting = make_setting(micro_batch=2, length=4096, checkpointing=Checkpointing.NONE)
    pace = measure_pace(make_workload(Method.LORA, SEVEN), setting, H100, data, "1")
    assert pace.tokens_per_second == pytest.approx(14_110, rel=0.33)


def test_full_training_and_checkpointing_cost_operations() -> None:
    lora, full = make_workload(Method.LORA), make_workload(Method.FULL)
    kept, again = make_setting(checkpointing=Checkpointing.NONE), make_setting()
    assert flops_per_token(lora, kept, 100) < flops_per_token(lora, again, 100) < flops_per_token(full, again, 100)
    # forward 2, backward 2 for an adapter and 4 for all weights, of everything but the embedding table
    ratio = flops_per_token(full, kept, 0) / flops_per_token(lora, kept, 0)
    assert ratio == pytest.approx(1.5, rel=0.02)


def test_faster_cards_reach_less_of_their_peak() -> None:
    setting, slower = make_setting(), make_gpus(80, peak_flops=312e12)
    assert sustained_flops(setting, slower) == pytest.approx(0.64 * 312e12)
    assert 0.4 < sustained_flops(setting, H100) / 989e12 < 0.47


def test_32_bits_are_slower() -> None:
    wide = make_setting(precision=PrecisionUsed.FP32)
    assert sustained_flops(wide, H100) == pytest.approx(sustained_flops(make_setting(), H100) / 16)
    on_cpu = replace(wide, accelerator=Accelerator.CPU)
    # without bfloat16 the peak is the 32-bit one already
    assert sustained_flops(on_cpu, make_cpu(bf16=False)) == 2 * sustained_flops(on_cpu, make_cpu(bf16=True))


def test_zero_3_and_offloading_cost_time() -> None:
    full = make_workload(Method.FULL)
    alone = micro_step_seconds(full, make_setting(), H100, 330)
    moved = micro_step_seconds(full, make_setting(3, Offload.PARAMETERS), H100, 330)
    assert moved > alone
    on_device, on_host = (
        optimizer_seconds(full, make_setting(s, o), H100) for s, o in ((0, Offload.NONE), (2, Offload.OPTIMIZER))
    )
    assert on_host > 10 * on_device


def test_nodes_talk_more_slowly_than_devices_of_one() -> None:
    full = make_workload(Method.FULL)
    near, far = (make_setting(3, world=16, ranks_per_node=n) for n in (16, 8))
    assert micro_step_seconds(full, far, H100, 330) > micro_step_seconds(full, near, H100, 330)


def test_small_cards_talk_over_pcie() -> None:
    full, setting = make_workload(Method.FULL), make_setting(0, world=2)
    small = replace(H100, device=replace(H100.device, memory=make_gpus(24).device.memory))
    assert optimizer_seconds(full, setting, small) > optimizer_seconds(full, setting, H100)


def test_more_devices_need_less_time_for_the_same_rows() -> None:
    workload, data = make_workload(), make_data()
    one = measure_pace(workload, make_setting(accumulation=16), H100, data, "3")
    eight = measure_pace(workload, make_setting(world=8, accumulation=2), H100, data, "3")
    assert one.steps == eight.steps
    assert 6 < one.seconds / eight.seconds < 8.5


def test_interval_is_around_its_middle() -> None:
    found = around(100)
    assert found.low < found.mid == 100 < found.high
