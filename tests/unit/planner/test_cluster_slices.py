"""GPUs that are offered by dynamic resource allocation."""

import pytest

from finetune_operator.planner.capacity import Capacity, NodeClass
from finetune_operator.planner.cluster import reasons
from finetune_operator.planner.cluster.slices import BAD_DEVICES, PARTITIONS
from finetune_operator.planner.cluster.state import read_capacity
from finetune_operator.planner.cluster.views import BOTH
from finetune_operator.units import MIB
from tests.unit.planner.cluster_objects import (
    H100,
    Object,
    make_claim,
    make_device,
    make_node,
    make_slice,
)

PRESENT = {"nvidia.com/gpu.present": "true"}
EIGHT = [make_device(f"gpu-{i}") for i in range(8)]


def only(capacity: Capacity) -> NodeClass:
    (found,) = capacity.classes
    return found


def consuming(device: Object, counter_set: str) -> Object:
    """A device that is a part of a GPU, or all of it."""
    counters = {"memory": {"value": "1Gi"}}
    return device | {"consumesCounters": [{"counterSet": counter_set, "counters": counters}]}


def test_devices_of_slices_are_a_class() -> None:
    found = only(read_capacity([make_node(labels=PRESENT)], slices=[make_slice("n1", EIGHT)]))
    assert (found.devices_per_node, found.resource) == (8, "gpu.nvidia.com")
    assert (found.device.product, found.device.memory) == ("NVIDIA H100 80GB HBM3", 81559 * MIB)
    assert (found.device.bf16, found.free_devices) == (True, ((8, 1),))


@pytest.mark.parametrize(
    ("claim", "free"),
    [
        pytest.param(make_claim("c", ("n1", "gpu-0"), ("n1", "gpu-3")), 6, id="two"),
        pytest.param(make_claim("c", ("n2", "gpu-0")), 8, id="another-node-s"),
        pytest.param(make_claim("c", ("n1", "gpu-0"), adminAccess=True), 8, id="an-administrator-s"),
        pytest.param(make_claim("c", ("n1", "gpu-0"), driver="other.example.com"), 8, id="another-driver-s"),
        pytest.param({"metadata": {"name": "c"}, "status": {}}, 8, id="not-allocated"),
    ],
)
def test_allocated_devices_are_busy(claim: Object, free: int) -> None:
    found = only(read_capacity([make_node(labels=PRESENT)], slices=[make_slice("n1", EIGHT)], claims=[claim]))
    assert found.free_devices == ((free, 1),)


def test_slices_of_gpus_are_another_class() -> None:
    cut = [make_device(f"mig-{i}", type="mig", profile="1g.10gb", memory="9984Mi") for i in range(7)]
    whole, part = read_capacity([make_node()], slices=[make_slice("n1", [*EIGHT[:1], *cut])]).classes
    assert (whole.resource, whole.devices_per_node) == ("gpu.nvidia.com", 1)
    assert (part.resource, part.devices_per_node, part.device.memory) == ("mig.nvidia.com", 7, 9984 * MIB)
    assert part.device.product == "NVIDIA H100 80GB HBM3 MIG 1g.10gb"
    assert part.device.peak_flops == pytest.approx(989e12 / 7)


def test_partitions_that_could_be_cut_are_not_counted_and_block_their_gpu_once_they_are() -> None:
    devices = [
        consuming(make_device("gpu-0"), "gpu-0-set"),
        consuming(make_device("gpu-0-mig-1g10gb-0", type="mig", profile="1g.10gb"), "gpu-0-set"),
        consuming(make_device("gpu-1"), "gpu-1-set"),
    ]
    claim = make_claim("c", ("n1", "gpu-0-mig-1g10gb-0"))
    capacity = read_capacity([make_node()], slices=[make_slice("n1", devices)], claims=[claim])
    assert (only(capacity).devices_per_node, only(capacity).free_devices) == (2, ((1, 1),))
    assert dict(capacity.notes) == {PARTITIONS: 1}


def test_only_the_newest_generation_counts() -> None:
    old, new = make_slice("n1", EIGHT), make_slice("n1", EIGHT[:4], generation=2)
    assert only(read_capacity([make_node()], slices=[new, old])).devices_per_node == 4


def test_a_pool_of_which_slices_are_missing_leaves_the_node_out() -> None:
    slices = [make_slice("n1", EIGHT), make_slice("n1", EIGHT[:4], generation=2, count=2)]
    capacity = read_capacity([make_node(labels=PRESENT)], slices=slices)
    assert (capacity.classes, dict(capacity.left_out)) == ((), {reasons.POOL: 1})


def test_a_pool_of_several_slices_is_one() -> None:
    slices = [make_slice("n1", EIGHT[4 * i : 4 * i + 4], count=2, index=i) for i in range(2)]
    assert only(read_capacity([make_node()], slices=slices)).devices_per_node == 8


def test_a_device_for_virtual_machines_trains_nothing() -> None:
    devices = [make_device("gpu-vfio-0", type="vfio"), *EIGHT[:2]]
    assert only(read_capacity([make_node()], slices=[make_slice("n1", devices)])).devices_per_node == 2


def test_devices_that_say_nothing_are_noted() -> None:
    capacity = read_capacity([make_node()], slices=[make_slice("n1", [make_device("a", memory="?"), *EIGHT[:1]])])
    assert (only(capacity).devices_per_node, dict(capacity.notes)) == (1, {BAD_DEVICES: 1})


def test_a_device_that_several_claims_share_is_nobody_s_own() -> None:
    shared = make_device("gpu-0") | {"allowMultipleAllocations": True}
    capacity = read_capacity([make_node(labels=PRESENT)], slices=[make_slice("n1", [shared])])
    assert dict(capacity.left_out) == {reasons.DEVICES_SHARED: 1}


def test_a_tainted_device_is_left_out() -> None:
    broken = make_device("gpu-9") | {"taints": [{"key": "broken", "effect": "NoSchedule"}]}
    capacity = read_capacity([make_node()], slices=[make_slice("n1", [*EIGHT, broken])])
    assert only(capacity).devices_per_node == 8
    assert dict(capacity.notes) == {"DRA devices tainted broken:NoSchedule are left out": 1}


def test_gpus_that_are_offered_twice_count_once() -> None:
    capacity = read_capacity([make_node(gpus=8, labels=H100)], slices=[make_slice("n1", EIGHT)])
    assert (only(capacity).resource, dict(capacity.notes)) == ("nvidia.com/gpu", {BOTH: 1})


def test_other_drivers_and_devices_of_the_network_are_none_of_a_node_s_gpus() -> None:
    other, network = make_slice("n1", EIGHT), make_slice("n1", EIGHT)
    other["spec"]["driver"] = "compute-domain.nvidia.com"
    del network["spec"]["nodeName"]
    capacity = read_capacity([make_node(labels=PRESENT)], slices=[other, network])
    assert dict(capacity.left_out) == {reasons.NO_DEVICE: 1}
