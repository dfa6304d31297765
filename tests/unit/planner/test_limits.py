"""maxDuration, maxCost and maxHourlyCost."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.planner.candidates import Candidate, enumerate_candidates
from finetune_operator.planner.capacity import NodeClass
from finetune_operator.planner.checks import Verdict, judge
from finetune_operator.planner.cluster.labels import PRICE
from finetune_operator.planner.limits import too_expensive, too_slow
from finetune_operator.planner.plan import Rejection, RejectionReason
from finetune_operator.planner.question import Question, pose
from finetune_operator.planner.speed import Pace, num_steps
from tests.unit.planner.builders import TINY, make_capacity, make_data, make_facts, make_gpus, make_spec

PRICED = make_gpus(80, 8, price_per_device_hour=2.5)
HOUR = Pace(step_seconds=3.6, steps=1000, tokens=10_000_000)
"""16,000 rows in one epoch, 16 a step."""


def case(node_class: NodeClass = PRICED, **hardware: str) -> tuple[Question, Candidate]:
    """A question with those limits, and its candidate with two devices."""
    spec = make_spec(hardware=hardware, method="LoRA", training={"epochs": "1"})
    capacity = make_capacity(node_class)
    found = {c.id: c for c in enumerate_candidates(spec.method, spec.hardware, capacity)}
    return pose(spec, make_facts(TINY, make_data(rows=16_000)), capacity), found["lora-2x80g"]


def verdict(node_class: NodeClass, **hardware: str) -> Verdict:
    """The judgement of that candidate."""
    return judge(*case(node_class, **hardware))


def told(found: Rejection | None) -> tuple[RejectionReason, str, str]:
    """What a user reads."""
    assert found is not None
    return found.reason, found.message, found.remedy


def test_a_training_longer_than_allowed_is_told_with_the_epochs_that_fit() -> None:
    assert told(too_slow(*case(maxDuration="45m"), HOUR)) == (
        RejectionReason.TOO_SLOW,
        "needs 1h0m of training (36m0s to 1h42m); spec.hardware.maxDuration is 45m",
        'would fit: spec.training.epochs "0.7" (42m0s), or a larger maxDuration',
    )


def test_a_training_that_costs_more_than_allowed_is_told_with_the_epochs_that_fit() -> None:
    assert told(too_expensive(*case(maxCost="3"), HOUR)) == (
        RejectionReason.TOO_EXPENSIVE,
        "needs about 5.00 (3.00 to 8.50); spec.hardware.maxCost is 3",
        'would fit: spec.training.epochs "0.6" (36m0s), or a larger maxCost',
    )


def test_devices_that_cost_more_an_hour_than_allowed_are_told_with_how_many_fit() -> None:
    assert told(verdict(PRICED, maxHourlyCost="4").rejection) == (
        RejectionReason.TOO_EXPENSIVE,
        "needs 5.00 an hour (2 devices at 2.5); spec.hardware.maxHourlyCost is 4",
        "would fit: 1 such device",
    )


def test_nothing_is_proposed_where_nothing_fits() -> None:
    assert told(verdict(PRICED, maxHourlyCost="2").rejection)[2] == ""
    assert told(too_slow(*case(maxDuration="1s"), HOUR))[2] == ""


@pytest.mark.parametrize("field", ["maxCost", "maxHourlyCost"])
def test_without_a_price_no_limit_on_cost_is_taken_to_hold(field: str) -> None:
    unpriced = make_gpus(80, 8, product="NVIDIA H100", name="h100")
    assert told(verdict(unpriced, **{field: "1000000"}).rejection) == (
        RejectionReason.PRICE_UNKNOWN,
        f"needs a price, which h100 (NVIDIA H100) has not; spec.hardware.{field} can't be judged without one",
        f"write pricePerDeviceHour in the nodes file or the label {PRICE} on the nodes, or remove {field}",
    )


@pytest.mark.parametrize(
    "hardware",
    [
        pytest.param({}, id="none"),
        pytest.param({"maxDuration": "1h"}, id="exactly-as-long"),
        pytest.param({"maxCost": "5"}, id="exactly-as-much"),
    ],
)
def test_the_middle_of_the_estimate_decides(hardware: dict[str, str]) -> None:
    asked = case(PRICED, **hardware)
    assert too_slow(*asked, HOUR) is None
    assert too_expensive(*asked, HOUR) is None


def test_limits_that_hold_leave_an_option_viable() -> None:
    assert verdict(PRICED, maxDuration="900h", maxCost="100000", maxHourlyCost="5").rejection is None


def test_no_limit_needs_no_price() -> None:
    assert verdict(make_gpus(80, 8), maxDuration="900h").rejection is None


def test_memory_is_told_before_time_and_money() -> None:
    small = make_gpus(80, 8, free=1, price_per_device_hour=2.5)
    assert told(verdict(small, maxDuration="1s", maxCost="0.001").rejection)[0] is RejectionReason.OUT_OF_MEMORY


def test_need_and_limit_never_read_the_same() -> None:
    nearly: dict[str, Any] = {"step_seconds": 3.60001}
    assert "needs 3600.0 s of training" in told(too_slow(*case(maxDuration="1h"), HOUR._replace(**nearly)))[1]
    assert "needs about 5.00001 (" in told(too_expensive(*case(maxCost="5"), HOUR._replace(**nearly)))[1]


def test_a_started_step_is_counted_in_what_is_proposed() -> None:
    question, candidate = case(maxDuration="25s")
    few = replace(question, data=make_data(rows=37))
    # three steps of 10 seconds an epoch: 0.8 epochs would take three, too
    found = too_slow(few, candidate, Pace(step_seconds=10, steps=3, tokens=1000))
    assert told(found)[2] == 'would fit: spec.training.epochs "0.6" (20s), or a larger maxDuration'


@given(st.integers(1, 40_000), st.integers(1, 100_000), st.floats(0.01, 100))
def test_proposed_epochs_do_fit(rows: int, allowed: int, step: float) -> None:
    pace = Pace(step_seconds=step, steps=num_steps(rows, 16, "1"), tokens=10_000_000)
    question, candidate = case(maxDuration=f"{allowed}s")
    found = too_slow(replace(question, data=make_data(rows=rows)), candidate, pace)
    if found is None:
        assert pace.seconds <= allowed
    elif proposed := re.search(r'epochs "([0-9.]+)"', found.remedy):
        assert step * num_steps(rows, 16, proposed[1]) <= allowed
