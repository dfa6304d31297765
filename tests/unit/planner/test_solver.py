"""Micro-batch, accumulation and checkpointing are found, not guessed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.api.spec import Accelerator, Method, PrecisionChoice
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.capacity import NodeClass
from finetune_operator.planner.memory import estimate
from finetune_operator.planner.plan import PrecisionUsed
from finetune_operator.planner.solver import (
    MARGIN,
    MAX_TOKENS,
    Place,
    fits,
    is_tight,
    resolve_precision,
    settings_of,
    solve,
)
from finetune_operator.planner.speed import measure_pace
from finetune_operator.units import GIB, Bytes
from tests.unit.planner.builders import SEVEN, TINY, make_cpu, make_data, make_gpus, make_workload


def place(node_class: NodeClass, devices: int = 1, stage: int = 0, offload: Offload = Offload.NONE) -> Place:
    return Place(
        node_class=node_class,
        stage=stage,
        offload=offload,
        nodes=1,
        devices_per_node=devices,
        precision=PrecisionUsed.BF16,
    )


def test_with_room_nothing_is_computed_twice() -> None:
    found = solve(make_workload(Method.LORA, TINY), place(make_gpus(80)), make_data(longest=512), 16, "3")
    assert found.setting.checkpointing is Checkpointing.NONE


def test_with_less_room_it_is() -> None:
    found = solve(make_workload(Method.LORA, SEVEN), place(make_gpus(24)), make_data(), 16, "3")
    assert found.setting.checkpointing is Checkpointing.FULL
    assert fits(found.memory, place(make_gpus(24)))


def test_of_equally_fast_settings_the_smallest_is_taken() -> None:
    # long rows fill a processor one by one: more of them at once only cost memory
    even = make_data(longest=1024, p50=1024, p95=1024, mean=1024)
    found = solve(make_workload(Method.LORA, TINY), place(make_cpu(80)), even, 16, "3")
    assert (found.setting.micro_batch, found.setting.accumulation) == (1, 16)


def test_a_little_time_is_given_for_room() -> None:
    workload, gpus = make_workload(Method.LORA, SEVEN), make_gpus(22)
    found = solve(workload, place(gpus), make_data(), 16, "3")
    assert not is_tight(found.total, gpus.device)
    paces = [(measure_pace(workload, s, gpus, make_data(), "3").seconds, s) for s in settings_of(place(gpus), 2048, 16)]
    quicker = [s for seconds, s in paces if seconds < found.pace.seconds and fits(estimate(workload, s), place(gpus))]
    assert quicker
    assert all(is_tight(estimate(workload, s).device_total, gpus.device) for s in quicker)


def test_where_nothing_fits_the_least_need_is_told() -> None:
    workload, there = make_workload(Method.LORA, SEVEN), place(make_gpus(17))
    found = solve(workload, there, make_data(), 16, "3")
    assert not fits(found.memory, there)
    assert found.setting.micro_batch == 1
    assert found.setting.checkpointing is Checkpointing.FULL


def test_state_alone_can_be_too_much() -> None:
    found = solve(make_workload(Method.FULL, SEVEN), place(make_gpus(24)), make_data(), 16, "3")
    assert found.memory.device_total > 140 * GIB


@given(st.integers(1, 64), st.sampled_from((1, 2, 4, 8)), st.integers(16, 40_000))
def test_every_setting_shares_the_batch_exactly(rows: int, devices: int, longest: int) -> None:
    batch = rows * devices
    found = settings_of(place(make_gpus(80), devices), longest, batch)
    assert {s.micro_batch * s.accumulation * s.sharding.world for s in found} == {batch}
    assert all(s.micro_batch == 1 or s.micro_batch * longest <= MAX_TOKENS for s in found)
    assert {s.checkpointing for s in found} == set(Checkpointing)


@given(st.floats(1, 80), st.sampled_from((1, 8, 16)))
def test_what_is_found_fits_or_is_the_least(gib: float, batch: int) -> None:
    workload, there = make_workload(Method.LORA, TINY), place(make_gpus(gib))
    found = solve(workload, there, make_data(), batch, "1")
    smallest = min(
        solve(workload, place(make_gpus(1)), make_data(), batch, "1").memory.device_total,
        found.memory.device_total,
    )
    assert fits(found.memory, there) or found.memory.device_total == smallest


def test_exactly_full_fits_and_a_byte_less_does_not() -> None:
    gpus = make_gpus(80)
    need = solve(make_workload(Method.LORA, TINY), place(gpus), make_data(longest=512), 1, "3").memory
    enough = -int(-need.device_total // (1 - MARGIN))
    exact, short = (place(replace(gpus, device=replace(gpus.device, free=Bytes(enough + n)))) for n in (1, -2))
    assert fits(need, exact)
    assert not fits(need, short)


@pytest.mark.parametrize(
    ("choice", "kind", "bf16", "expected"),
    [
        pytest.param("Auto", "GPU", True, "BF16", id="auto-new-gpu"),
        pytest.param("Auto", "GPU", False, "FP16", id="auto-old-gpu"),
        pytest.param("Auto", "CPU", True, "BF16", id="auto-new-cpu"),
        pytest.param("Auto", "CPU", False, "FP32", id="auto-old-cpu"),
        pytest.param("BF16", "GPU", False, None, id="bf16-old-gpu"),
        pytest.param("BF16", "CPU", False, None, id="bf16-old-cpu"),
        pytest.param("FP16", "GPU", True, "FP16", id="fp16-gpu"),
        pytest.param("FP16", "CPU", True, None, id="fp16-cpu"),
        pytest.param("FP32", "GPU", True, "FP32", id="fp32-gpu"),
        pytest.param("FP32", "CPU", False, "FP32", id="fp32-cpu"),
    ],
)
def test_precision(choice: str, kind: str, bf16: bool, expected: str | None) -> None:  # noqa: FBT001 a table's column
    node = make_gpus(24, bf16=bf16) if Accelerator(kind) is Accelerator.GPU else make_cpu(bf16=bf16)
    found = resolve_precision(PrecisionChoice(choice), node.device)
    assert found == (PrecisionUsed(expected) if expected else None)


def test_a_wider_margin_leaves_less_to_plan_with() -> None:
    gpus = make_gpus(20)
    usual, wide = (replace(place(gpus), margin=share) for share in (MARGIN, 0.5))
    assert usual.usable == int(19 * GIB)
    assert wide.usable == 10 * GIB


def test_old_gpus_leave_more_of_themselves() -> None:
    new, old = (settings_of(place(make_gpus(16, bf16=bf16)), 512, 4)[0] for bf16 in (True, False))
    assert new.context > old.context
