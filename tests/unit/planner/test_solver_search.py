"""The quick search finds what comparing every setting in full would find."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.api.spec import Method, Objective
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.capacity import NodeClass
from finetune_operator.planner.facts import DatasetFacts
from finetune_operator.planner.memory import device_bytes, estimate, moments
from finetune_operator.planner.plan import PrecisionUsed
from finetune_operator.planner.setting import Cut
from finetune_operator.planner.solver import (
    ROOM_TIME,
    SAME_TIME,
    TIGHT,
    Place,
    Sized,
    _search,
    _Tried,
    settings_of,
    solve,
)
from finetune_operator.planner.speed import measure_paces
from finetune_operator.planner.states import device_states
from finetune_operator.planner.workload import Workload
from finetune_operator.units import GIB, Bytes
from tests.unit.planner.builders import SEVEN, TINY, make_cpu, make_data, make_gpus, make_workload

WORKLOADS = [make_workload(m, r, o) for m in Method for r in (TINY, SEVEN) for o in (Objective.SFT, Objective.GRPO)]
WAYS = ((0, Offload.NONE), (1, Offload.NONE), (2, Offload.OPTIMIZER), (3, Offload.NONE), (3, Offload.PARAMETERS))


def make_place(node: NodeClass, way: tuple[int, Offload], devices: int, precision: PrecisionUsed) -> Place:
    return Place(
        node_class=node,
        stage=way[0],
        offload=way[1],
        nodes=1,
        devices_per_node=devices,
        precision=precision,
        margin=0.1,
    )


def search_all(tried: Sequence[_Tried], totals: Mapping[Cut, int], place: Place) -> _Tried:
    """What each way needs, and then the choice by its own words."""
    usable, roomy = place.usable, TIGHT * place.node_class.device.free
    ordered = sorted(tried, key=lambda t: t[0])
    fitting = [t for t in ordered if totals[t[1]] <= usable]
    if not fitting:
        return min((tried[0], *ordered), key=lambda t: totals[t[1]])
    fastest = fitting[0][0]
    equal = [t for t in fitting if t[0] <= SAME_TIME * fastest]
    best = min(equal, key=lambda t: totals[t[1]])
    if totals[best[1]] <= roomy:
        return best
    slower = [t for t in fitting if SAME_TIME * fastest < t[0] <= ROOM_TIME * fastest]
    return next((t for t in slower if totals[t[1]] <= roomy), best)


def compare_all(workload: Workload, place: Place, data: DatasetFacts, batch: int) -> Sized:
    """Every setting estimated in full."""
    settings = settings_of(place, data.longest, batch, data.evaluated)
    paces = measure_paces(workload, settings, place.node_class, data, "2")
    found = {
        s.cut: Sized(workload, s, e.device_total, e.host, p)
        for s, p in zip(settings, paces, strict=True)
        for e in (estimate(workload, s),)
    }
    states = device_states(workload, settings[0].sharding)
    if states.weights + states.optimizer > place.usable:
        return found[settings[0].cut]
    tried = [(s.pace.step_seconds, cut) for cut, s in found.items()]
    return found[search_all(tried, {cut: s.total for cut, s in found.items()}, place)[1]]


@given(st.lists(st.tuples(st.integers(20, 30), st.sampled_from((70, 80, 81, 85, 90, 91, 95))), min_size=1, max_size=12))
def test_a_search_by_time_and_need_finds_what_its_words_say(drawn: list[tuple[int, int]]) -> None:
    node = make_gpus(80)
    device = replace(node.device, free=Bytes(100))
    place = make_place(replace(node, device=device), (0, Offload.NONE), 1, PrecisionUsed.BF16)
    tried = [(n / 8, Cut(i, 1, Checkpointing.FULL)) for i, (n, _) in enumerate(drawn)]
    totals = {cut: total for (_, cut), (_, total) in zip(tried, drawn, strict=True)}
    assert _search(tried, place.usable, TIGHT * device.free, totals) == search_all(tried, totals, place)


@given(
    workload=st.sampled_from(WORKLOADS),
    gib=st.floats(4, 200),
    way=st.sampled_from(WAYS),
    devices=st.sampled_from((1, 2, 8)),
    precision=st.sampled_from(PrecisionUsed),
    longest=st.sampled_from((64, 700, 2048, 8192)),
    rows=st.integers(1, 32),
)
def test_the_search_finds_what_comparing_all_finds(  # noqa: PLR0917  drawn by name
    workload: Workload,
    gib: float,
    way: tuple[int, Offload],
    devices: int,
    precision: PrecisionUsed,
    longest: int,
    rows: int,
) -> None:
    place = make_place(make_gpus(gib), way, devices, precision)
    data = make_data(longest=longest, p50=longest // 4, p95=longest // 2, mean=longest // 3)
    assert solve(workload, place, data, rows * devices, "2") == compare_all(workload, place, data, rows * devices)


@pytest.mark.parametrize("node", [make_gpus(24), make_cpu(24)], ids=["gpu", "cpu"])
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: f"{w.method.value}-{w.parameters}-{w.objective.value}")
def test_the_total_alone_is_the_estimates(workload: Workload, node: NodeClass) -> None:
    settings = settings_of(make_place(node, (0, Offload.NONE), 1, PrecisionUsed.BF16), 1024, 12)
    states = device_states(workload, settings[0].sharding)
    for setting in settings:
        full = estimate(workload, setting)
        assert device_bytes(workload, settings[0], states, setting.cut) == full.device_total


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: f"{w.method.value}-{w.parameters}-{w.objective.value}")
def test_what_is_there_at_each_moment_adds_up(workload: Workload) -> None:
    for way in WAYS:
        place = make_place(make_gpus(80), way, 8, PrecisionUsed.BF16)
        for setting in settings_of(place, 512, 32):
            for moment in moments(workload, setting, device_states(workload, setting.sharding)).values():
                assert moment.total == sum(moment[1:])


FASTER = {"device": replace(make_gpus(80).device, product="NVIDIA-H100-80GB-HBM3", peak_flops=989e12)}


@pytest.mark.parametrize(
    ("changed", "alike"),
    [
        pytest.param({"name": "other", "nodes": 9, "price_per_device_hour": 2.0}, True, id="name-count-price"),
        pytest.param({"free_ram": Bytes(9 * GIB), "ram": Bytes(10 * GIB), "disk": Bytes(1)}, True, id="ram-disk"),
        pytest.param({"free_devices": ((1, 1),), "nvme": False}, True, id="busy"),
        pytest.param({"cores": 4}, False, id="cores"),
        pytest.param(FASTER, False, id="device"),
    ],
)
def test_classes_are_solved_alike_only_where_they_are(changed: dict[str, object], alike: bool) -> None:  # noqa: FBT001  a table's column
    workload, node, data = make_workload(Method.FULL, TINY), make_gpus(80), make_data()
    other = replace(node, **changed)  # type: ignore[arg-type]  # a table's column
    one, two = (
        solve(workload, make_place(n, (2, Offload.OPTIMIZER), 8, PrecisionUsed.BF16), data, 16, "2")
        for n in (node, other)
    )
    assert (one == two) is alike
