"""Whatever an API server, or somebody's file, holds: no crash, no negative number, and nothing lost by adding."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.cluster.quantities import read_milli, read_whole
from finetune_operator.planner.cluster.state import read_capacity
from tests.unit.planner.cluster_objects import (
    A100_SINGLE,
    G5,
    H100,
    H100_MIXED,
    T4_TIME_SLICED,
    Object,
    make_claim,
    make_device,
    make_node,
    make_pod,
    make_slice,
)

WORDS = st.sampled_from(["", "1", "-1", "4x", "1e99", "9" * 40, "NaN", "true", "a", "Ready", "True", "nvidia.com/gpu"])
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(WORDS, below, max_size=3),
    max_leaves=6,
)
SOUND = (
    make_node("n1", 8, H100),
    make_node("n1", 6, H100_MIXED, allocatable={"nvidia.com/mig-1g.10gb": "7"}),
    make_pod(
        "p", "n1", requests={"nvidia.com/gpu": "2", "memory": "1Gi"}, initContainers=[{"restartPolicy": "Always"}]
    ),
    make_slice("n1", [make_device("gpu-0"), make_device("gpu-1")]),
    make_claim("c", ("n1", "gpu-0")),
)


@st.composite
def broken(draw: st.DrawFn, whole: Any) -> Any:
    """An object with one value, wherever it is, replaced by something odd."""
    if isinstance(whole, dict) and whole and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(whole)))
        return {**whole, key: draw(broken(whole[key]))}
    if isinstance(whole, list) and whole and draw(st.integers(0, 9)):
        index = draw(st.integers(0, len(whole) - 1))
        return [*whole[:index], draw(broken(whole[index])), *whole[index + 1 :]]
    return draw(ODD)


def check(capacity: Capacity) -> None:
    for found in capacity.classes:
        assert found.nodes > 0
        assert found.devices_per_node > 0
        assert found.cores > 0
        assert 0 < found.device.free <= found.device.memory or found.device.free == found.free_ram == 0
        assert 0 <= found.free_ram <= found.ram
        assert found.disk >= 0
        assert found.device.peak_flops > 0
        assert all(0 <= free <= found.devices_per_node and n > 0 for free, n in found.free_devices)
        assert not found.free_devices or sum(n for _, n in found.free_devices) == found.nodes
    assert all(count > 0 for count in capacity.left_out.values())
    assert len({c.key for c in capacity.classes}) == len(capacity.classes)


@given(*(st.lists(st.one_of(ODD, *(broken(s) for s in SOUND)), max_size=4) for _ in range(4)))
def test_odd_objects_never_crash(nodes: list[Any], pods: list[Any], slices: list[Any], claims: list[Any]) -> None:
    check(read_capacity([*nodes, SOUND[0]], [*pods, SOUND[2]], slices, claims))


NODES = st.builds(
    make_node,
    gpus=st.sampled_from([None, 0, 1, 4, 8]),
    labels=st.sampled_from([H100, H100_MIXED, A100_SINGLE, T4_TIME_SLICED, G5, {}]),
    allocatable=st.fixed_dictionaries(
        {"cpu": st.sampled_from(["3900m", "95", "192"]), "memory": st.integers(1 << 30, 1 << 41).map(str)},
        optional={"nvidia.com/mig-1g.10gb": st.just("7"), "amd.com/gpu": st.just("8")},
    ),
)
PODS = st.lists(st.sampled_from(["0", "1", "4", "16"]), max_size=4)


def named(nodes: list[Object]) -> list[Object]:
    return [{**n, "metadata": {**n["metadata"], "name": f"n{i}"}} for i, n in enumerate(nodes)]


@given(st.lists(NODES, max_size=5), NODES, PODS)
def test_a_node_that_joins_takes_nothing_away(nodes: list[Object], joins: Object, gpus: list[str]) -> None:
    pods = [make_pod(f"p{i}", f"n{i}", requests={"nvidia.com/gpu": g, "memory": "1Gi"}) for i, g in enumerate(gpus)]
    before = {c.key: c for c in read_capacity(named(nodes), pods).classes}
    capacity = read_capacity(named([*nodes, joins]), pods)
    after = {c.key: c for c in capacity.classes}
    check(capacity)
    assert before.keys() <= after.keys()
    for key, found in before.items():
        grown = after[key]
        assert (grown.ram, grown.free_ram, grown.disk, grown.cores) == (
            found.ram,
            found.free_ram,
            found.disk,
            found.cores,
        )
        assert grown.nodes >= found.nodes
        assert all(grown.free_nodes(n) >= found.free_nodes(n) for n in range(1, 9))


@pytest.mark.parametrize(
    ("written", "milli"),
    [
        pytest.param("4", 4000, id="plain"),
        pytest.param("3900m", 3900, id="milli"),
        pytest.param("1.5", 1500, id="fraction"),
        pytest.param(".5", 500, id="no-digit-before"),
        pytest.param("32Gi", 32 * 2**30 * 1000, id="binary"),
        pytest.param("2k", 2_000_000, id="decimal"),
        pytest.param("1E", 10**21, id="exa"),
        pytest.param("1e3", 10**6, id="exponent"),
        pytest.param("1E-3", 1, id="negative-exponent"),
        pytest.param("1n", 1, id="rounded-up"),
        pytest.param("-2", -2000, id="negative"),
        pytest.param(4, 4000, id="integer"),
        pytest.param(0.5, 500, id="float"),
        pytest.param("4x", None, id="unit"),
        pytest.param("", None, id="empty"),
        pytest.param("1 Gi", None, id="space"),
        pytest.param("1ki", None, id="no-such-unit"),
        pytest.param("1e999999999", None, id="endless"),
        pytest.param("9" * 31, None, id="too-long"),
        pytest.param("٣", None, id="other-digits"),
        pytest.param(float("inf"), None, id="infinite"),
        pytest.param(True, None, id="boolean"),
        pytest.param(None, None, id="none"),
        pytest.param(["1"], None, id="list"),
    ],
)
def test_quantities_are_read_as_kubernetes_does(written: Any, milli: int | None) -> None:
    assert read_milli(written) == milli


@given(st.integers(0, 10**9), st.sampled_from(["", "m", "k", "Ki", "M", "Mi", "G", "Gi"]))
def test_a_quantity_is_exact(number: int, unit: str) -> None:
    scale: dict[str, Fraction | int] = {
        "": 1,
        "m": Fraction(1, 1000),
        "k": 10**3,
        "M": 10**6,
        "G": 10**9,
        "Ki": 2**10,
        "Mi": 2**20,
        "Gi": 2**30,
    }
    assert read_milli(f"{number}{unit}") == number * scale[unit] * 1000


@pytest.mark.parametrize(("written", "whole"), [("1900m", 1), ("10", 10), ("11", None), ("-1", None), ("x", None)])
def test_a_whole_quantity_has_bounds(written: str, whole: int | None) -> None:
    assert read_whole(written, 10) == whole
