"""What is listed, and in which order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.api.spec import Method
from finetune_operator.api.status import Offload
from finetune_operator.constants import MAX_LISTED
from finetune_operator.planner.plan import Plan
from finetune_operator.planner.ranking import rank_key
from tests.unit.planner.builders import make_cpu
from tests.unit.planner.ranked import is_outdone, make_node, make_ranked, rank_plans, staying

SMALL, LARGE = make_node("small", 24), make_node("large", 80)
CHEAP, DEAR = make_node("cheap", 80, 1.0), make_node("dear", 24, 4.0)
CPU = make_cpu(512)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param(make_ranked(seconds=9000), make_ranked(seconds=1, method=Method.FULL), id="an-adapter-first"),
        pytest.param(make_ranked(seconds=3000), make_ranked(seconds=3001), id="faster-first"),
        pytest.param(make_ranked("b"), make_ranked("a", method=Method.QLORA), id="lora-before-qlora"),
        pytest.param(make_ranked("b", method=Method.QLORA), make_ranked("a", method=Method.DORA), id="dora-last"),
        pytest.param(make_ranked(seconds=5000, method=Method.QLORA), make_ranked(gib=70), id="qlora-before-tight-lora"),
        pytest.param(make_ranked(seconds=6000), make_ranked(seconds=3000, gib=70), id="a-tight-one-counts-twice"),
        pytest.param(make_ranked(seconds=3000, gib=70), make_ranked(seconds=8000), id="but-no-more"),
        pytest.param(
            make_ranked(seconds=36_000, devices_per_node=8),
            make_ranked(seconds=288_000),
            id="long-runs-on-many-devices",
        ),
        pytest.param(make_ranked(seconds=800), make_ranked(seconds=100, devices_per_node=8), id="short-runs-on-one"),
        pytest.param(
            make_ranked(seconds=3300, node_class=SMALL),
            make_ranked(seconds=3000),
            id="a-smaller-device-for-nearly-the-time",
        ),
        pytest.param(make_ranked(seconds=3000), make_ranked(seconds=4000, node_class=SMALL), id="but-not-for-more"),
        pytest.param(make_ranked("a"), make_ranked("b"), id="equal-ones-by-id"),
    ],
)
def test_order(better: Plan, worse: Plan) -> None:
    assert rank_key(better) < rank_key(worse)


@pytest.mark.parametrize(
    ("better", "other", "expected"),
    [
        pytest.param(make_ranked("a"), make_ranked("b", seconds=9000), True, id="slower"),
        pytest.param(make_ranked("a"), make_ranked("b", seconds=2000), False, id="faster"),
        pytest.param(make_ranked("a", seconds=60), make_ranked("b", seconds=40), True, id="nobody-notices"),
        pytest.param(make_ranked("a"), make_ranked("b", method=Method.QLORA), True, id="lora-qlora"),
        pytest.param(make_ranked("a", method=Method.QLORA), make_ranked("b"), False, id="qlora-lora"),
        pytest.param(make_ranked("a"), make_ranked("b", method=Method.DORA), True, id="lora-dora"),
        pytest.param(make_ranked("a", method=Method.DORA), make_ranked("b"), False, id="dora-lora"),
        pytest.param(
            make_ranked("a", method=Method.DORA), make_ranked("b", method=Method.QLORA), True, id="dora-qlora"
        ),
        pytest.param(make_ranked("a", method=Method.FULL), make_ranked("b"), False, id="full-lora"),
        pytest.param(make_ranked("a"), make_ranked("b", seconds=90_000, method=Method.FULL), False, id="lora-full"),
        pytest.param(make_ranked("a", gib=70), make_ranked("b", seconds=9000), False, id="tight"),
        pytest.param(make_ranked("a", gib=70), make_ranked("b", seconds=9000, gib=72), True, id="both-tight"),
        pytest.param(make_ranked("a", devices_per_node=2), make_ranked("b"), False, id="more-devices"),
        pytest.param(
            make_ranked("a"), make_ranked("b", seconds=1300, devices_per_node=8), True, id="many-devices-for-little"
        ),
        pytest.param(make_ranked("a"), make_ranked("b", seconds=600, devices_per_node=8), False, id="worth-devices"),
        pytest.param(make_ranked("a", node_class=SMALL), make_ranked("b", node_class=LARGE), True, id="smaller-device"),
        pytest.param(make_ranked("a", node_class=LARGE), make_ranked("b", node_class=SMALL), False, id="larger-device"),
        pytest.param(make_ranked("a", node_class=CHEAP), make_ranked("b", node_class=DEAR), True, id="cheaper"),
        pytest.param(make_ranked("a", node_class=DEAR), make_ranked("b", node_class=CHEAP), False, id="dearer"),
        pytest.param(
            make_ranked("a", node_class=CPU), make_ranked("b", node_class=SMALL), True, id="a-processor-is-least"
        ),
        pytest.param(make_ranked("a", 60), make_ranked("b", 4000, node_class=CPU), False, id="slow-but-no-gpu"),
        pytest.param(make_ranked("a", 60), make_ranked("b", 9000, node_class=CPU), True, id="too-slow-to-wait-for"),
        pytest.param(
            make_ranked("a", 60, devices_per_node=4),
            make_ranked("b", 900, devices_per_node=2, offload=Offload.OPTIMIZER),
            True,
            id="several-devices-that-wait-for-ram",
        ),
        pytest.param(
            make_ranked("a", 60, devices_per_node=4),
            make_ranked("b", 900, offload=Offload.OPTIMIZER),
            False,
            id="one-device-that-waits-for-ram",
        ),
        pytest.param(make_ranked("a"), make_ranked("a"), False, id="itself"),
    ],
)
def test_a_way_that_is_no_better_in_anything_is_outdone(better: Plan, other: Plan, expected: bool) -> None:  # noqa: FBT001  a table
    assert is_outdone(better, other) is expected


def test_what_is_outdone_is_not_listed() -> None:
    listed, rest = rank_plans([make_ranked("a", 3000), make_ranked("b", 6000)])
    assert [p.id for p in listed] == ["a"]
    assert [p.because for p in rest] == ["not listed, since a does as well in all that matters"]


def test_one_before_may_be_outdone_by_one_behind() -> None:
    qlora, lora = make_ranked("q", 3000, method=Method.QLORA), make_ranked("l", 3010)
    assert staying(qlora, lora) == ["l"]


def test_being_outdone_is_not_passed_on() -> None:
    qlora = make_ranked("q", 700, method=Method.QLORA)
    dora, lora = make_ranked("d", 790, method=Method.DORA), make_ranked("l", 890)
    assert is_outdone(dora, qlora)
    assert is_outdone(lora, dora)
    assert not is_outdone(lora, qlora)
    # nobody who stays would outdo the first
    assert staying(qlora, dora, lora) == ["q", "l"]


def test_dora_is_listed_once_beside_lora() -> None:
    plans = [
        make_ranked("lora1", 36_000),
        make_ranked("dora1", 40_000, method=Method.DORA),
        make_ranked("lora8", 5000, devices_per_node=8),
        make_ranked("dora8", 5200, method=Method.DORA, devices_per_node=8),
    ]
    assert {p.id for p in rank_plans(plans)[0]} == {"lora1", "lora8", "dora8"}


def test_dora_is_not_listed_where_it_takes_half_as_long_again() -> None:
    plans = [make_ranked("lora", 36_000), make_ranked("dora", 55_000, method=Method.DORA)]
    assert [p.id for p in rank_plans(plans)[0]] == ["lora"]


def test_no_more_are_listed_than_a_person_compares() -> None:
    plans = [
        make_ranked(f"p{n}", 90_000 / 1.3**n, node_class=make_node(f"n{n}", 24 + n)) for n in range(MAX_LISTED + 4)
    ]
    listed, rest = rank_plans(plans)
    assert len(listed) == MAX_LISTED
    assert len(rest) == 4
    assert all("since the list is full" in p.because for p in rest)


def test_a_full_list_has_the_best_of_each_kind() -> None:
    many = [make_ranked(f"p{n}", 90_000 / 1.3**n, node_class=make_node(f"n{n}", 24 + n)) for n in range(MAX_LISTED + 4)]
    full = make_ranked("full", 900_000, method=Method.FULL, node_class=make_node("n", 90))
    qlora = make_ranked("qlora", 99_000, method=Method.QLORA, node_class=make_node("least", 12))
    names = {p.id for p in rank_plans([*many, full, qlora])[0]}
    assert {"full", "qlora", "p0" if "p0" in names else "p11", "p11"} <= names


def test_nothing_to_rank_plans() -> None:
    assert rank_plans([]) == ((), ())


METHODS = st.sampled_from(list(Method))


@given(
    st.lists(
        st.builds(
            make_ranked,
            st.uuids().map(str),
            st.floats(1, 1e6),
            st.floats(1, 79),
            method=METHODS,
            devices_per_node=st.sampled_from((1, 2, 4, 8)),
            node_class=st.sampled_from((SMALL, LARGE, CHEAP, DEAR, CPU)),
            offload=st.sampled_from((Offload.NONE, Offload.OPTIMIZER)),
        ),
        max_size=24,
    ),
    st.randoms(use_true_random=False),
)
def test_every_plan_is_listed_or_outdone_by_a_listed_one(plans: list[Plan], dice: object) -> None:
    listed, rest = rank_plans(plans)
    assert sorted(p.id for p in (*listed, *rest)) == sorted(p.id for p in plans)
    assert len(listed) <= MAX_LISTED
    assert len(listed) == MAX_LISTED or all(any(is_outdone(p, r) for p in listed) for r in rest)
    shuffled = list(plans)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rank_plans(shuffled) == (listed, rest)
