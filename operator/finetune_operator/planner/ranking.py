"""Which of the viable ways are worth listing, in which order, and why."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from finetune_operator.api.spec import Method
from finetune_operator.api.status import Offload
from finetune_operator.constants import MAX_OPTIONS
from finetune_operator.planner.plan import Plan
from finetune_operator.planner.sentences import plural, share
from finetune_operator.planner.solver import SAME_TIME

START_SECONDS: Final = 300.0
"""Loading, evaluating before and after: what more devices don't shorten."""

DEVICE_WEIGHT: Final = 0.75
"""Exponent by which devices count against time: twice as many have to be at least 1.7 times as fast."""

TIGHT_WEIGHT: Final = 2.0
"""A tight plan counts as if it took twice as long: one that runs out of memory runs again."""

WORTH_THE_ROOM: Final = 3.0
"""Beside a tight way a roomier one on the same devices is listed unless it takes more than so many times as long."""


def rank_key(plan: Plan) -> tuple[bool, float, str]:
    """The one order of the list.

    LoRA comes before Full; among those the least waiting for the devices held: time, starting included, times the
    number of devices to the power of 0.75, and twice that for a tight plan. Equal ones are in the order of their ids.
    """
    waiting = (START_SECONDS + plan.seconds.mid) * plan.world**DEVICE_WEIGHT
    return plan.method is Method.FULL, waiting * (TIGHT_WEIGHT if plan.tight else 1.0), plan.id


def rank(plans: Iterable[Plan]) -> tuple[tuple[Plan, ...], tuple[Plan, ...]]:
    """The plans to list, best first and each with its reason; and the viable ones that aren't worth a line."""
    ordered = sorted(plans, key=rank_key)
    listed = _shorten(ordered, drop_dominated(ordered))
    names = {p.id for p in listed}
    return (
        tuple(replace(p, because=_because(p, listed)) for p in listed),
        tuple(replace(p, because=_not_listed(p, listed[0])) for p in ordered if p.id not in names),
    )


def drop_dominated(plans: Sequence[Plan]) -> list[Plan]:
    """Of one method on the same devices the fastest stays, and where that one is tight the fastest that isn't.

    Whatever is slower on the same devices and has no more room where room is short is worse in everything that counts.
    """
    kept: list[Plan] = []
    for _, members in groupby(sorted(plans, key=_same_devices), key=_same_devices):
        group = list(members)
        fastest = _fastest(group)
        kept.append(fastest)
        roomy = [p for p in group if not p.tight and p.seconds.mid <= WORTH_THE_ROOM * fastest.seconds.mid]
        if fastest.tight and roomy:
            kept.append(_fastest(roomy))
    return kept


def _fastest(group: Sequence[Plan]) -> Plan:
    """Of those that take the same time the one that needs the least memory."""
    least = min(p.seconds.mid for p in group)
    return min(
        (p for p in group if p.seconds.mid <= SAME_TIME * least),
        key=lambda p: (p.memory.device_total, p.id),
    )


def _class(plan: Plan) -> tuple[str, tuple[str, str, int]]:
    return plan.method.value, plan.node_class.key


def _same_devices(plan: Plan) -> tuple[tuple[str, tuple[str, str, int]], int, int]:
    return _class(plan), plan.nodes, plan.devices_per_node


def _shorten(ordered: Sequence[Plan], kept: Sequence[Plan]) -> tuple[Plan, ...]:
    """Of each method on each class the best, the one with the fewest devices and the fastest; at most MAX_OPTIONS.

    Where that is too much, the best of each go first.
    """
    groups = [sorted(members, key=rank_key) for _, members in groupby(sorted(kept, key=_class), key=_class)]
    best = sorted((g[0] for g in groups), key=rank_key)
    fewest = [min(g, key=lambda p: (p.world, rank_key(p))) for g in groups]
    fastest = [min(g, key=lambda p: (p.seconds.mid, p.id)) for g in groups]
    chosen = list(dict.fromkeys(p.id for p in (*best, *fewest, *fastest)))[:MAX_OPTIONS]
    return tuple(p for p in ordered if p.id in chosen)


def _because(plan: Plan, listed: Sequence[Plan]) -> str:
    first = listed[0]
    if plan is first:
        return _why_first(plan, listed[1:])
    return _against(plan, first)


def _why_first(plan: Plan, others: Sequence[Plan]) -> str:
    spare = f"fits with {_spare(plan)} to spare"
    slower = [p for p in others if p.seconds.mid > SAME_TIME * plan.seconds.mid]
    if slower:
        next_best = slower[0]
        return f"{spare} and is {next_best.seconds.mid / plan.seconds.mid:.1f}x faster than {next_best.id}"
    if not others:
        return f"{spare}; the only way here"
    return f"{spare} and holds {plural(plan.world, 'device')}, the least for its time"


def _against(plan: Plan, first: Plan) -> str:
    """What is given up against the recommended one, and what is gained."""
    return ", ".join(said for said in (d(plan, first) for d in _DIFFERENCES) if said)


def _time(plan: Plan, first: Plan) -> str:
    ratio = plan.seconds.mid / first.seconds.mid
    if ratio > SAME_TIME:
        return f"{ratio:.1f}x slower than {first.id}"
    return f"{1 / ratio:.1f}x faster than {first.id}" if ratio < 1 / SAME_TIME else f"as fast as {first.id}"


def _devices(plan: Plan, first: Plan) -> str:
    if plan.world == first.world:
        return ""
    return f"on {plural(plan.world, 'device')} instead of {first.world}"


def _room(plan: Plan, first: Plan) -> str:
    if not plan.tight or first.tight:
        return ""
    return f"only {_spare(plan)} of the memory to spare"


def _offloading(plan: Plan, first: Plan) -> str:
    if plan.offload is Offload.NONE or first.offload is not Offload.NONE:
        return ""
    return "with state kept in RAM"


def _method(plan: Plan, first: Plan) -> str:
    if plan.method is first.method:
        return ""
    return "trains all weights" if plan.method is Method.FULL else "trains an adapter only"


_DIFFERENCES: Final[tuple[Callable[[Plan, Plan], str], ...]] = (_time, _method, _devices, _room, _offloading)


def _not_listed(plan: Plan, first: Plan) -> str:
    return f"not listed, since others of its kind are better; {_against(plan, first)}"


def _spare(plan: Plan) -> str:
    return share(plan.available - plan.memory.device_total, plan.available)
