"""Which rejections are listed."""

import pytest

from finetune_operator.api.spec import Accelerator, Hardware
from finetune_operator.planner import rejections
from finetune_operator.planner.candidates import enumerate_candidates
from finetune_operator.planner.capacity import NodeClass
from finetune_operator.planner.checks import Verdict, judge
from finetune_operator.planner.plan import RejectionReason
from finetune_operator.planner.question import pose
from finetune_operator.planner.rejections import instructive, lack, without_devices
from tests.unit.planner.builders import SEVENTY, make_capacity, make_cpu, make_facts, make_gpus, make_spec


def verdicts(*classes: NodeClass) -> list[Verdict]:
    """Every candidate of a large model, judged."""
    capacity = make_capacity(*classes)
    question = pose(make_spec(), make_facts(SEVENTY), capacity)
    return [judge(question, c) for c in enumerate_candidates(None, Hardware(), capacity)]


def test_the_plainest_and_the_nearest_of_each_method_are_told() -> None:
    told, untold = instructive(verdicts(make_gpus(24, 8)), None)
    assert [r.option for r in told if r.option.startswith("lora")] == ["lora-z3-8x24g", "lora-1x24g"]
    assert all(r.option not in {t.option for t in told} for r in untold)


def test_nothing_is_lost() -> None:
    judged = verdicts(make_gpus(24, 8), make_gpus(40, 4))
    told, untold = instructive(judged, None)
    assert {r.option for r in (*told, *untold)} == {v.rejection.option for v in judged if v.rejection is not None}


def test_what_lacks_least_comes_first() -> None:
    told, _ = instructive(verdicts(make_gpus(24, 8)), None)
    assert [lack(r) for r in told] == sorted(lack(r) for r in told)


def test_the_chosen_one_comes_before_all() -> None:
    told, untold = instructive(verdicts(make_gpus(24, 8)), "full-z1-4x24g")
    assert told[0].option == "full-z1-4x24g"
    assert all(r.option != "full-z1-4x24g" for r in (*told[1:], *untold))


def test_no_more_are_told_than_status_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejections, "MAX_REJECTED", 3)
    judged = verdicts(make_gpus(24, 8))
    told, untold = instructive(judged, None)
    assert len(told) == 3
    assert len(told) + len(untold) == sum(v.rejection is not None for v in judged)


def test_what_would_be_said_again_is_said_once() -> None:
    told, untold = instructive(verdicts(make_gpus(24, 1), make_gpus(40, 1)), None)
    lora = next(r for r in told if r.option.startswith("lora-1x"))
    # the larger device lacks less; DoRA in the same shape, and the smaller device, are no news
    assert lora.option == "lora-1x40g"
    assert lora.likewise == ("lora-1x24g", "dora-1x40g", "dora-1x24g")
    assert {*lora.likewise} <= {r.option for r in untold}


def test_a_method_that_fits_has_only_its_plainest_way_told() -> None:
    told, _ = instructive(verdicts(make_gpus(146, 8)), None)
    assert [r.option for r in told if r.option.startswith("lora")] == ["lora-1x146g"]


def test_a_kind_of_device_that_is_not_there_is_told_once() -> None:
    (found,) = without_devices(Hardware(accelerator=Accelerator.GPU), make_capacity(make_cpu()))
    assert found.reason is RejectionReason.NOT_ENOUGH_DEVICES
    assert found.message == "needs a GPU; fleet.yaml has none (it has: EPYC)"
    assert found.remedy == "write spec.hardware.accelerator: CPU"


def test_a_kind_that_is_there_is_not() -> None:
    assert without_devices(Hardware(accelerator=Accelerator.CPU), make_capacity(make_cpu())) == ()
    assert without_devices(Hardware(), make_capacity(make_cpu())) == ()
