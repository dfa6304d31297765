"""Plans for tests of the order and of what is said of them."""

from collections.abc import Sequence
from typing import Any

from finetune_operator.api.spec import Method
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.capacity import NodeClass
from finetune_operator.planner.dominance import contender_of, outdoes
from finetune_operator.planner.plan import Interval, MemoryEstimate, Plan, PrecisionUsed
from finetune_operator.planner.ranking import drop_outdone, rank
from finetune_operator.units import GIB, Bytes
from tests.unit.planner.builders import make_gpus


def make_ranked(name: str = "a", seconds: float = 3600, gib: float = 40, **overrides: Any) -> Plan:
    """A plan on one device of 80 GiB, of which only what ranking looks at is real."""
    nothing = Bytes(0)
    memory = MemoryEstimate(
        weights=Bytes(int(gib * GIB)),
        gradients=nothing,
        optimizer=nothing,
        activations=nothing,
        logits=nothing,
        buckets=nothing,
        gathered=nothing,
        context=nothing,
        host=nothing,
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
        "cost": None,
    }
    return Plan(
        id=name,
        precision=PrecisionUsed.BF16,
        micro_batch=1,
        accumulation=1,
        checkpointing=Checkpointing.NONE,
        memory=memory,
        training=memory,
        phases={},
        disk=nothing,
        allocated=nothing,
        reserved=nothing,
        process=nothing,
        margin=0.05,
        serving="",
        total_parameters=1,
        trainable_parameters=1,
        learning_rate="1e-5",
        tokens_per_second=Interval(low=1, mid=1, high=1),
        seconds=Interval(low=seconds, mid=seconds, high=seconds),
        quality="",
        best_for="",
        because="",
        **(fields | overrides),
    )


def make_node(name: str, gib: float = 80, price: float | None = None) -> NodeClass:
    """A class of that name."""
    return make_gpus(gib, 64, name=name, price_per_device_hour=price)


def is_outdone(better: Plan, other: Plan) -> bool:
    """Whether the other plan is no better than this one in anything."""
    return outdoes(contender_of(better), contender_of(other))


def rank_plans(plans: Sequence[Plan]) -> tuple[tuple[Plan, ...], tuple[Plan, ...]]:
    """The plans to list, and the others."""
    known = {p.id: p for p in plans}
    listed, rest = rank(map(contender_of, plans), lambda way: known[way.id])
    return listed, tuple(rest)


def staying(*plans: Plan) -> list[str]:
    """Ids of those that no other one that stays outdoes."""
    return [way.id for way in drop_outdone([contender_of(p) for p in plans])]
