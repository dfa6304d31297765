"""Which of the viable ways are worth listing, and in which order."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from finetune_operator.api.spec import Method
from finetune_operator.constants import MAX_LISTED
from finetune_operator.planner.comparison import against, why_first
from finetune_operator.planner.deferred import Deferred
from finetune_operator.planner.dominance import QUALITY_ORDER, STANDING, Contender, contender_of, outdoes
from finetune_operator.planner.plan import Plan
from finetune_operator.units import GIB

DEVICE_WEIGHT: Final = 0.75
"""Exponent by which devices count against time: twice as many have to be at least 1.7 times as fast."""

SIZE_WEIGHT: Final = 0.1
"""Exponent by which a device's memory counts against time: one four times as large has to be 1.15 times as fast."""

SMALLEST: Final = 8 * GIB
"""Memory of a device that counts as the smallest, as does a processor."""

TIGHT_WEIGHT: Final = 2.0
"""A tight plan counts as if it took twice as long: one that runs out of memory runs again."""

DORA_PATIENCE: Final = 1.5
"""DoRA is listed beside LoRA as long as it takes less than so many times as long."""

AS_GOOD: Final = "does as well in all that matters"
"""What is said of a listed option beside one that isn't."""

PLAINNESS: Final = {method: position for position, method in enumerate(Method)}
"""Of methods that are as good in everything the plainer one comes first."""


_FULL: Final = STANDING[Method.FULL]


def rank_key(plan: Plan) -> tuple[bool, float, int, str]:
    """The one order of the list.

    Adapters come before Full; among those the least waiting for the devices held: time, starting included, times the
    number of devices to the power of 0.75, times a device's memory to the power of 0.1, and twice that for a tight
    plan. Of equal ones the plainer method comes first, then the order of their ids.
    """
    return _key(contender_of(plan))


def _key(way: Contender) -> tuple[bool, float, int, str]:
    size = max(SMALLEST, way.size) / SMALLEST
    held = way.wait * way.world**DEVICE_WEIGHT * size**SIZE_WEIGHT
    weighted = held * (TIGHT_WEIGHT if way.tight else 1.0)
    return way.standing == _FULL, weighted, PLAINNESS[way.method], way.id


def rank(ways: Iterable[Contender], plan_of: Callable[[Contender], Plan]) -> tuple[tuple[Plan, ...], Deferred[Plan]]:
    """The plans to list, best first and each with its reason; and the other viable ones, likewise.

    A way is listed unless a listed one outdoes it, or unless the list is full. Of DoRA, which LoRA outdoes, one is
    listed all the same where it is worth its time. The plans of ways that aren't are made when they are asked for.
    """
    ordered = sorted(ways, key=_key)
    kept = drop_outdone(ordered)
    names = {p.id for p in shorten(sorted([*kept, *_best_dora(ordered, kept)], key=_key))}
    listed = [p for p in ordered if p.id in names]
    rest = [p for p in ordered if p.id not in names]
    plans = [plan_of(p) for p in listed]
    return (
        tuple(replace(p, because=_because(p, plans[0], ordered)) for p in plans),
        Deferred(lambda: tuple(replace(plan_of(p), because=_not_listed(p, listed)) for p in rest)),
    )


def _because(plan: Plan, first: Plan, ordered: Sequence[Contender]) -> str:
    return why_first(plan, [p for p in ordered if p.id != plan.id]) if plan is first else against(plan, first)


def _best_dora(ordered: Sequence[Contender], kept: Sequence[Contender]) -> list[Contender]:
    """The best DoRA way, where none stays and it doesn't take half as long again as one of LoRA that outdoes it."""
    best = next((p for p in ordered if p.method is Method.DORA), None)
    if best is None or any(p.method is Method.DORA for p in kept):
        return []
    waits = [p.wait for p in kept if outdoes(p, best)]
    return [best] if best.wait < DORA_PATIENCE * max(waits) else []


def drop_outdone(ordered: Sequence[Contender]) -> list[Contender]:
    """Those that stay where no one that stays outdoes another; whichever is left out is outdone by one that stays."""
    # adapters and Full never outdo each other
    parts = [w for w in ordered if w.standing != _FULL], [w for w in ordered if w.standing == _FULL]
    return sorted((way for part in parts for way in _stay(part)), key=_key)


def _stay(ordered: Sequence[Contender]) -> list[Contender]:
    front: list[Contender] = []
    outdone: list[tuple[Contender, Contender]] = []
    for way in ordered:
        for position, better in enumerate(front):
            if outdoes(better, way):
                outdone.append((way, better))
                # the next way is much like this one
                front.insert(0, front.pop(position))
                break
        else:
            stay = []
            for p in front:
                if outdoes(way, p):
                    outdone.append((p, way))
                else:
                    stay.append(p)
            front = [*stay, way]
    return _bring_back(ordered, front, outdone)


def _bring_back(
    ordered: Sequence[Contender], front: Sequence[Contender], outdone: Sequence[tuple[Contender, Contender]]
) -> list[Contender]:
    """Being outdone isn't passed on, since each step of it allows a tenth of the time: some may be back."""
    found, stay = list(front), {p.id for p in front}
    lost = {way.id for way, better in outdone if better.id not in stay}
    for way in ordered:
        if way.id in lost and not any(outdoes(p, way) for p in found):
            found.append(way)
    return found


def _not_listed(way: Contender, listed: Sequence[Contender]) -> str:
    better = next((p.id for p in listed if outdoes(p, way)), None)
    return "not listed, since the list is full" if better is None else f"not listed, since {better} {AS_GOOD}"


def shorten(kept: Sequence[Contender]) -> list[Contender]:
    """At most MAX_LISTED of them: those that are best in something first, then in their order."""
    return list({p.id: p for p in (*_outstanding(kept), *kept)}.values())[:MAX_LISTED]


def _outstanding(kept: Sequence[Contender]) -> Iterator[Contender]:
    """The first of all; of each method the first, then the fastest; the cheapest; the one on the least hardware."""
    if not kept:
        return
    yield kept[0]
    by_method = {m: [p for p in kept if p.method is m] for m in sorted(Method, key=lambda m: -QUALITY_ORDER[m])}
    yield from (ways[0] for ways in by_method.values() if ways)
    yield from (min(ways, key=lambda p: p.seconds) for ways in by_method.values() if ways)
    yield min(kept, key=lambda p: (p.cost is None, p.cost or 0.0))
    yield min(kept, key=lambda p: (p.world * p.size, p.seconds))
