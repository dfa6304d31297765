"""How fast, for how long, at what cost."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.api.spec import Accelerator, Method, Objective
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.capacity import NodeClass
from finetune_operator.planner.efficiency import ASSUMED, ONE_DEVICE, QUANTIZED, SEVERAL, Spread
from finetune_operator.planner.facts import DatasetFacts
from finetune_operator.planner.plan import PrecisionUsed
from finetune_operator.planner.recipe import OURS, PACKED
from finetune_operator.planner.setting import Setting
from finetune_operator.planner.speed import (
    Pace,
    attention_flops,
    host_adam_seconds,
    launch_seconds,
    matmul_flops,
    measure_pace,
    measure_paces,
    micro_step_seconds,
    num_steps,
    optimizer_seconds,
    padded_length,
    price_tokens,
    spread_of,
    traffic_seconds,
)
from finetune_operator.planner.work import Work, count_work
from tests.unit.planner.builders import SEVEN, TINY, make_cpu, make_data, make_gpus, make_setting, make_workload

H100 = make_gpus(80, product="NVIDIA H100 80GB HBM3", peak_flops=989e12)
CPU = make_cpu()
METHODS = st.sampled_from(Method)
LENGTHS = st.integers(16, 8192)


def work(method: Method = Method.LORA, repo: str = SEVEN) -> Work:
    """The counts of a model of the catalogue."""
    found = make_workload(method, repo)
    return count_work(found.architecture, method, found.trainable, found.parameters, quantized=found.quantised)


def device_seconds(found: Work, setting: Setting, node: NodeClass, length: float) -> float:
    """A device's own time for a micro-batch, as long as no launching takes."""
    price = price_tokens(found, setting, node.device)._replace(least=0.0)
    return price.seconds(setting.micro_batch * length, found.attended(length))


def level(length: int, rows: int = 1000) -> DatasetFacts:
    """Rows of one length."""
    return make_data(rows=rows, longest=length, p50=length, p95=length, mean=length)


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
    # 14,110 tokens a second on one H100 with fused kernels: two rows of 4096 tokens, rank 16, no checkpointing
    setting = make_setting(micro_batch=2, length=4096, checkpointing=Checkpointing.NONE)
    pace = measure_pace(make_workload(Method.LORA, SEVEN), setting, H100, level(4096), "1")
    assert 0.6 * 14_110 < pace.tokens_per_second < 14_110


def test_full_training_and_checkpointing_cost_operations() -> None:
    lora, full = work(Method.LORA), work(Method.FULL)
    kept, again = make_setting(checkpointing=Checkpointing.NONE), make_setting()
    assert matmul_flops(lora, kept) < matmul_flops(lora, again) < matmul_flops(full, again)
    # forward 2, backward 2 for an adapter and 4 for all weights; the head twice forward; rank 16 is 0.5% of the weights
    layers, head = lora.matmul, lora.head
    assert matmul_flops(full, kept) == pytest.approx(6 * layers + 8 * head)
    assert matmul_flops(lora, kept) == pytest.approx(4 * layers + 6 * head, rel=0.01)
    assert matmul_flops(full, again) - matmul_flops(full, kept) == pytest.approx(2 * layers)


def test_attention_costs_two_products_forward_and_five_backward() -> None:
    found, kept = work(), make_setting(checkpointing=Checkpointing.NONE)
    # 28 layers, 3584 wide, half of 4096 tokens on average: a multiplication and an addition, twice, 3.5 times
    assert attention_flops(found, kept, 4096) == pytest.approx(28 * 2 * 2 * 3584 * 2048 * 3.5)


@given(METHODS, st.integers(1, 64), LENGTHS, st.sampled_from(Checkpointing))
def test_more_rows_or_longer_ones_are_never_faster(
    method: Method, micro: int, length: int, checkpointing: Checkpointing
) -> None:
    found = work(method, TINY)
    setting = make_setting(micro_batch=micro, length=length, checkpointing=checkpointing)
    for node in (H100, CPU):
        seconds = micro_step_seconds(found, on(setting, node.device.accelerator), node, length)
        more = setting._replace(micro_batch=micro + 1)
        assert micro_step_seconds(found, on(more, node.device.accelerator), node, length) >= seconds
        assert micro_step_seconds(found, on(setting, node.device.accelerator), node, length + 1) >= seconds


def on(setting: Setting, accelerator: Accelerator) -> Setting:
    """The same setting on another kind of device."""
    return setting._replace(accelerator=accelerator)


@given(METHODS, st.integers(1, 64), LENGTHS)
def test_checkpointing_is_never_faster(method: Method, micro: int, length: int) -> None:
    found, again = work(method, TINY), make_setting(micro_batch=micro, length=length)
    kept = again._replace(checkpointing=Checkpointing.NONE)
    assert micro_step_seconds(found, again, H100, length) >= micro_step_seconds(found, kept, H100, length)


@given(st.sampled_from((0, 1, 2, 3)), METHODS, st.floats(1e12, 3e15))
def test_a_faster_device_is_never_slower(stage: int, method: Method, peak: float) -> None:
    found, setting = work(method, TINY), make_setting(stage, world=8)
    slow, fast = (make_gpus(80, peak_flops=p, product="unheard of") for p in (peak, 2 * peak))
    assert micro_step_seconds(found, setting, fast, 512) <= micro_step_seconds(found, setting, slow, 512)


@given(METHODS, st.integers(1, 100_000), st.integers(16, 8192), st.sampled_from(("0.5", "1", "3")))
def test_longer_rows_more_rows_and_more_epochs_never_take_less_time(
    method: Method, rows: int, length: int, epochs: str
) -> None:
    workload, setting = make_workload(method, TINY), make_setting(accumulation=16)
    seconds = measure_pace(workload, setting, H100, level(length, rows), epochs).seconds
    assert measure_pace(workload, setting, H100, level(length + 1, rows), epochs).seconds >= seconds
    assert measure_pace(workload, setting, H100, level(length, rows + 1), epochs).seconds >= seconds
    assert measure_pace(workload, setting, H100, level(length, rows), "4").seconds >= seconds


def test_small_micro_batches_wait_for_the_processor_and_large_ones_for_the_device() -> None:
    found, small, large = work(), make_setting(length=16), make_setting(length=8192)
    launched = launch_seconds(found, small)
    assert device_seconds(found, small, H100, 16) < launched == micro_step_seconds(found, small, H100, 16)
    assert micro_step_seconds(found, large, H100, 8192) == device_seconds(found, large, H100, 8192) > launched


def test_unpacking_weights_costs_time_for_each_micro_step_however_many_tokens_it_has() -> None:
    setting, qlora, lora = make_setting(), work(Method.QLORA), work(Method.LORA)
    few, many = (device_seconds(qlora, setting, H100, n) - device_seconds(lora, setting, H100, n) for n in (16, 4096))
    # 6.5 billion weights, three times, at 20 bytes of 3352 a nanosecond
    assert few == pytest.approx(many) == pytest.approx(0.117, rel=0.01)


def test_measuring_weights_costs_dora_time_even_without_tokens() -> None:
    setting, dora, lora = make_setting(), work(Method.DORA), work(Method.LORA)
    few, many = (device_seconds(dora, setting, H100, n) - device_seconds(lora, setting, H100, n) for n in (1, 4096))
    assert 0.05 < few < many


def test_32_bits_are_slower() -> None:
    found, setting = work(), make_setting(length=4096)
    wide = make_setting(length=4096, precision=PrecisionUsed.FP32)
    assert device_seconds(found, wide, H100, 4096) > 5 * device_seconds(found, setting, H100, 4096)
    on_cpu = wide._replace(accelerator=Accelerator.CPU)
    # without bfloat16 the peak is the 32-bit one already
    with_bf16, without = (micro_step_seconds(found, on_cpu, make_cpu(bf16=b), 330) for b in (True, False))
    assert with_bf16 == pytest.approx(2 * without)


def test_offloading_costs_time() -> None:
    full = work(Method.FULL)
    alone = micro_step_seconds(full, make_setting(), H100, 330)
    assert micro_step_seconds(full, make_setting(3, Offload.PARAMETERS), H100, 330) > alone
    on_device, on_host = (
        optimizer_seconds(full, make_setting(s, o), H100) for s, o in ((0, Offload.NONE), (2, Offload.OPTIMIZER))
    )
    assert on_host > 10 * on_device


def test_stepping_in_ram_is_bound_by_few_cores_and_else_by_the_ram() -> None:
    setting = make_setting(2, Offload.OPTIMIZER)
    few, many, more = (host_adam_seconds(1e9, setting, replace(H100, cores=n)) for n in (4, 64, 128))
    assert few == pytest.approx(2.5)
    assert many == more == pytest.approx(0.44)


def test_processes_of_a_node_share_its_cores_and_its_ram() -> None:
    one, eight = (host_adam_seconds(1e9, make_setting(2, Offload.OPTIMIZER, world=n), H100) for n in (1, 8))
    assert eight == pytest.approx(8 * one)


@pytest.mark.parametrize(
    ("stage", "times"),
    [pytest.param(0, 0, id="ddp"), pytest.param(1, 0, id="zero-1"), pytest.param(2, 1, id="zero-2"),
     pytest.param(3, 3, id="zero-3")],
)  # fmt: skip
def test_each_zero_stage_moves_its_share_in_every_micro_step(stage: int, times: int) -> None:
    full = work(Method.FULL)
    # seven eighths of 16-bit weights, over NVLink at 0.4 of 450e9 bytes a second
    once = 2 * full.parameters * 7 / 8 / 180e9
    assert traffic_seconds(full, make_setting(stage, world=8), H100) == pytest.approx(times * once)


def test_zero_3_gathers_4_bit_weights_as_they_are() -> None:
    lora, qlora = (traffic_seconds(work(m), make_setting(3, world=2), H100) for m in (Method.LORA, Method.QLORA))
    assert 0.3 < qlora / lora < 0.45


def test_only_zero_3_hides_traffic_behind_computing() -> None:
    full = work(Method.FULL)
    for stage, hidden in ((2, False), (3, True)):
        setting = make_setting(stage, world=8, micro_batch=4)
        compute = max(device_seconds(full, setting, H100, 2048), launch_seconds(full, setting))
        together = compute + traffic_seconds(full, setting, H100)
        assert (micro_step_seconds(full, setting, H100, 2048) < 0.999 * together) is hidden


def test_nodes_talk_more_slowly_than_devices_of_one() -> None:
    full = work(Method.FULL)
    near, far = (make_setting(3, world=16, ranks_per_node=n) for n in (16, 8))
    assert micro_step_seconds(full, far, H100, 330) > micro_step_seconds(full, near, H100, 330)


def test_more_devices_need_less_time_for_the_same_rows() -> None:
    workload, data = make_workload(), level(4096)
    one = measure_pace(workload, make_setting(accumulation=16, length=4096), H100, data, "3")
    eight = measure_pace(workload, make_setting(world=8, accumulation=2, length=4096), H100, data, "3")
    assert one.steps == eight.steps
    assert 6 < one.seconds / eight.seconds < 8.5


@pytest.mark.parametrize("node", [pytest.param(H100, id="gpu"), pytest.param(CPU, id="cpu")])
def test_settings_have_the_same_speed_together_as_alone(node: NodeClass) -> None:
    workload, data = make_workload(Method.FULL), make_data()
    settings = tuple(
        on(make_setting(micro_batch=m, accumulation=8 // m, checkpointing=c), node.device.accelerator)
        for m in (1, 2, 8)
        for c in Checkpointing
    )
    assert measure_paces(workload, settings, node, data, "2") == tuple(
        measure_pace(workload, s, node, data, "2") for s in settings
    )
    counted = work(Method.FULL)
    assert measure_pace(workload, settings[2], node, level(330), "2").step_seconds == pytest.approx(
        4 * micro_step_seconds(counted, settings[2], node, 330) + optimizer_seconds(counted, settings[2], node)
    )


def test_short_rows_end_to_end_take_fewer_passes_and_less_time() -> None:
    alone, packed = (make_workload(Method.LORA, SEVEN, recipe=recipe) for recipe in (OURS, PACKED))
    setting = make_setting(accumulation=16)
    slow, quick = (measure_pace(w, setting, H100, make_data(), "1") for w in (alone, packed))
    assert (quick.steps, quick.tokens) == (slow.steps, slow.tokens)
    # 16 rows of 330 tokens are about 3 lines of 2048
    assert quick.step_seconds < slow.step_seconds / 2
    assert quick.tokens_per_second > 2 * slow.tokens_per_second
    full, length = level(2048), setting.length
    assert measure_pace(packed, setting, H100, full, "1") == measure_pace(alone, setting, H100, full, "1")
    assert measure_pace(packed, setting, H100, full, "1").step_seconds == pytest.approx(
        16 * micro_step_seconds(work(), setting, H100, length) + optimizer_seconds(work(), setting, H100)
    )


def test_rows_by_length_are_padded_less_than_in_the_order_drawn() -> None:
    setting = make_setting(micro_batch=4, accumulation=16)
    once = measure_pace(make_workload(Method.LORA, SEVEN), setting, H100, make_data(), "1")
    drawn = 16 * micro_step_seconds(work(), setting, H100, padded_length(make_data(), 4))
    assert once.step_seconds < drawn


def test_devices_that_packing_leaves_no_line_for_make_nothing_faster() -> None:
    packed = make_workload(Method.LORA, SEVEN, recipe=PACKED)
    four, sixteen = (
        measure_pace(packed, make_setting(world=n, accumulation=16 // n), H100, make_data(), "1") for n in (4, 16)
    )
    assert sixteen.step_seconds == pytest.approx(four.step_seconds, rel=0.05)
    # a device for each row: a line is only longer than that
    alone = make_workload(Method.LORA, SEVEN, recipe=OURS)
    setting = make_setting(world=16)
    assert measure_pace(alone, setting, H100, make_data(), "1").step_seconds < sixteen.step_seconds


@pytest.mark.parametrize(
    ("method", "setting", "product", "spread"),
    [
        pytest.param(Method.LORA, make_setting(), "NVIDIA H100", ONE_DEVICE, id="one-device"),
        pytest.param(Method.QLORA, make_setting(world=2), "NVIDIA H100", QUANTIZED, id="4-bit"),
        pytest.param(Method.FULL, make_setting(1, world=8), "NVIDIA H100", SEVERAL, id="several"),
        pytest.param(Method.FULL, make_setting(2, Offload.OPTIMIZER), "NVIDIA H100", ASSUMED, id="offload"),
        pytest.param(Method.FULL, make_setting(1, world=16, ranks_per_node=8), "NVIDIA H100", ASSUMED, id="nodes"),
        pytest.param(Method.DORA, make_setting(), "NVIDIA H100", ASSUMED, id="dora"),
        pytest.param(Method.LORA, make_setting(), "NVIDIA L4", ASSUMED, id="no-ceiling"),
        pytest.param(Method.LORA, make_setting(), "unheard of", ASSUMED, id="unknown-product"),
    ],
)
def test_an_estimate_is_as_wide_as_runs_like_it_are_off(
    method: Method, setting: Setting, product: str, spread: Spread
) -> None:
    assert spread_of(work(method), setting, make_gpus(80, product=product)) == spread


def test_speed_time_and_cost_are_intervals_around_the_same_middle() -> None:
    pace = Pace(step_seconds=2, steps=900, tokens=360_000, spread=Spread(0.5, 2))
    assert (pace.duration.low, pace.duration.mid, pace.duration.high) == (900, 1800, 3600)
    assert (pace.speed.low, pace.speed.mid, pace.speed.high) == (100, 200, 400)
    cost = pace.cost(10)
    assert (cost.low, cost.mid, cost.high) == (2.5, 5, 10)


@pytest.mark.parametrize(
    ("objective", "times"),
    [
        pytest.param(Objective.SFT, 1, id="one-answer"),
        pytest.param(Objective.ORPO, 2, id="two-answers"),
        pytest.param(Objective.DPO, 2 * 4 / 3, id="two-answers-and-a-reference"),
        pytest.param(Objective.KTO, 2, id="a-reference-twice-and-a-look-aside"),
    ],
)
def test_answers_and_references_take_their_time(objective: Objective, times: float) -> None:
    even, node = make_data(longest=4096, p50=4096, p95=4096, mean=4096), make_gpus(80)
    setting = make_setting(length=4096, checkpointing=Checkpointing.NONE)
    once, found = (
        measure_pace(make_workload(Method.LORA, SEVEN, o), setting, node, even, "1").seconds
        for o in (Objective.SFT, objective)
    )
    assert found / once == pytest.approx(times, rel=0.02)


def test_32_bits_cost_a_geforce_less_than_a_data_centre_card() -> None:
    shares = [
        device_seconds(work(), make_setting(precision=PrecisionUsed.FP32), node, 4096)
        / device_seconds(work(), make_setting(), node, 4096)
        for node in (
            make_gpus(24, product="NVIDIA GeForce RTX 4090", peak_flops=165e12),
            make_gpus(80, product="NVIDIA H100 80GB HBM3", peak_flops=989e12),
        )
    ]
    assert shares[0] < 2.5
    assert shares[1] > 8
