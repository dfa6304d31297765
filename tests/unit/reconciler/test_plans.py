"""Plans are made once for equal questions, and anew for every other one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from finetune_operator.api.spec import FineTuneJobSpec
from finetune_operator.exceptions import DatasetInvalidError
from finetune_operator.lifecycle.facts import facts_of
from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.facts import Facts
from finetune_operator.planner.plan import PlanSet
from finetune_operator.planner.planner import plan
from finetune_operator.reconciler.plans import UNASKED, PlanCache
from tests.unit.lifecycle.worlds import GPUS, make_cluster_job, make_inspection
from tests.unit.planner.builders import make_capacity, make_cpu, make_gpus

SPEC = make_cluster_job().spec
FACTS = facts_of(make_inspection())
CAPACITY = make_capacity(GPUS, make_gpus(24, 4, 2), make_cpu())

Asked = tuple[FineTuneJobSpec, Facts, Capacity]


class Counted:
    """The planner, and how often it was asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, spec: FineTuneJobSpec, facts: Facts, capacity: Capacity) -> PlanSet:
        self.times += 1
        return plan(spec, facts, capacity)


def spec(**changes: Any) -> FineTuneJobSpec:
    return make_cluster_job(**changes).spec


def busier(capacity: Capacity) -> Capacity:
    first, *others = capacity.classes
    return replace(capacity, classes=(replace(first, free_devices=((8, 1), (1, 1))), *others))


def more_rows(facts: Facts) -> Facts:
    return replace(facts, dataset=replace(facts.dataset, rows=facts.dataset.rows + 1))


def wider(facts: Facts) -> Facts:
    return replace(facts, model=replace(facts.model, config={**facts.model.config, "vocab_size": 200_000}))


CHANGES: dict[str, Callable[[Asked], Asked]] = {
    "method": lambda a: (spec(method="LoRA"), *a[1:]),
    "option": lambda a: (spec(plan={"option": "full-8x80g"}), *a[1:]),
    "training": lambda a: (spec(training={"batchSize": 32}), *a[1:]),
    "adapter": lambda a: (spec(adapter={"rank": 64}), *a[1:]),
    "limit": lambda a: (spec(hardware={"memoryMargin": "0.2"}), *a[1:]),
    "objective": lambda a: (spec(objective="DPO"), *a[1:]),
    "rows": lambda a: (a[0], more_rows(a[1]), a[2]),
    "config": lambda a: (a[0], wider(a[1]), a[2]),
    "busier": lambda a: (*a[:2], busier(a[2])),
    "a class less": lambda a: (*a[:2], replace(a[2], classes=a[2].classes[1:])),
    "left out": lambda a: (*a[:2], replace(a[2], left_out={"cordoned": 1})),
    "notes": lambda a: (*a[:2], replace(a[2], notes={"something is assumed": 1})),
    "origin": lambda a: (*a[:2], replace(a[2], origin="elsewhere")),
}


def test_the_same_question_is_worked_out_once() -> None:
    counted = Counted()
    cached = PlanCache(counted)
    first = cached(SPEC, FACTS, CAPACITY)
    again = cached(spec(), facts_of(make_inspection()), replace(CAPACITY))
    assert counted.times == 1
    assert again.viable is first.viable


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_changes_is_planned_anew_and_what_was_is_still_known(name: str) -> None:
    counted = Counted()
    cached = PlanCache(counted)
    asked = (SPEC, FACTS, CAPACITY)
    cached(*asked)
    other = CHANGES[name](asked)
    assert cached(*other) == plan(*other)
    assert counted.times == 2
    assert cached(*asked).viable == plan(*asked).viable
    assert counted.times == 2


def test_an_answer_that_was_kept_is_the_whole_answer() -> None:
    cached = PlanCache(plan)
    asked = (spec(plan={"option": "lora-1x24g"}), FACTS, CAPACITY)
    cached(*asked)
    kept, whole = cached(*asked), plan(*asked)
    assert kept == whole
    assert len(kept.unlisted) > 0
    assert len(kept.other_rejected) + len(kept.rejected) > 0
    assert [kept.find(p.id) for p in whole.unlisted] == list(whole.unlisted)


def test_who_looks_at_the_lists_that_are_kept_costs_no_plan() -> None:
    counted = Counted()
    cached = PlanCache(counted)
    for _ in range(3):
        kept = cached(SPEC, FACTS, CAPACITY)
        assert kept.find("recommended") is kept.viable[0]
        assert kept.find(kept.viable[-1].id) is kept.viable[-1]
        assert kept.find(kept.rejected[0].option) is None
        assert kept.rejection(kept.rejected[0].option) is kept.rejected[0]
        assert kept.rejection("recommended") is None
    assert counted.times == 1


def test_jobs_that_differ_in_what_no_plan_depends_on_share_one() -> None:
    counted = Counted()
    cached = PlanCache(counted)
    other = spec(
        output={"volume": {"claimName": "others", "path": "else"}},
        restarts={"limit": 1},
        suspend=True,
        ttlSecondsAfterFinished=60,
        podTemplate={"priorityClassName": "high"},
    )
    assert {name for name in UNASKED if getattr(other, name) == getattr(SPEC, name)} == set()
    assert cached(other, FACTS, CAPACITY).viable is cached(SPEC, FACTS, CAPACITY).viable
    assert counted.times == 1
    assert plan(other, FACTS, CAPACITY) == plan(SPEC, FACTS, CAPACITY)


def test_what_was_not_asked_for_longest_is_forgotten() -> None:
    counted = Counted()
    cached = PlanCache(counted, most=2)
    one, two, three = ((replace(FACTS, dataset=replace(FACTS.dataset, rows=n))) for n in (10, 20, 30))
    for facts in (one, two, one, three, one):
        cached(SPEC, facts, CAPACITY)
    assert counted.times == 3
    cached(SPEC, two, CAPACITY)
    assert counted.times == 4


def test_a_question_that_makes_no_sense_is_refused_each_time() -> None:
    cached = PlanCache(plan)
    none = replace(FACTS, dataset=replace(FACTS.dataset, rows=0))
    for _ in range(2):
        with pytest.raises(DatasetInvalidError):
            cached(SPEC, none, CAPACITY)
