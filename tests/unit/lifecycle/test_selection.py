"""What is chosen, what is asked, what is refused."""

from typing import Any

import pytest

from finetune_operator.api.status import Offload
from finetune_operator.exceptions import InfeasibleError, UnknownOptionError
from finetune_operator.lifecycle.selection import select
from finetune_operator.planner.plan import Advice, Hardware, PlanSet, Rejection, RejectionReason
from finetune_operator.units import GIB, Bytes
from tests.support.plans import make_class, make_device, make_plan

HARDWARE = Hardware(
    option="full-z3-4x80g",
    zero_stage=3,
    offload=Offload.NONE,
    devices=4,
    nodes=1,
    memory=Bytes(80 * GIB),
    cores=32,
    ram=Bytes(256 * GIB),
    disk=Bytes(500 * GIB),
)
FULL = Rejection(
    option="full-1x24g",
    reason=RejectionReason.OUT_OF_MEMORY,
    message="needs 118.2 GiB a device, a device has 24.0 GiB free",
    remedy="would fit: dataset.maxLength 512",
    advice=Advice(minimum=HARDWARE, recommended=HARDWARE),
)


def plans(*ids: str, **changes: Any) -> PlanSet:
    values = {"viable": tuple(make_plan(id=i) for i in ids), "rejected": (FULL,), "advice": None}
    return PlanSet(**values | changes)


def test_an_option_that_fits_is_taken() -> None:
    found = select(plans("lora-1x24g", "lora-1x40g"), "lora-1x40g", "this machine")
    assert found is not None
    assert found.id == "lora-1x40g"


def test_with_several_and_no_choice_somebody_has_to_choose() -> None:
    assert select(plans("lora-1x24g", "lora-1x40g"), None, "this machine") is None


def test_a_single_option_is_no_choice() -> None:
    found = select(plans("lora-1x24g"), None, "this machine")
    assert found is not None


def test_recommended_is_an_approval_in_advance() -> None:
    found = select(plans("lora-1x24g", "lora-1x40g"), "recommended", "this machine")
    assert found is not None
    assert found.id == "lora-1x24g"


def test_an_impossible_option_is_refused_with_need_have_and_hardware() -> None:
    with pytest.raises(InfeasibleError) as error:
        select(plans("lora-1x24g"), "full-1x24g", "this machine")
    assert str(error.value) == (
        "option full-1x24g needs 118.2 GiB a device, a device has 24.0 GiB free; would fit: dataset.maxLength 512; it "
        "takes at least 4 devices of 80.0 GiB with 32 cores, 256.0 GiB RAM and 500.0 GiB disk (full-z3-4x80g)"
    )


def test_an_unknown_option_is_answered_with_those_there_are() -> None:
    with pytest.raises(UnknownOptionError, match=r"isn't one of those .* choose one of lora-1x24g"):
        select(plans("lora-1x24g"), "lora-9x24g", "this machine")


@pytest.mark.parametrize("asked", [None, "recommended", "lora-9x24g"])
def test_nothing_viable_is_said_with_the_hardware_it_takes(asked: str | None) -> None:
    nothing = plans(advice=Advice(minimum=HARDWARE, recommended=HARDWARE))
    with pytest.raises(InfeasibleError, match=r"nothing that the job allows is viable on fleet.yaml.*4 devices of"):
        select(nothing, asked, "fleet.yaml")


def test_a_choice_stands_when_equal_devices_come_to_be_on_nodes_that_differ() -> None:
    found = plans("lora-1x24g-a", "lora-1x24g-b")
    assert select(found, "lora-1x24g", "the cluster") == found.viable[0]


def test_a_choice_that_could_mean_two_devices_or_two_ways_is_asked_for_again() -> None:
    other = make_class(device=make_device(product="another"))
    devices = plans(viable=(make_plan(id="lora-1x24g-a"), make_plan(id="lora-1x24g-b", node_class=other)))
    ways = plans(viable=(make_plan(id="lora-1x24g-a"), make_plan(id="lora-1x24g-b", zero_stage=3)))
    for found in (devices, ways):
        with pytest.raises(UnknownOptionError):
            select(found, "lora-1x24g", "the cluster")
