"""Weights, gradients and optimizer state under ZeRO: the measured table, number by number."""

import pytest

from finetune_operator.api.spec import Accelerator, Method
from finetune_operator.api.status import Offload
from finetune_operator.planner.memory import estimate
from finetune_operator.planner.plan import PrecisionUsed
from finetune_operator.planner.recipe import EIGHT_BIT, OURS
from finetune_operator.planner.states import RANK_HOST, Sharding, device_states, host_bytes
from finetune_operator.planner.workload import Workload
from finetune_operator.planner.zero import reduce_bucket
from finetune_operator.units import GIB
from tests.unit.planner.builders import SEVENTY, TINY, make_setting, make_workload

P = 7_615_616_512
TABLE = 2 * 152_064 * 3584
"""Bytes of its largest tensor, in a file."""


def sharding(
    stage: int, world: int, offload: Offload = Offload.NONE, precision: PrecisionUsed = PrecisionUsed.BF16
) -> Sharding:
    return Sharding(stage=stage, offload=offload, world=world, precision=precision)


@pytest.fixture(scope="module")
def full() -> Workload:
    return make_workload(Method.FULL)


@pytest.mark.parametrize(
    ("stage", "world", "expected"),
    [
        pytest.param(0, 1, (2 * P, 12 * P, 2 * P, 6 * P), id="zero-0"),
        pytest.param(0, 4, (2 * P, 12 * P, 2 * P, 6 * P), id="zero-0-shares-nothing"),
        pytest.param(1, 4, (2 * P, 3 * P, 2 * P, 2 * P), id="zero-1"),
        pytest.param(2, 4, (2 * P, 3 * P, P // 2, 2 * P), id="zero-2"),
        pytest.param(3, 4, (P // 2, 3 * P, P // 2, P // 2 + 6_000_000_000), id="zero-3"),
        pytest.param(3, 8, (P // 4, 3 * P // 2, P // 4, P // 4 + 6 * (P // 8)), id="zero-3-one-sub-group"),
    ],
)
def test_full_training_in_16_bits(full: Workload, stage: int, world: int, expected: tuple[int, ...]) -> None:
    found = device_states(full, sharding(stage, world))
    assert (found.weights, found.optimizer, found.accumulated, found.step_gradients) == expected


def test_32_bits_alone_have_no_master_copy(full: Workload) -> None:
    found = device_states(full, sharding(0, 1, precision=PrecisionUsed.FP32))
    assert found.weights == 4 * P
    assert found.optimizer == 8 * P
    assert found.accumulated == found.step_gradients == 4 * P


def test_32_bits_under_zero_have_one(full: Workload) -> None:
    assert device_states(full, sharding(2, 2, precision=PrecisionUsed.FP32)).optimizer == 6 * P


TABLE_OF_TINY = 49_152 * 576
NORMS_OF_TINY = 61 * 576
MATRICES_OF_TINY = 134_515_008 - TABLE_OF_TINY - NORMS_OF_TINY


@pytest.mark.parametrize(("precision", "copy"), [(PrecisionUsed.BF16, 4), (PrecisionUsed.FP32, 0)])
def test_moments_in_8_bits_have_a_scale_for_each_block(precision: PrecisionUsed, copy: int) -> None:
    found = device_states(make_workload(Method.FULL, TINY, recipe=EIGHT_BIT), sharding(0, 1, precision=precision))
    wide = 8 * (TABLE_OF_TINY + NORMS_OF_TINY)
    assert found.optimizer == copy * 134_515_008 + wide + MATRICES_OF_TINY * 2 * 260 // 256


@pytest.mark.parametrize(
    ("rank", "wide"),
    [
        # 30 layers x (576 + 192 twice, 576 + 576 twice, 576 + 1536 thrice)
        pytest.param(1, 305_280, id="all-are-small"),
        # of 192 and 576 a side all, of 1536 none
        pytest.param(7, 7 * 30 * (2 * (576 + 192) + 2 * (576 + 576) + 3 * 576), id="but-the-longest"),
        pytest.param(64, 0, id="none"),
    ],
)
def test_small_matrices_of_adapters_stay_in_32_bits(rank: int, wide: int) -> None:
    assert make_workload(Method.LORA, TINY, recipe=EIGHT_BIT, rank=rank).wide_moments == wide


def test_what_a_cpu_unpacks_for_a_step_is_planned() -> None:
    plain, rounded = (
        estimate(make_workload(Method.FULL, TINY, recipe=recipe), make_setting(accelerator=Accelerator.CPU))
        for recipe in (OURS, EIGHT_BIT)
    )
    assert rounded.context - plain.context == 20 * TABLE_OF_TINY


def test_offloaded_optimizer_leaves_the_device(full: Workload) -> None:
    found = device_states(full, sharding(2, 1, Offload.OPTIMIZER))
    assert (found.optimizer, found.accumulated) == (0, 0)
    assert found.weights == 2 * P
    # the largest tensor comes back at the step
    assert found.step_gradients == 6 * full.architecture.embedding_parameters


def test_offloaded_weights_are_gathered_for_computing(full: Workload) -> None:
    found = device_states(full, sharding(3, 1, Offload.PARAMETERS))
    assert found.weights == 0
    assert 2 * 1_000_000_000 < found.gathered < 2 * P


def test_zero_3_alone_gathers_nothing(full: Workload) -> None:
    assert device_states(full, sharding(3, 1)).gathered == 0


def test_frozen_weights_are_shared_under_zero_3_only() -> None:
    lora = make_workload(Method.LORA)
    whole = 2 * lora.parameters
    assert [device_states(lora, sharding(s, 2)).weights for s in (0, 1, 2, 3)] == [whole, whole, whole, whole // 2]


def test_bucket_is_what_the_renderer_writes(full: Workload) -> None:
    hidden = full.architecture.hidden
    assert device_states(full, sharding(0, 2)).buckets == 0
    assert device_states(full, sharding(2, 2)).buckets == 2 * reduce_bucket(2, P, hidden)
    # under ZeRO-3 communication overlaps: two of them
    assert device_states(full, sharding(3, 2)).buckets == 4 * reduce_bucket(3, P, hidden)


def test_without_offloading_a_node_needs_its_processes_and_the_tensors_they_read(full: Workload) -> None:
    assert host_bytes(full, sharding(3, 8), 8, accumulates=True) == 8 * (RANK_HOST + TABLE)
    small = make_workload(Method.LORA, TINY)
    # its table of 49152 rows
    assert host_bytes(small, sharding(0, 1), 1, accumulates=True) == RANK_HOST + 2 * 49_152 * 576


def test_a_model_that_is_converted_is_in_ram_as_a_whole_with_each_process(full: Workload) -> None:
    half = sharding(0, 2, precision=PrecisionUsed.FP16)
    assert host_bytes(full, half, 2, accumulates=True) == 2 * (RANK_HOST + 2 * P)
    # rounded tensor by tensor, on the device
    packed = make_workload(Method.QLORA)
    assert host_bytes(packed, half, 2, accumulates=True) == 2 * (RANK_HOST + TABLE)


def test_routed_experts_are_put_together_in_ram_by_each_process() -> None:
    mixtral = make_workload(Method.LORA, "mistralai/Mixtral-8x7B-v0.1")
    experts = 32 * 8 * 3 * 4096 * 14_336
    found = host_bytes(mixtral, sharding(3, 2), 2, accumulates=True)
    assert found == 2 * (RANK_HOST + 2 * (experts + mixtral.architecture.largest_tensor))


def test_optimizer_state_comes_after_the_weights_have_been_read() -> None:
    lora = make_workload(Method.LORA)
    state = host_bytes(lora, sharding(2, 1, Offload.OPTIMIZER), 1, accumulates=False)
    assert state == RANK_HOST + TABLE


def test_pinned_buffers_are_rounded_up_to_powers_of_two(full: Workload) -> None:
    found = host_bytes(full, sharding(2, 1, Offload.OPTIMIZER), 1, accumulates=False)
    # master copy and gradients of 28.4 GiB become 32 each; moments and the 16-bit copy stay as they are
    assert found == RANK_HOST + 2 * 32 * GIB + 10 * P


def test_accumulating_keeps_gradients_in_ram(full: Workload) -> None:
    sharded = sharding(2, 2, Offload.OPTIMIZER)
    once, often = (host_bytes(full, sharded, 2, accumulates=a) for a in (False, True))
    assert often - once == 2 * 2 * (P // 2)


def test_offloaded_frozen_weights_are_pinned_one_by_one() -> None:
    lora = make_workload(Method.LORA)
    found = host_bytes(lora, sharding(3, 1, Offload.PARAMETERS), 1, accumulates=False)
    assert 2 * lora.parameters < found - RANK_HOST - TABLE < 4 * lora.parameters


def test_four_bit_weights_are_whole_before_zero_3_divides_them() -> None:
    workload = make_workload(Method.QLORA, SEVENTY)
    alone, divided = (estimate(workload, make_setting(stage, world=4)) for stage in (0, 3))
    assert divided.device_total > 0.9 * (alone.weights + alone.context)


@pytest.mark.parametrize("offload", [Offload.NONE, Offload.PARAMETERS])
@pytest.mark.parametrize("method", [Method.FULL, Method.LORA, Method.DORA])
def test_weights_in_16_bits_are_whole_on_no_device_that_zero_3_divides_them_among(
    method: Method, offload: Offload
) -> None:
    workload = make_workload(method, SEVENTY)
    assert device_states(workload, sharding(3, 8, offload)).undivided == 0
    of_eight = estimate(workload, make_setting(3, world=8, offload=offload))
    assert of_eight.weights + of_eight.gathered < 2 * workload.parameters // 8 + 5 * 10**9
