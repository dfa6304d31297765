"""Weights, gradients and optimizer state under ZeRO: the measured table, number by number."""

import pytest

from finetune_operator.api.spec import Method
from finetune_operator.api.status import Offload
from finetune_operator.planner.memory import estimate
from finetune_operator.planner.plan import PrecisionUsed
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
    lora = estimate(make_workload(Method.LORA, SEVENTY), make_setting(3, world=4))
    assert lora.weights + lora.gathered < make_workload(Method.LORA, SEVENTY).parameters
