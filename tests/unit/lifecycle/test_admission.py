"""A run starts when all its pods fit at once, counting what is promised to others."""

from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from finetune_operator.api.spec import Accelerator
from finetune_operator.lifecycle.admission import waits_for
from finetune_operator.renderers.placement import Placement
from finetune_operator.units import GIB, Bytes
from tests.unit.planner.builders import make_capacity, make_cpu, make_gpus

FLEET = make_gpus(80, 8, 3, resource="nvidia.com/gpu", free_devices=((8, 1), (4, 1), (1, 1)))


def make_placement(nodes: int = 1, devices: int = 8, **overrides: object) -> Placement:
    fields: dict[str, object] = {
        "nodes": nodes,
        "devices_per_node": devices,
        "accelerator": Accelerator.GPU,
        "resource": "nvidia.com/gpu",
        "product": "NVIDIA-A100",
        "device_memory": 80 * GIB,
        "host_memory": 16 * GIB,
        "cores": 4,
        "model_bytes": GIB,
    }
    return Placement.model_validate(fields | overrides)


def test_free_devices_admit() -> None:
    assert waits_for(make_placement(1, 8), make_capacity(FLEET), ()) == ""
    assert waits_for(make_placement(2, 4), make_capacity(FLEET), ()) == ""


def test_too_few_free_devices_are_told_with_need_and_have() -> None:
    said = waits_for(make_placement(2, 8), make_capacity(FLEET), ())
    assert said == "needs 8 free devices of NVIDIA-A100 (nvidia.com/gpu) on 2 nodes at once; 1 of 3 free now"


def test_a_node_whose_disk_is_taken_isn_t_free() -> None:
    placement = make_placement(1, 8, disk=5 * GIB)
    enough, short = replace(FLEET, disk=Bytes(5 * GIB)), replace(FLEET, disk=Bytes(5 * GIB - 1))
    assert waits_for(placement, make_capacity(enough), ()) == ""
    said = waits_for(placement, make_capacity(short), ())
    assert said.startswith("needs 8 free devices of NVIDIA-A100 (nvidia.com/gpu) and 5.0 GiB of free disk on 1 node")


def test_what_is_promised_to_others_isn_t_free() -> None:
    capacity, taken = make_capacity(FLEET), make_placement(1, 2)
    # two devices go to the node with four free, which leaves one of eight
    assert waits_for(make_placement(1, 8), capacity, [taken]) == ""
    assert waits_for(make_placement(2, 4), capacity, [taken]) != ""
    assert waits_for(make_placement(1, 8), capacity, [make_placement(1, 8)]) != ""


def test_another_kind_of_device_is_no_device_of_ours() -> None:
    capacity = make_capacity(FLEET)
    assert waits_for(make_placement(product="NVIDIA-L4"), capacity, ()) == (
        "no node has 8 free devices of NVIDIA-L4 (nvidia.com/gpu) any more; it is waited for"
    )
    assert waits_for(make_placement(1, 8), capacity, [make_placement(1, 8, product="NVIDIA-L4")]) == ""


def test_ram_beside_the_devices_counts() -> None:
    assert waits_for(make_placement(1, 1, host_memory=481 * GIB), make_capacity(FLEET), ()) != ""


def test_a_cpu_plan_takes_any_cpu_node_with_the_memory() -> None:
    cpu = make_placement(1, 1, accelerator=Accelerator.CPU, resource="", product="EPYC", host_memory=8 * GIB)
    small, large = make_cpu(24, 4), make_cpu(64, 32)
    assert waits_for(cpu, make_capacity(small, large), ()) == ""
    assert waits_for(cpu, make_capacity(small), ()) == "needs 8.0 GiB of free RAM on 1 node at once; none of 1 free now"
    assert waits_for(cpu, make_capacity(large), [cpu]) != ""


@given(
    free=st.lists(st.integers(0, 8), min_size=1, max_size=6),
    taken=st.lists(st.integers(1, 8), max_size=6),
    devices=st.integers(1, 8),
    nodes=st.integers(1, 4),
)
@example(free=[2, 3], taken=[1, 2, 3], devices=1, nodes=1)
def test_a_promise_never_helps_and_a_free_device_never_hurts(
    free: list[int], taken: list[int], devices: int, nodes: int
) -> None:
    found = make_gpus(
        80, 8, len(free), resource="nvidia.com/gpu", free_devices=tuple((f, free.count(f)) for f in set(free))
    )
    asked, promised = make_placement(nodes, devices), [make_placement(1, d) for d in taken]
    admitted = not waits_for(asked, make_capacity(found), promised)
    if admitted:
        # of several nodes at once the largest pods' best places aren't always the others' best
        assert nodes > 1 or not waits_for(asked, make_capacity(found), promised[1:])
        more = replace(found, free_devices=((8, 1), *found.free_devices), nodes=len(free) + 1)
        assert not waits_for(asked, make_capacity(more), promised)


def test_a_node_that_is_in_two_classes_is_one_node() -> None:
    rich = make_gpus(80, 8, 1, resource="nvidia.com/gpu", free_devices=((8, 1),))
    poor = replace(rich, name="poor", free_ram=Bytes(40 * GIB))
    both = replace(poor, nodes=2, free_devices=((8, 2),))
    capacity = replace(make_capacity(rich, both), counted=(rich, poor))
    assert waits_for(make_placement(2, 8), capacity, ()) == ""
    assert waits_for(make_placement(3, 8), capacity, ()).endswith("2 of 2 free now")


def test_devices_that_only_the_machine_tells_are_counted_on_those_machines_alone() -> None:
    placement = make_placement(1, 1, instance_types=("g5.12xlarge",))
    fleet = replace(FLEET, instance_types=("g5.12xlarge", "g5.24xlarge"))
    assert waits_for(placement, make_capacity(fleet), ()) == ""
    assert waits_for(placement, make_capacity(replace(FLEET, instance_types=("g6.xlarge",))), ()) != ""


def test_another_architecture_is_no_processor_of_ours() -> None:
    placement = make_placement(1, 1, accelerator=Accelerator.CPU, resource="", product="CPU (ARM)", host_memory=GIB)
    assert waits_for(placement, make_capacity(make_cpu(24)), ()) != ""
