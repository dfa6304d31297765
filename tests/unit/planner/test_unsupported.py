"""Accelerators that nothing trains on yet."""

from dataclasses import replace

import pytest

from finetune_operator.planner.capacity import UnsupportedDevices
from finetune_operator.planner.plan import RejectionReason
from finetune_operator.planner.planner import plan
from finetune_operator.planner.unsupported import without_support
from finetune_operator.units import GIB, Bytes
from tests.unit.planner.builders import SEVEN, make_capacity, make_facts, make_gpus, make_spec

FOUND = UnsupportedDevices(kind="AMD GPU", product="AMD Instinct MI300X OAM", devices_per_node=8, nodes=2)


def test_what_is_there_and_why_it_is_not_used_is_told() -> None:
    (told,) = without_support(replace(make_capacity(), unsupported=(FOUND,)))
    assert (told.option, told.reason) == ("2x8xinstinct-mi300x-oam", RejectionReason.UNSUPPORTED_ACCELERATOR)
    assert told.message == (
        "fleet.yaml has 2 nodes with 8 x AMD Instinct MI300X OAM; no image of this version trains on that (AMD GPU)"
    )


def test_a_plan_tells_it_beside_what_it_can_use() -> None:
    found = plan(make_spec(), make_facts(), replace(make_capacity(make_gpus()), unsupported=(FOUND,)))
    assert found.viable
    assert found.rejected[-1].reason is RejectionReason.UNSUPPORTED_ACCELERATOR


@pytest.mark.parametrize("nvme", [True, False])
def test_offloading_to_nvme_is_refused_with_its_need_where_a_node_has_it(nvme: bool) -> None:  # noqa: FBT001  a case
    node = make_gpus(24, 1, ram=Bytes(64 * GIB), free_ram=Bytes(60 * GIB), nvme=nvme)
    found = plan(make_spec(method="Full"), make_facts(SEVEN), make_capacity(node))
    told = found.rejection("full-z3-nvme-1x24g")
    assert (told is not None) is nvme
    if told is not None:
        assert told.reason is RejectionReason.UNSUPPORTED_OFFLOAD
        assert told.need == 14 * 7_615_616_512
        assert "needs 99.3 GiB of NVMe a node" in told.message
        assert "without the optimizer's moments" in told.message


def test_nvme_is_no_word_where_ram_is_enough() -> None:
    found = plan(make_spec(method="Full"), make_facts(SEVEN), make_capacity(make_gpus(24, 1)))
    assert found.rejection("full-z3-nvme-1x24g") is None
