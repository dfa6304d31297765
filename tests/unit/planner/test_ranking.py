"""What is listed, in which order, and why."""

from typing import Any

import pytest

from finetune_operator.api.spec import Method
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.constants import MAX_OPTIONS
from finetune_operator.planner.capacity import NodeClass
from finetune_operator.planner.plan import Interval, MemoryEstimate, Plan, PrecisionUsed
from finetune_operator.planner.ranking import drop_dominated, rank, rank_key
from finetune_operator.units import GIB, Bytes
from tests.unit.planner.builders import make_gpus

NOTHING = Bytes(0)


def make_plan(name: str = "a", seconds: float = 3600, gib: float = 40, **overrides: Any) -> Plan:
    """A plan on one device of 80 GiB, of which only what ranking looks at is real."""
    memory = MemoryEstimate(
        weights=Bytes(int(gib * GIB)),
        gradients=NOTHING,
        optimizer=NOTHING,
        activations=NOTHING,
        logits=NOTHING,
        buckets=NOTHING,
        gathered=NOTHING,
        context=NOTHING,
        host=NOTHING,
    )
    fields: dict[str, Any] = {
        "method": Method.LORA,
        "zero_stage": 0,
        "offload": Offload.NONE,
        "node_class": make_gpus(80, 64),
        "nodes": 1,
        "devices_per_node": 1,
        "available": Bytes(80 * GIB),
        "tight": gib > 64,
    }
    return Plan(
        id=name,
        precision=PrecisionUsed.BF16,
        micro_batch=1,
        accumulation=1,
        checkpointing=Checkpointing.NONE,
        memory=memory,
        disk=NOTHING,
        total_parameters=1,
        trainable_parameters=1,
        learning_rate="1e-5",
        tokens_per_second=Interval(low=1, mid=1, high=1),
        seconds=Interval(low=seconds, mid=seconds, high=seconds),
        cost=None,
        quality="",
        best_for="",
        because="",
        **(fields | overrides),
    )


def node(name: str) -> NodeClass:
    """A class of that name."""
    return make_gpus(80, 64, name=name)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param(make_plan(seconds=9000), make_plan(seconds=1, method=Method.FULL), id="an-adapter-first"),
        pytest.param(make_plan(seconds=3000), make_plan(seconds=3001), id="faster-first"),
        pytest.param(make_plan(seconds=6000), make_plan(seconds=3000, gib=70), id="a-tight-one-counts-twice"),
        pytest.param(make_plan(seconds=3000, gib=70), make_plan(seconds=8000), id="but-no-more"),
        pytest.param(
            make_plan(seconds=36_000, devices_per_node=8), make_plan(seconds=288_000), id="long-runs-on-many-devices"
        ),
        pytest.param(make_plan(seconds=800), make_plan(seconds=100, devices_per_node=8), id="short-runs-on-one"),
        pytest.param(make_plan("a"), make_plan("b"), id="equal-ones-by-id"),
    ],
)
def test_order(better: Plan, worse: Plan) -> None:
    assert rank_key(better) < rank_key(worse)


def test_of_one_method_on_the_same_devices_the_fastest_stays() -> None:
    assert [p.id for p in drop_dominated([make_plan("slow", 4000), make_plan("fast", 3000)])] == ["fast"]


def test_of_equally_fast_ones_the_smaller_stays() -> None:
    found = drop_dominated([make_plan("large", 3000, 60), make_plan("small", 3050, 30), make_plan("slow", 3200, 10)])
    assert [p.id for p in found] == ["small"]


def test_beside_a_tight_one_a_roomy_one_stays() -> None:
    found = drop_dominated([make_plan("tight", 3000, 70), make_plan("roomy", 8000, 50), make_plan("more", 8500, 20)])
    assert [p.id for p in found] == ["tight", "roomy"]


def test_but_not_at_any_price() -> None:
    assert [p.id for p in drop_dominated([make_plan("tight", 3000, 70), make_plan("slow", 9001, 50)])] == ["tight"]


def test_other_methods_devices_and_classes_are_no_competition() -> None:
    plans = [
        make_plan("a", 3000),
        make_plan("b", 4000, method=Method.FULL),
        make_plan("c", 4000, devices_per_node=2),
        make_plan("d", 4000, nodes=2),
        make_plan("e", 4000, node_class=node("other")),
    ]
    assert {p.id for p in drop_dominated(plans)} == set("abcde")


def test_of_a_method_on_a_class_three_ways_are_listed_at_most() -> None:
    plans = [make_plan(f"x{n}", 36_000 / n**0.8, devices_per_node=n) for n in (1, 2, 4, 8, 16, 32)]
    listed, rest = rank(plans)
    # the best, the one with the fewest devices, the fastest
    assert [p.id for p in listed] == ["x16", "x32", "x1"]
    assert {p.id for p in (*listed, *rest)} == {p.id for p in plans}


def test_no_more_are_listed_than_status_holds() -> None:
    plans = [make_plan(f"p{n}", 3000 + n, node_class=node(f"n{n}")) for n in range(MAX_OPTIONS + 4)]
    listed, rest = rank(plans)
    assert [p.id for p in listed] == [f"p{n}" for n in range(MAX_OPTIONS)]
    assert len(rest) == 4


def test_where_there_are_too_many_second_ways_go_first() -> None:
    alone = [make_plan(f"p{n}", 3000 + n, node_class=node(f"n{n}")) for n in range(MAX_OPTIONS - 2)]
    full = [
        make_plan(f"full{d}", 36_000 / d**0.8, method=Method.FULL, node_class=node("n0"), devices_per_node=d)
        for d in (1, 16, 32)
    ]
    listed, _ = rank([*alone, *full])
    # the best of Full on its class, and the one with the fewest devices; the fastest is left out
    assert [p.id for p in listed if p.method is Method.FULL] == ["full16", "full1"]
    assert len(listed) == MAX_OPTIONS


def test_classes_of_the_same_name_are_told_apart() -> None:
    plans = [make_plan("a", 3000), make_plan("b", 4000, node_class=make_gpus(80, 64, product="another"))]
    assert {p.id for p in rank(plans)[0]} == {"a", "b"}


@pytest.mark.parametrize(
    ("plans", "expected"),
    [
        pytest.param([make_plan("a")], "fits with 50% to spare; the only way here", id="alone"),
        pytest.param(
            [make_plan("a", 3000), make_plan("b", 6300, node_class=node("other"))],
            "fits with 50% to spare and is 2.1x faster than b",
            id="faster",
        ),
        pytest.param(
            [make_plan("a", 3000), make_plan("b", 2900, node_class=node("other"), devices_per_node=4)],
            "fits with 50% to spare and holds 1 device, the least for its time",
            id="frugal",
        ),
    ],
)
def test_why_the_first_is_recommended(plans: list[Plan], expected: str) -> None:
    listed, _ = rank(plans)
    assert listed[0].because == expected


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        pytest.param(make_plan("b", 9000, node_class=node("o")), "3.0x slower than a", id="slower"),
        pytest.param(make_plan("b", 3100, node_class=node("o")), "as fast as a", id="equal"),
        pytest.param(
            make_plan("b", 1500, node_class=node("o"), devices_per_node=4),
            "2.0x faster than a, on 4 devices instead of 1",
            id="more-devices",
        ),
        pytest.param(
            make_plan("b", 3000, 72, method=Method.FULL),
            "as fast as a, trains all weights, only 10% of the memory to spare",
            id="tight",
        ),
        pytest.param(
            make_plan("b", 9000, method=Method.FULL, offload=Offload.OPTIMIZER),
            "3.0x slower than a, trains all weights, with state kept in RAM",
            id="offload",
        ),
    ],
)
def test_what_the_others_give_up(plan: Plan, expected: str) -> None:
    listed, _ = rank([make_plan("a", 3000), plan])
    assert listed[1].because == expected


def test_what_is_not_listed_says_so() -> None:
    _, rest = rank([make_plan("a", 3000), make_plan("b", 6000)])
    assert rest[0].because == "not listed, since others of its kind are better; 2.0x slower than a"


def test_nothing_to_rank() -> None:
    assert rank([]) == ((), ())
