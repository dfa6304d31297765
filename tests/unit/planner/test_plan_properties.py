"""What holds of every plan, on whatever hardware: FINETUNE_EXAMPLES=10000 tries that many."""

import os
import random
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from finetune_operator.api.spec import Accelerator, Method, Objective
from finetune_operator.api.status import Offload
from finetune_operator.constants import MAX_LISTED, MAX_REJECTED
from finetune_operator.exceptions import FineTuneError
from finetune_operator.planner.capacity import Capacity, NodeClass
from finetune_operator.planner.catalogue import CATALOGUE
from finetune_operator.planner.naming import class_tags
from finetune_operator.planner.plan import Plan, PlanSet, PrecisionUsed
from finetune_operator.planner.planner import plan
from finetune_operator.planner.solver import Place, least_memory
from finetune_operator.units import GIB, Bytes
from tests.unit.planner.builders import (
    SEVEN,
    TINY,
    make_capacity,
    make_cpu,
    make_data,
    make_facts,
    make_gpus,
    make_spec,
    make_workload,
)
from tests.unit.planner.ranked import is_outdone

EXAMPLES: Final = int(os.environ.get("FINETUNE_EXAMPLES", "0"))
"""So many instead of what the unit tier has time for."""

PRODUCTS: Final = (
    "NVIDIA H100 80GB HBM3",
    "NVIDIA GeForce RTX 4090",
    "Tesla T4",
    "NVIDIA A100-SXM4-80GB MIG 3g.40gb",
    "X",
)
SIZES: Final = (4, 8, 15, 22.5, 24, 40, 79.6, 141)
RAM: Final = (4, 31, 62, 250, 1000, 4000)

thorough = settings(max_examples=EXAMPLES or 20, suppress_health_check=list(HealthCheck))


@st.composite
def gpu_nodes(draw: st.DrawFn) -> NodeClass:
    """Nodes with GPUs that others may be using."""
    gib, ram = draw(st.sampled_from(SIZES)), draw(st.sampled_from(RAM))
    return make_gpus(
        gib,
        draw(st.sampled_from((1, 2, 3, 4, 8, 16))),
        draw(st.sampled_from((1, 1, 2, 5))),
        free=gib * draw(st.sampled_from((1.0, 0.97, 0.5, 0.01))),
        product=draw(st.sampled_from(PRODUCTS)),
        name=draw(st.sampled_from(("a", "b", "GPU.Node"))),
        bf16=draw(st.booleans()),
        peak_flops=draw(st.sampled_from((8e12, 165e12, 2e15))),
        price_per_device_hour=draw(st.sampled_from((None, 0.0, 0.5, 4.0))),
        ram=Bytes(ram * GIB),
        free_ram=Bytes(int(ram * GIB * draw(st.sampled_from((1.0, 0.9, 0.1))))),
        disk=Bytes(draw(st.sampled_from((1, 100, 10_000))) * GIB),
        cores=draw(st.sampled_from((1, 8, 192))),
    )


NODES = st.one_of(gpu_nodes(), gpu_nodes(), st.builds(make_cpu, st.sampled_from(RAM), bf16=st.booleans()))
METHODS = st.sampled_from([None, *Method])
REPOS = st.sampled_from(sorted(CATALOGUE))
FEW = st.sampled_from((TINY, SEVEN))


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """Fields of a job that planning looks at."""
    method = draw(METHODS)
    hardware: dict[str, Any] = {"memoryMargin": draw(st.sampled_from(("0", "0.05", "0.3")))}
    hardware |= draw(
        st.sampled_from(
            ({}, {"devicesPerNode": 3}, {"nodes": 2}, {"accelerator": "CPU"}, {"maxDuration": "1m"}, {"maxCost": "0.5"})
        )
    )
    fields: dict[str, Any] = {
        "objective": draw(st.sampled_from(list(Objective))).value,
        "training": {
            "batchSize": draw(st.sampled_from((1, 3, 16, 64, 1000))),
            "epochs": draw(st.sampled_from(("0.1", "3", "100"))),
            "precision": draw(st.sampled_from(("Auto", "BF16", "FP16", "FP32"))),
        },
        "hardware": hardware,
    }
    if method is not Method.FULL:
        fields["adapter"] = {
            "rank": draw(st.sampled_from((1, 4, 16, 256))),
            "dropout": draw(st.sampled_from(("0", "0.1"))),
        }
    return fields if method is None else {**fields, "method": method.value}


@st.composite
def rows(draw: st.DrawFn) -> Any:
    """Data from a handful of words to long documents."""
    longest = draw(st.sampled_from((1, 17, 100, 512, 2048, 9000)))
    mean = draw(st.integers(1, longest))
    return make_data(draw(st.sampled_from((1, 2, 314, 1_000_000))), longest, mean, longest, mean)


def every(found: PlanSet) -> tuple[Plan, ...]:
    """All viable plans."""
    return (*found.viable, *found.unlisted)


def shapes(found: PlanSet) -> set[tuple[Method, int, Offload, int, int]]:
    """All viable ways but for the class's name."""
    return {(p.method, p.zero_stage, p.offload, p.nodes, p.devices_per_node) for p in every(found)}


def check(found: PlanSet) -> None:
    """What holds of every answer."""
    rejected = (*found.rejected, *found.other_rejected)
    names = [*(p.id for p in every(found)), *(r.option for r in rejected)]
    assert len(set(names)) == len(names)
    assert len(found.viable) <= MAX_LISTED
    assert len(found.rejected) <= MAX_REJECTED
    full = len(found.viable) == MAX_LISTED
    assert full or all(any(is_outdone(p, u) for p in found.viable) for u in found.unlisted)
    for each in every(found):
        assert each.memory.device_total <= each.available - each.kept_back
        assert each.memory.host <= each.node_class.free_ram
        assert each.allocated <= each.reserved <= each.process <= each.available
        assert each.because
        assert each.serving
    for rejection in rejected:
        assert rejection.message
        if rejection.need is not None and rejection.have is not None:
            assert rejection.need > rejection.have
        assert {*rejection.likewise} <= set(names)


@settings(thorough, max_examples=EXAMPLES or 60)
@given(REPOS, specs(), rows(), st.lists(NODES, max_size=2), st.sampled_from((None, None, 1, 4)))
def test_nothing_makes_planning_fail(
    repo: str, fields: dict[str, Any], data: Any, classes: list[NodeClass], limit: int | None
) -> None:
    capacity = make_capacity(*classes, max_devices=limit)
    # what contradicts itself is refused before it is planned; rows longer than the model reads, while it is
    with suppress(ValidationError, FineTuneError):
        check(plan(make_spec(**fields), make_facts(repo, data), capacity))


@thorough
@given(FEW, METHODS, gpu_nodes(), st.sampled_from((1.5, 2, 10)))
def test_more_memory_removes_no_option(repo: str, method: Method | None, node: NodeClass, times: float) -> None:
    device = node.device
    grown = replace(device, memory=Bytes(int(device.memory * times)), free=Bytes(int(device.free * times)))
    assert shapes(planned(repo, method, node)) <= shapes(planned(repo, method, replace(node, device=grown)))


@thorough
@given(FEW, METHODS, gpu_nodes(), st.sampled_from((2, 4)))
def test_more_devices_or_nodes_remove_no_option(repo: str, method: Method | None, node: NodeClass, times: int) -> None:
    single = replace(node, nodes=1)
    more_devices = replace(single, devices_per_node=single.devices_per_node * times)
    assert shapes(planned(repo, method, single)) <= shapes(planned(repo, method, more_devices))
    more_nodes = replace(node, nodes=node.nodes * times)
    assert shapes(planned(repo, method, node)) <= shapes(planned(repo, method, more_nodes))


def planned(repo: str, method: Method | None, *classes: NodeClass) -> PlanSet:
    """A plain job on those nodes."""
    spec = (
        make_spec(training={"batchSize": 64})
        if method is None
        else make_spec(method=method.value, training={"batchSize": 64})
    )
    return plan(spec, make_facts(repo), make_capacity(*classes))


WAYS: Final = [
    (Method.FULL, 0, Offload.NONE),
    (Method.FULL, 2, Offload.OPTIMIZER),
    (Method.FULL, 3, Offload.NONE),
    (Method.FULL, 3, Offload.PARAMETERS),
    (Method.LORA, 0, Offload.NONE),
    (Method.LORA, 3, Offload.NONE),
    (Method.QLORA, 0, Offload.NONE),
    (Method.QLORA, 3, Offload.NONE),
    (Method.DORA, 0, Offload.NONE),
    (Method.DORA, 3, Offload.PARAMETERS),
]


@thorough
@given(
    FEW,
    st.sampled_from(WAYS),
    st.sampled_from((1, 2, 4)),
    st.integers(1, 12).map(lambda n: 4 * n),
    st.integers(1, 4096),
    st.integers(1, 256),
    st.sampled_from(((2, 1, 1), (1, 2, 1), (1, 1, 2))),
)
def test_a_larger_batch_length_or_rank_needs_no_less(  # noqa: PLR0917  one argument for each dimension
    repo: str,
    way: tuple[Method, int, Offload],
    world: int,
    batch: int,
    length: int,
    rank: int,
    times: tuple[int, int, int],
) -> None:
    method, stage, offload = way
    place = Place(
        node_class=make_gpus(80, 4),
        stage=stage,
        offload=offload,
        nodes=1,
        devices_per_node=world,
        precision=PrecisionUsed.BF16,
    )
    small = least_memory(make_workload(method, repo, rank=rank), place, length, batch)
    large = least_memory(make_workload(method, repo, rank=rank * times[2]), place, length * times[1], batch * times[0])
    assert large.device_total >= small.device_total
    assert large.host >= small.host


@thorough
@given(METHODS, st.lists(NODES, min_size=2, max_size=4), st.integers(0, 1000))
def test_the_order_of_classes_changes_nothing(method: Method | None, classes: list[NodeClass], seed: int) -> None:
    shuffled = list(classes)
    random.Random(seed).shuffle(shuffled)  # noqa: S311  no secret
    assert planned(TINY, method, *classes) == planned(TINY, method, *shuffled)


@given(st.lists(NODES, max_size=8), st.integers(0, 1000))
def test_tags_are_unique_and_stay_in_any_order(classes: list[NodeClass], seed: int) -> None:
    found = class_tags(classes)
    assert len(set(found)) == len(classes)
    order = list(range(len(classes)))
    random.Random(seed).shuffle(order)  # noqa: S311  likewise
    again = class_tags([classes[i] for i in order])
    told = {(classes[i], tag) for i, tag in zip(order, again, strict=True)}
    assert told == set(zip(classes, found, strict=True))


def test_a_capacity_of_nothing_has_an_answer() -> None:
    found = plan(
        make_spec(hardware={"accelerator": Accelerator.GPU.value}), make_facts(TINY), Capacity(classes=(), origin="x")
    )
    assert found.viable == ()
    assert found.rejected
