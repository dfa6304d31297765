"""What is said of the recommended way, and of the others against it."""

import pytest

from finetune_operator.api.spec import Method
from finetune_operator.api.status import Offload
from finetune_operator.planner.comparison import against, why_first
from finetune_operator.planner.dominance import contender_of
from finetune_operator.planner.plan import Interval, Plan
from tests.unit.planner.builders import make_cpu
from tests.unit.planner.ranked import make_node, make_ranked

FIRST = make_ranked("a", 3000)


def priced(name: str, seconds: float, cost: float) -> Plan:
    return make_ranked(name, seconds, cost=Interval(low=cost, mid=cost, high=cost))


@pytest.mark.parametrize(
    ("plan", "others", "expected"),
    [
        pytest.param(FIRST, [], "fits with 50% to spare; the only way here", id="alone"),
        pytest.param(
            FIRST,
            [make_ranked("b", 6300)],
            "fits with 50% to spare; no other trains faster or takes less hardware",
            id="fastest",
        ),
        pytest.param(
            priced("a", 3000, 1.0),
            [priced("b", 6300, 2.0)],
            "fits with 50% to spare; no other trains faster, takes less hardware or costs less",
            id="cheapest",
        ),
        pytest.param(
            make_ranked("a", 60),
            [make_ranked("b", 50, devices_per_node=2)],
            "fits with 50% to spare; no other is ready noticeably sooner or takes less hardware",
            id="soon-enough",
        ),
        pytest.param(
            FIRST,
            [make_ranked("b", 1000, devices_per_node=4), make_ranked("c", 9000, node_class=make_node("n", 24))],
            "fits with 50% to spare; the best balance of time, devices and room",
            id="between",
        ),
    ],
)
def test_why_the_first_is_recommended(plan: Plan, others: list[Plan], expected: str) -> None:
    assert why_first(plan, [contender_of(p) for p in others]) == expected


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        pytest.param(make_ranked("b", 9000), "3.0x slower than a", id="slower"),
        pytest.param(make_ranked("b", 90_000), "30x slower than a", id="much-slower"),
        pytest.param(make_ranked("b", 3100), "as fast as a", id="equal"),
        pytest.param(make_ranked("b", 3300), "5 min slower than a", id="hardly-slower"),
        pytest.param(
            make_ranked("b", 1500, devices_per_node=4),
            "2.0x faster than a, on 4 x 80.0 GiB instead of 1 x 80.0 GiB",
            id="more-devices",
        ),
        pytest.param(
            make_ranked("b", 1500, nodes=2, devices_per_node=8),
            "2.0x faster than a, on 2 x 8 x 80.0 GiB instead of 1 x 80.0 GiB",
            id="more-nodes",
        ),
        pytest.param(
            make_ranked("b", 3000, node_class=make_node("n", 24)),
            "as fast as a, on 1 x 24.0 GiB instead of 1 x 80.0 GiB",
            id="smaller-device",
        ),
        pytest.param(
            make_ranked("b", 30_000, node_class=make_cpu(512)),
            "10x slower than a, on a processor instead of 1 x 80.0 GiB",
            id="a-processor",
        ),
        pytest.param(
            make_ranked("b", 3000, 72, method=Method.FULL),
            "as fast as a, trains all weights: the best quality, only 10% of the memory to spare",
            id="tight",
        ),
        pytest.param(
            make_ranked("b", 9000, method=Method.FULL, offload=Offload.OPTIMIZER),
            "3.0x slower than a, trains all weights: the best quality, takes 0.00 GiB of RAM a node",
            id="offload",
        ),
        pytest.param(
            make_ranked("b", 3000, method=Method.QLORA),
            "as fast as a, rounds weights to 4 bits: quality a little lower",
            id="qlora",
        ),
        pytest.param(
            make_ranked("b", 6000, method=Method.DORA),
            "2.0x slower than a, quality the same or a little better",
            id="dora",
        ),
    ],
)
def test_what_the_others_give_up(plan: Plan, expected: str) -> None:
    assert against(plan, FIRST) == expected


@pytest.mark.parametrize(
    ("method", "first", "expected"),
    [
        pytest.param(Method.LORA, Method.QLORA, "keeps 16-bit weights: quality a little better", id="lora-qlora"),
        pytest.param(
            Method.DORA,
            Method.QLORA,
            "keeps 16-bit weights, and trains magnitudes: quality a little better",
            id="dora-qlora",
        ),
        pytest.param(Method.LORA, Method.DORA, "quality the same or a little lower", id="lora-dora"),
        pytest.param(Method.LORA, Method.FULL, "trains an adapter only", id="lora-full"),
    ],
)
def test_what_a_method_does_depends_on_the_other(method: Method, first: Method, expected: str) -> None:
    said = against(make_ranked("b", 3000, method=method), make_ranked("a", 3000, method=first))
    assert said == f"as fast as a, {expected}"


def test_what_the_others_cost() -> None:
    assert against(priced("b", 6000, 2.0), priced("a", 3000, 1.0)) == "2.0x slower than a, costs 2.00 instead of 1.00"
    assert against(priced("b", 6000, 0.02), priced("a", 3000, 0.01)) == "2.0x slower than a"


def test_room_is_gained_where_the_first_is_tight() -> None:
    assert against(make_ranked("b", 3000, 20), make_ranked("a", 3000, 70)) == "as fast as a, 75% of the memory to spare"
