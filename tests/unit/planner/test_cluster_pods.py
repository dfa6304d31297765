"""What pods hold of their nodes, and how a cluster's state follows events."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.planner.capacity import Capacity, NodeClass
from finetune_operator.planner.cluster.pods import read_usage
from finetune_operator.planner.cluster.state import ClusterState, read_capacity
from finetune_operator.planner.cluster.views import BAD_REQUESTS
from finetune_operator.units import GIB
from tests.unit.planner.cluster_objects import (
    H100,
    H100_MIXED,
    Object,
    make_claim,
    make_device,
    make_node,
    make_pod,
    make_slice,
)

GPU = "nvidia.com/gpu"


def only(capacity: Capacity) -> NodeClass:
    (found,) = capacity.classes
    return found


def container(restart: str | None = None, **requests: str) -> Object:
    """`gpu` and `memory` of a container."""
    named = {GPU if k == "gpu" else k: v for k, v in requests.items()}
    return {"resources": {"requests": named}, **({"restartPolicy": restart} if restart else {})}


@pytest.mark.parametrize(
    ("spec", "gpus", "memory"),
    [
        pytest.param({"containers": [container(gpu="2", memory="1Gi"), container(gpu="1", memory="1Gi")]}, 3, 2,
                     id="containers-add-up"),
        pytest.param({"containers": [container(memory="1Gi")], "initContainers": [container(gpu="4", memory="3Gi")]},
                     4, 3, id="the-largest-init-container"),
        pytest.param({"containers": [container(gpu="1", memory="2Gi")],
                      "initContainers": [container("Always", memory="1Gi"), container(memory="2Gi")]}, 1, 3,
                     id="a-sidecar-runs-beside"),
        pytest.param({"containers": [container(memory="1Gi")],
                      "initContainers": [container(memory="2Gi"), container("Always", memory="5Gi")]}, 0, 6,
                     id="an-init-container-before-the-sidecar"),
        pytest.param({"containers": [container(gpu="1", memory="1Gi")], "overhead": {"memory": "1Gi"}}, 1, 2,
                     id="overhead"),
        pytest.param({"containers": [container(gpu="1", memory="1Gi")],
                      "resources": {"requests": {"memory": "7Gi"}}}, 1, 7, id="the-pod-s-own"),
        pytest.param({"containers": [{"resources": {"limits": {GPU: 2, "memory": "1Gi"}}}]}, 2, 1, id="limits-alone"),
    ],
)  # fmt: skip
def test_requests_are_counted_as_the_scheduler_does(spec: Object, gpus: int, memory: int) -> None:
    usage = read_usage(make_pod("p", "n1", **spec))
    assert usage is not None
    assert (dict(usage.devices).get(GPU, 0), usage.memory) == (gpus, memory * GIB)
    assert usage.holds_devices is bool(gpus)


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(make_pod("p", None, requests={GPU: "1"}), id="not-on-a-node"),
        pytest.param(make_pod("p", "n1", "Succeeded", requests={GPU: "1"}), id="done"),
        pytest.param(make_pod("p", "n1", "Failed", requests={GPU: "1"}), id="failed"),
        pytest.param({}, id="nothing"),
        pytest.param(None, id="no-object"),
    ],
)
def test_a_pod_that_does_not_run_holds_nothing(pod: Any) -> None:
    assert read_usage(pod) is None


def test_busy_devices_are_there_and_not_free() -> None:
    nodes = [make_node(n, gpus=8, labels=H100) for n in "abc"]
    pods = [make_pod("p", "a", requests={GPU: "4"}), make_pod("q", "b", requests={GPU: "8"})]
    found = only(read_capacity(nodes, pods))
    assert (found.nodes, found.devices_per_node) == (3, 8)
    assert found.free_devices == ((8, 1), (4, 1), (0, 1))
    assert [found.free_nodes(n) for n in (1, 4, 5, 8)] == [2, 2, 1, 1]


@pytest.mark.parametrize(
    ("nodes", "devices", "said"),
    [
        pytest.param(1, 8, "", id="free"),
        pytest.param(2, 4, "", id="partly-free"),
        pytest.param(2, 8, "waits until 8 devices are free on 2 nodes each: so many are on 1 node now", id="waits"),
    ],
)
def test_an_option_says_what_it_waits_for(nodes: int, devices: int, said: str) -> None:
    pods = [make_pod("p", "a", requests={GPU: "4"}), make_pod("q", "b", requests={GPU: "8"})]
    found = only(read_capacity([make_node(n, gpus=8, labels=H100) for n in "abc"], pods))
    assert found.waits_for(nodes, devices) == said


def test_each_kind_of_slice_has_its_own_free_devices() -> None:
    node = make_node(gpus=6, labels=H100_MIXED, allocatable={"nvidia.com/mig-1g.10gb": "7"})
    pods = [make_pod("p", "n1", requests={"nvidia.com/mig-1g.10gb": "3"})]
    assert [c.free_devices for c in read_capacity([node], pods).classes] == [((6, 1),), ((4, 1),)]


def test_more_taken_than_there_is_leaves_nothing() -> None:
    found = only(read_capacity([make_node(gpus=2, labels=H100)], [make_pod("p", "n1", requests={GPU: "8"})]))
    assert found.free_devices == ((0, 1),)


def test_services_stay_and_jobs_end() -> None:
    node = make_node(gpus=8, labels=H100, allocatable={"memory": "1024Gi", "ephemeral-storage": "1024Gi"})
    job = make_pod("job", "n1", requests={GPU: "1", "memory": "512Gi"})
    service = make_pod("service", "n1", requests={"memory": "256Gi", "ephemeral-storage": "512Gi", "cpu": "8"})
    found = only(read_capacity([node], [job, service]))
    assert (found.ram, found.free_ram, found.disk) == (1024 * GIB, 768 * GIB, 512 * GIB)


def test_a_request_that_is_no_quantity_is_noted() -> None:
    capacity = read_capacity([make_node(gpus=8, labels=H100)], [make_pod("p", "n1", requests={GPU: "4x"})])
    assert (only(capacity).free_devices, dict(capacity.notes)) == (((8, 1),), {BAD_REQUESTS: 1})


def test_the_state_follows_events() -> None:
    state = ClusterState()
    state.add_pod(make_pod("p", "a", requests={GPU: "4"}))
    state.add_node(make_node("a", gpus=8, labels=H100))
    state.add_node(make_node("b", gpus=8, labels=H100))
    assert only(state.capacity("x")).free_devices == ((8, 1), (4, 1))
    state.add_pod(make_pod("p", "b", requests={GPU: "2"}))
    assert only(state.capacity("x")).free_devices == ((8, 1), (6, 1))
    state.add_pod(make_pod("p", "b", "Succeeded", requests={GPU: "2"}))
    assert only(state.capacity("x")).free_devices == ((8, 2),)
    state.add_node(make_node("b", gpus=8, labels=H100, spec={"unschedulable": True}))
    assert only(state.capacity("x")).nodes == 1
    state.remove_node("a")
    assert state.capacity("x").classes == ()
    state.remove_node("a")
    state.remove_pod(make_pod("p", "b"))


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("node"), st.sampled_from("abc"), st.integers(0, 2)),
        st.tuples(st.just("no node"), st.sampled_from("abc"), st.just(0)),
        st.tuples(st.just("pod"), st.sampled_from("pqrs"), st.integers(0, 5)),
        st.tuples(st.just("no pod"), st.sampled_from("pqrs"), st.just(0)),
        st.tuples(st.just("slice"), st.sampled_from("abc"), st.integers(1, 3)),
        st.tuples(st.just("no slice"), st.sampled_from("abc"), st.just(0)),
        st.tuples(st.just("claim"), st.sampled_from("tu"), st.integers(0, 3)),
        st.tuples(st.just("no claim"), st.sampled_from("tu"), st.just(0)),
    ),
    max_size=30,
)


def _objects(kind: str, name: str, number: int) -> Object:
    if kind == "node":
        return make_node(name, gpus=number * 4 or None, labels=H100 if number else {})
    if kind == "pod":
        return make_pod(name, "abc"[number % 3], requests={GPU: str(number)})
    if kind == "slice":
        return make_slice(name, [make_device(f"gpu-{i}") for i in range(number)])
    return make_claim(name, ("abc"[number % 3], "gpu-0"))


@given(EVENTS)
def test_events_lead_where_the_objects_they_leave_lead(events: list[tuple[str, str, int]]) -> None:
    state = ClusterState()
    left: dict[tuple[str, str], Object] = {}
    for kind, name, number in events:
        what = kind.removeprefix("no ")
        if what == kind:
            left[what, name] = _objects(kind, name, number)
            getattr(state, f"add_{what}")(left[what, name])
        elif (found := left.pop((what, name), None)) is not None:
            by_name = what in {"node", "slice"}
            getattr(state, f"remove_{what}")(found["metadata"]["name"] if by_name else found)
    kinds = [[o for (k, _), o in left.items() if k == what] for what in ("node", "pod", "slice", "claim")]
    assert state.capacity("x") == read_capacity(*kinds, origin="x")
