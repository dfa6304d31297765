"""Which ways are judged at all."""

from typing import Any

import pytest

from finetune_operator.api.spec import Accelerator, Hardware, Method, OptimizerChoice
from finetune_operator.api.status import Offload
from finetune_operator.planner.candidates import device_counts, enumerate_candidates, powers_of_two
from finetune_operator.planner.capacity import NodeClass
from tests.unit.planner.builders import make_capacity, make_cpu, make_fleet, make_gpus

ON_CPU = ["lora-cpu", "qlora-cpu", "dora-cpu", "full-cpu"]


def ids(method: Method | None, *classes: NodeClass, **hardware: Any) -> list[str]:
    """Ids of the candidates, in order."""
    capacity = make_capacity(*classes)
    return [c.id for c in enumerate_candidates(method, Hardware.model_validate(hardware), capacity)]


def test_one_gpu() -> None:
    assert ids(None, make_gpus(24, 1)) == [
        "lora-1x24g",
        "lora-z3-offload-1x24g",
        "qlora-1x24g",
        "dora-1x24g",
        "dora-z3-offload-1x24g",
        "full-1x24g",
        "full-z2-offload-1x24g",
        "full-z3-offload-1x24g",
    ]


def test_two_gpus_can_share() -> None:
    assert ids(Method.FULL, make_gpus(24, 2))[3:] == [
        "full-2x24g",
        "full-z1-2x24g",
        "full-z2-2x24g",
        "full-z3-2x24g",
        "full-z2-offload-2x24g",
        "full-z3-offload-2x24g",
    ]


@pytest.mark.parametrize("method", [Method.LORA, Method.DORA])
def test_an_adapters_own_state_is_not_worth_sharing(method: Method) -> None:
    name = method.value.lower()
    assert ids(method, make_gpus(24, 2))[2:] == [f"{name}-2x24g", f"{name}-z3-2x24g", f"{name}-z3-offload-2x24g"]


def test_moments_in_8_bits_are_neither_divided_nor_offloaded() -> None:
    capacity = make_capacity(make_gpus(24, 2))
    found = enumerate_candidates(None, Hardware(), capacity, OptimizerChoice.ADAMW_8BIT)
    assert {(c.zero_stage, c.offload) for c in found} == {(0, Offload.NONE)}
    assert [c.id for c in found if c.method is Method.FULL] == ["full-1x24g", "full-2x24g"]


def test_four_bit_weights_are_shared_but_not_offloaded() -> None:
    assert ids(Method.QLORA, make_gpus(24, 2)) == ["qlora-1x24g", "qlora-2x24g", "qlora-z3-2x24g"]


def test_a_cpu_is_one_device_and_offloads_nothing() -> None:
    assert ids(None, make_cpu()) == ON_CPU


def test_only_the_kind_that_is_asked_for() -> None:
    assert ids(None, make_cpu(), make_gpus(24, 1), accelerator=Accelerator.CPU) == ON_CPU
    assert all("cpu" not in i for i in ids(None, make_cpu(), make_gpus(24, 1), accelerator=Accelerator.GPU))


@pytest.mark.parametrize(
    ("node_class", "hardware", "expected"),
    [
        pytest.param(make_gpus(24, 8), {}, ((1, 1), (1, 2), (1, 4), (1, 8)), id="powers-of-two"),
        pytest.param(make_gpus(24, 6), {}, ((1, 1), (1, 2), (1, 4)), id="odd-number"),
        pytest.param(make_gpus(24, 2, 5), {}, ((1, 1), (1, 2), (2, 2), (4, 2)), id="several-nodes-only-whole"),
        pytest.param(make_gpus(24, 8, 2), {"devices_per_node": 4}, ((1, 4),), id="part-of-a-node"),
        pytest.param(make_gpus(24, 4, 2), {"devices_per_node": 4}, ((1, 4), (2, 4)), id="whole-node"),
        pytest.param(make_gpus(24, 4, 2), {"nodes": 2}, ((2, 4),), id="nodes-fixed"),
        pytest.param(make_gpus(24, 4, 2), {"nodes": 1}, ((1, 1), (1, 2), (1, 4)), id="one-node"),
        pytest.param(make_gpus(24, 4, 2), {"nodes": 2, "devices_per_node": 3}, ((2, 3),), id="all-fixed"),
        pytest.param(make_gpus(24, 2), {"devices_per_node": 8}, ((1, 8),), id="more-than-there-is"),
        pytest.param(make_cpu(nodes=4), {}, ((1, 1),), id="cpu"),
        pytest.param(make_cpu(nodes=4), {"nodes": 3}, ((3, 1),), id="cpu-nodes-fixed"),
    ],
)
def test_counts(node_class: NodeClass, hardware: dict[str, int], expected: tuple[tuple[int, int], ...]) -> None:
    assert device_counts(node_class, Hardware.model_validate(hardware)) == expected


def test_ids_are_unique() -> None:
    fleet = make_fleet()
    found = [c.id for c in enumerate_candidates(None, Hardware(), fleet)]
    assert len(found) == len(set(found)) > 50


def test_powers_of_two_stop_at_the_limit() -> None:
    assert powers_of_two(1) == (1,)
    assert powers_of_two(7) == (1, 2, 4)
    assert powers_of_two(8) == (1, 2, 4, 8)
