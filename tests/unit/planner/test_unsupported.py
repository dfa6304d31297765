"""Accelerators that nothing trains on yet."""

from dataclasses import replace

from finetune_operator.planner.capacity import UnsupportedDevices
from finetune_operator.planner.plan import RejectionReason
from finetune_operator.planner.planner import plan
from finetune_operator.planner.unsupported import without_support
from tests.unit.planner.builders import make_capacity, make_facts, make_gpus, make_spec

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
