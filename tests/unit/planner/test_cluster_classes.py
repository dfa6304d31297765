"""Classes: nodes with equal devices that have at least so much of everything else."""

from finetune_operator.planner.candidates import enumerate_candidates
from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.cluster.shapes import AMOUNTS, MOST_STEPS
from finetune_operator.planner.cluster.state import read_capacity
from tests.unit.planner.builders import make_spec
from tests.unit.planner.cluster_objects import H100, make_node, make_pod

EQUAL = [make_node(n, 8, H100) for n in "abcd"]


def tenant(node: str, memory: str) -> dict[str, object]:
    """A service that leaves less of a node's RAM."""
    return make_pod(f"on-{node}", node, requests={"cpu": "1", "memory": memory})


def spans(capacity: Capacity) -> set[int]:
    """Numbers of nodes that options span."""
    return {c.nodes for c in enumerate_candidates(None, make_spec().hardware, capacity)}


def ids(capacity: Capacity) -> set[str]:
    """Of all options that are judged."""
    return {c.id for c in enumerate_candidates(None, make_spec().hardware, capacity)}


def test_a_service_on_some_nodes_takes_no_option_away_that_spans_them_all() -> None:
    assert spans(read_capacity(EQUAL)) == {1, 2, 4}
    assert spans(read_capacity(EQUAL, [tenant("a", "300Gi")])) == {1, 2, 4}


def test_a_class_has_the_nodes_that_have_at_least_as_much() -> None:
    capacity = read_capacity(EQUAL, [tenant("a", "300Gi"), tenant("b", "600Gi")])
    assert sorted((c.free_ram >> 30, c.nodes, c.free_devices) for c in capacity.classes) == [
        (400, 4, ((8, 4),)),
        (704, 3, ((8, 3),)),
        (992, 2, ((8, 2),)),
    ]
    assert sorted((c.free_ram >> 30, c.nodes) for c in capacity.apart) == [(400, 1), (704, 1), (992, 2)]


def test_nodes_of_which_none_has_the_least_of_everything_are_together_by_what_all_have() -> None:
    nodes = [
        make_node("a", 8, H100, allocatable={"memory": "512Gi"}),
        make_node("b", 8, H100, allocatable={"ephemeral-storage": "1024Gi"}),
    ]
    together = max(read_capacity(nodes).classes, key=lambda c: c.nodes)
    assert (together.nodes, together.ram >> 30, together.disk >> 30) == (2, 512, 1024)
    assert spans(read_capacity(nodes)) == {1, 2}


def test_of_many_amounts_few_are_told_apart_and_the_most_of_each_always() -> None:
    nodes = [make_node(f"n{i}", 8, H100, allocatable={"ephemeral-storage": f"{100 + i}Gi"}) for i in range(60)]
    pods = [tenant(f"n{i}", f"{10 * i}Gi") for i in range(60)]
    capacity = read_capacity(nodes, pods)
    assert len(capacity.apart) > 2 * MOST_STEPS
    assert len(capacity.classes) <= MOST_STEPS + len(AMOUNTS) + 1
    assert max(c.nodes for c in capacity.classes) == 60
    for amount in ("free_ram", "disk", "cores"):
        assert max(getattr(c, amount) for c in capacity.classes) == max(getattr(c, amount) for c in capacity.apart)
    assert read_capacity(reversed(nodes), pods).classes == capacity.classes


def test_devices_that_differ_in_price_or_kind_are_never_one_class() -> None:
    priced = {"finetune-operator.dev/price-per-device-hour": "2.90"}
    other = H100 | {"nvidia.com/gpu.product": "NVIDIA-H100-PCIe"}
    nodes = [make_node("a", 8, H100), make_node("b", 8, H100 | priced), make_node("c", 8, other)]
    assert [c.nodes for c in read_capacity(nodes).classes] == [1, 1, 1]


def test_an_option_s_id_stays_when_a_service_takes_ram_of_a_node() -> None:
    pods = [tenant("a", "300Gi"), tenant("b", "600Gi")]
    before, after = (ids(read_capacity(EQUAL, found)) for found in ([], pods))
    assert "lora-1x80g" in before
    assert "full-z3-4x8x80g" in before
    assert before <= after
    common = next(
        c for c in enumerate_candidates(None, make_spec().hardware, read_capacity(EQUAL, pods)) if c.id in before
    )
    assert common.node_class.nodes == 4


def test_equal_devices_at_two_prices_are_told_apart_as_ever() -> None:
    priced = {"finetune-operator.dev/price-per-device-hour": "2.90"}
    capacity = read_capacity([make_node("a", 8, H100), make_node("b", 8, H100 | priced)])
    assert "lora-1x80g" not in ids(capacity)


def test_alike_nodes_are_counted_once() -> None:
    capacity = read_capacity(EQUAL)
    assert capacity.apart == capacity.classes
