"""Hardware and changes that would do."""

from typing import Any

import pytest

from finetune_operator.api.spec import Method
from finetune_operator.planner.advice import RAM_FREE, advise, common_ram
from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.checks import HOST_RESERVE
from finetune_operator.planner.plan import Hardware, PlanSet
from finetune_operator.planner.planner import plan
from finetune_operator.planner.question import pose
from finetune_operator.planner.remedies import describe
from finetune_operator.units import GIB, Bytes
from tests.unit.planner.builders import (
    SEVEN,
    SEVENTY,
    make_capacity,
    make_cpu,
    make_data,
    make_facts,
    make_gpus,
    make_spec,
)


def advised(repo: str, method: Method, **fields: Any) -> tuple[Hardware, Hardware]:
    """Minimum and recommended."""
    question = pose(make_spec(method=method.value, **fields), make_facts(repo), make_capacity())
    found = advise(question)[method]
    return found.minimum, found.recommended


def phrases(repo: str, method: Method, **fields: Any) -> tuple[str, ...]:
    """Both in words."""
    return tuple(describe(h) for h in advised(repo, method, **fields))


@pytest.mark.parametrize(
    ("repo", "method", "minimum", "recommended"),
    [
        pytest.param(
            SEVEN,
            Method.LORA,
            "1 device of 16 GiB with ZeRO-3 and CPU offload (64 GiB RAM)",
            "1 device of 24 GiB",
            id="lora-7b",
        ),
        pytest.param(
            SEVEN,
            Method.FULL,
            "1 device of 16 GiB with ZeRO-3 and CPU offload (256 GiB RAM)",
            "2 devices of 96 GiB with ZeRO-3",
            id="full-7b",
        ),
        pytest.param(
            SEVENTY,
            Method.LORA,
            "1 device of 16 GiB with ZeRO-3 and CPU offload (256 GiB RAM)",
            "2 devices of 141 GiB with ZeRO-3",
            id="lora-70b",
        ),
    ],
)
def test_hardware_is_the_estimate_turned_round(repo: str, method: Method, minimum: str, recommended: str) -> None:
    assert phrases(repo, method) == (minimum, recommended)


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("repo", [SEVEN, SEVENTY])
def test_what_is_advised_would_be_viable(repo: str, method: Method) -> None:
    for hardware in advised(repo, method):
        free = hardware.memory / GIB * 0.93
        nodes = make_gpus(
            hardware.memory / GIB,
            hardware.devices // hardware.nodes,
            hardware.nodes,
            free=free,
            ram=hardware.ram,
            free_ram=Bytes(hardware.ram * 9 // 10),
            disk=hardware.disk,
        )
        facts = make_facts(repo)
        found = plan(make_spec(method=method.value), facts, make_capacity(nodes))
        assert found.find(hardware.option) is not None, hardware


def test_counts_that_the_job_fixes_are_kept() -> None:
    minimum, recommended = advised(SEVEN, Method.FULL, hardware={"nodes": 1, "devicesPerNode": 4})
    assert (minimum.devices, recommended.devices) == (4, 4)


def test_counts_share_the_batch() -> None:
    _, recommended = advised(SEVENTY, Method.LORA, training={"batchSize": 2})
    assert recommended.devices <= 2


def test_nothing_is_advised_where_nothing_would_do() -> None:
    question = pose(make_spec(method="Full", training={"batchSize": 1}), make_facts(SEVENTY), make_capacity())
    # a single device: all state in RAM, which the largest listed machine has
    assert advise(question)[Method.FULL].minimum.ram >= 1024 * GIB
    fixed = make_spec(method="Full", training={"batchSize": 3}, hardware={"devicesPerNode": 3})
    assert advise(pose(fixed, make_facts(SEVENTY), make_capacity())) == {}


def test_a_cpu_is_advised_more_ram() -> None:
    minimum, recommended = phrases(SEVEN, Method.FULL, hardware={"accelerator": "CPU"})
    assert minimum == "a machine with 256 GiB of RAM"
    assert recommended == "a machine with 256 GiB of RAM"


SEVENTEEN = make_capacity(make_gpus(17, 1, free=17.05, ram=Bytes(12 * GIB), free_ram=Bytes(10 * GIB)))


def rejected(option: str, capacity: Capacity, repo: str = SEVEN, **fields: Any) -> str:
    """The remedy of that option."""
    found: PlanSet = plan(make_spec(**fields), make_facts(repo), capacity)
    rejection = found.rejection(option)
    assert rejection is not None
    return rejection.remedy


@pytest.mark.parametrize(
    ("option", "capacity", "remedy"),
    [
        pytest.param(
            "lora-1x17g",
            make_capacity(make_gpus(17, 1, free=17.05, ram=Bytes(12 * GIB), free_ram=Bytes(10 * GIB))),
            "would fit: rank 4 (16.2 GiB, tight)",
            id="smaller-rank",
        ),
        pytest.param(
            "lora-1x24g",
            make_capacity(make_gpus(24, 1, free=12)),
            "would fit: the 12.0 GiB that others use of it, freed",
            id="freed",
        ),
        pytest.param(
            "full-1x80g",
            make_capacity(make_gpus(80, 2, ram=Bytes(64 * GIB), free_ram=Bytes(60 * GIB))),
            "would fit: 2 devices (full-z3-2x80g: 64.8 GiB a device, tight)",
            id="more-devices",
        ),
        pytest.param(
            "lora-1x12g",
            make_capacity(make_gpus(12, 1, ram=Bytes(16 * GIB), free_ram=Bytes(15 * GIB))),
            "would fit: QLoRA (qlora-1x12g: 7.5 GiB)",
            id="lighter-method",
        ),
        pytest.param(
            "full-1x24g",
            make_capacity(make_gpus(24, 1)),
            "would fit: CPU offload (full-z2-offload-1x24g: 19.1 GiB, 152.1 GiB of RAM a node)",
            id="offload",
        ),
        pytest.param(
            "full-1x24g",
            make_capacity(make_gpus(24, 1, ram=Bytes(64 * GIB), free_ram=Bytes(60 * GIB))),
            "would fit: 2 devices of 96 GiB with ZeRO-3",
            id="hardware",
        ),
        pytest.param(
            "full-z2-offload-1x24g",
            make_capacity(make_gpus(24, 1, ram=Bytes(64 * GIB), free_ram=Bytes(60 * GIB))),
            "would fit: nodes with 256 GiB of RAM",
            id="ram",
        ),
        pytest.param(
            "full-z2-offload-1x24g",
            make_capacity(make_gpus(24, 1, ram=Bytes(256 * GIB), free_ram=Bytes(60 * GIB))),
            "would fit: the 196.0 GiB of RAM that others use of it, freed",
            id="ram-freed",
        ),
        pytest.param(
            "full-cpu",
            make_capacity(make_cpu(24)),
            "would fit: 2 devices of 96 GiB with ZeRO-3",
            id="cpu",
        ),
    ],
)
def test_remedy_is_the_smallest_change(option: str, capacity: Capacity, remedy: str) -> None:
    assert rejected(option, capacity) == remedy


@pytest.mark.parametrize(
    ("option", "remedy"),
    [
        pytest.param("full-z2-offload-2x80g", "without offloading with ZeRO-3", id="less-in-ram"),
        pytest.param("full-z2-offload-1x80g", "2 devices", id="more-devices"),
    ],
)
def test_a_lack_of_ram_is_mended_by_less_of_it(option: str, remedy: str) -> None:
    node = make_gpus(80, 2, ram=Bytes(64 * GIB), free_ram=Bytes(60 * GIB))
    found = rejected(option, make_capacity(node), plan={"option": option})
    assert found == f"would fit: {remedy} (full-z3-2x80g: 8.0 GiB of RAM a node)"


def test_hardware_that_is_advised_passes_the_check_of_ram() -> None:
    for host in (GIB, 8 * GIB, 13 * GIB, 14 * GIB, 152 * GIB, 5000 * GIB):
        assert host <= common_ram(host) * RAM_FREE * (1 - HOST_RESERVE)


SEVEN_GIB = make_capacity(make_gpus(7, 1))
SMALLEST = {"rank": 4}


def test_shorter_rows_are_a_remedy_and_help() -> None:
    remedy = rejected("qlora-1x7g", SEVEN_GIB, adapter=SMALLEST)
    assert remedy.startswith("would fit: maxLength 1024 (6.")
    shorter = make_facts(SEVEN, make_data(longest=1024))
    assert plan(make_spec(adapter=SMALLEST), shorter, SEVEN_GIB).find("qlora-1x7g") is not None


def test_a_smaller_rank_helps() -> None:
    assert "rank 4" in rejected("lora-1x17g", SEVENTEEN)
    assert plan(make_spec(adapter=SMALLEST), make_facts(SEVEN), SEVENTEEN).find("lora-1x17g") is not None


def test_a_higher_stage_shares_out_more() -> None:
    gpus = make_capacity(make_gpus(80, 2, ram=Bytes(64 * GIB), free_ram=Bytes(60 * GIB)))
    remedy = rejected("full-2x80g", gpus, hardware={"devicesPerNode": 2})
    assert remedy.startswith("would fit: ZeRO-3 (full-z3-2x80g: 64.")


def test_shortening_below_half_of_the_rows_is_not_proposed() -> None:
    long_rows = make_facts(SEVEN, make_data(p50=1800, p95=2000, mean=1700))
    found = plan(make_spec(adapter=SMALLEST), long_rows, SEVEN_GIB).rejection("qlora-1x7g")
    assert found is not None
    assert "maxLength" not in found.remedy


def test_a_method_that_is_not_asked_about_is_a_remedy() -> None:
    gpus = make_capacity(make_gpus(24, 1, ram=Bytes(16 * GIB), free_ram=Bytes(15 * GIB)))
    assert rejected("full-1x24g", gpus, method="Full").startswith("would fit: LoRA (lora-1x24g: ")


def test_devices_beyond_what_the_job_fixes_are_a_remedy() -> None:
    gpus = make_capacity(make_gpus(80, 8, ram=Bytes(64 * GIB), free_ram=Bytes(60 * GIB)))
    found = rejected("full-1x80g", gpus, method="Full", hardware={"devicesPerNode": 1})
    assert found.startswith("would fit: ")
    assert "devices (full-z" in found


def test_where_nodes_are_advised_they_are_counted() -> None:
    asked = {"hardware": {"memoryMargin": "0.03"}}
    assert phrases(SEVENTY, Method.FULL, **asked)[1] == "2 nodes with 8 devices of 141 GiB each with ZeRO-3"


def test_no_more_devices_are_advised_than_can_be_used_together() -> None:
    capacity = make_capacity(make_gpus(24, 1, ram=Bytes(64 * GIB), free_ram=Bytes(60 * GIB)), max_devices=1)
    advice = plan(make_spec(method="Full"), make_facts(SEVEN), capacity).advice
    assert advice is not None
    assert (advice.minimum.devices, advice.recommended.devices) == (1, 1)
    assert describe(advice.recommended) == "1 device of 16 GiB with ZeRO-3 and CPU offload (256 GiB RAM)"


def test_very_short_rows_cannot_be_shortened() -> None:
    tiny_rows = make_facts(SEVEN, make_data(longest=1, p50=1, p95=1, mean=1))
    found = plan(make_spec(), tiny_rows, make_capacity(make_gpus(8, 1))).rejection("lora-1x8g")
    assert found is not None
    assert "maxLength" not in found.remedy


def test_other_hardware_is_not_advised_where_the_job_is_what_stands_in_the_way() -> None:
    spec = make_spec(training={"precision": "FP16"})
    found = plan(spec, make_facts(SEVEN), make_capacity(make_cpu(512)))
    assert found.viable == ()
    assert found.advice is None
