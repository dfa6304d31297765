"""Why one way is recommended, and what each other one gives up and gains against it, in words."""

from collections.abc import Callable, Sequence
from typing import Final

from finetune_operator.api.spec import Accelerator, Method
from finetune_operator.api.status import Offload
from finetune_operator.planner.dominance import (
    QUALITY_ORDER,
    SAME_COST,
    SAME_WAIT,
    START_SECONDS,
    Contender,
    contender_of,
)
from finetune_operator.planner.plan import Plan
from finetune_operator.planner.sentences import joined, share
from finetune_operator.planner.solver import SAME_TIME
from finetune_operator.units import gib, human_duration

PENNIES: Final = 0.05
"""Costs that differ by less, in whatever currency, aren't worth a word."""

MANY: Final = 9.95
"""From here on times have no digit behind the point."""

FASTER: Final = "faster"
SLOWER: Final = "slower"


def why_first(plan: Plan, others: Sequence[Contender]) -> str:
    """What speaks for the recommended way, against all others that are viable."""
    spare = f"fits with {_spare(plan)} to spare"
    if not others:
        return f"{spare}; the only way here"
    way = contender_of(plan)
    merits = [said for said in (merit(way, others) for merit in (_pace, _hardware, _money)) if said]
    if not merits:
        return f"{spare}; the best balance of time, devices and room"
    return f"{spare}; no other {joined(merits)}"


def _pace(way: Contender, others: Sequence[Contender]) -> str:
    least = min(p.seconds for p in others)
    if way.seconds <= SAME_TIME * least:
        return "trains faster"
    return "is ready noticeably sooner" if way.wait <= SAME_WAIT * (START_SECONDS + least) else ""


def _hardware(way: Contender, others: Sequence[Contender]) -> str:
    least = min(p.world for p in others), min(p.size for p in others)
    return "takes less hardware" if way.world <= least[0] and way.size <= least[1] else ""


def _money(way: Contender, others: Sequence[Contender]) -> str:
    costs = [p.spent for p in others if p.spent is not None]
    if way.spent is None or len(costs) < len(others) or way.spent > SAME_COST * min(costs):
        return ""
    return "costs less"


def against(plan: Plan, first: Plan) -> str:
    """What is given up against the recommended way, and what is gained."""
    return ", ".join(said for said in (d(plan, first) for d in _DIFFERENCES) if said) or f"as good as {first.id}"


def _time(plan: Plan, first: Plan) -> str:
    took, least = plan.seconds.mid, first.seconds.mid
    if max(took, least) <= SAME_TIME * min(took, least):
        return f"as fast as {first.id}"
    word = SLOWER if took > least else FASTER
    if START_SECONDS + max(took, least) <= SAME_WAIT * (START_SECONDS + min(took, least)):
        return f"{human_duration(abs(took - least))} {word} than {first.id}"
    times = max(took, least) / min(took, least)
    return f"{times:.1f}x {word} than {first.id}" if times < MANY else f"{times:.0f}x {word} than {first.id}"


def _quality(plan: Plan, first: Plan) -> str:
    if plan.method is first.method:
        return ""
    if Method.DORA in {plan.method, first.method} and QUALITY_ORDER[plan.method] == QUALITY_ORDER[first.method]:
        more = plan.method is Method.DORA
        return "quality the same or a little better" if more else "quality the same or a little lower"
    if first.method is Method.FULL:
        return "trains an adapter only"
    return _TRAINS[plan.method]


_TRAINS: Final = {
    Method.FULL: "trains all weights: the best quality",
    Method.LORA: "keeps 16-bit weights: quality a little better",
    Method.QLORA: "rounds weights to 4 bits: quality a little lower",
    Method.DORA: "keeps 16-bit weights, and trains magnitudes: quality a little better",
}
"""What a method does against another kind of adapter, and Full against all."""


def _devices(plan: Plan, first: Plan) -> str:
    device, other = plan.node_class.device, first.node_class.device
    if plan.world == first.world and (device.accelerator, device.memory) == (other.accelerator, other.memory):
        return "" if device.product == other.product else f"on {device.product} instead of {other.product}"
    return f"on {_counted(plan)} instead of {_counted(first)}"


def _counted(plan: Plan) -> str:
    device = plan.node_class.device
    if device.accelerator is Accelerator.CPU:
        return "a processor" if plan.world == 1 else f"{plan.world} processors"
    nodes = f"{plan.nodes} x " if plan.nodes > 1 else ""
    return f"{nodes}{plan.devices_per_node} x {gib(device.memory)}"


def _room(plan: Plan, first: Plan) -> str:
    if plan.tight is first.tight:
        return ""
    return f"{'only ' if plan.tight else ''}{_spare(plan)} of the memory to spare"


def _offloading(plan: Plan, first: Plan) -> str:
    if plan.offload is first.offload:
        return ""
    ram = gib(plan.memory.host)
    return f"takes {ram} of RAM a node" if plan.offload is not Offload.NONE else "nothing kept in RAM"


def _price(plan: Plan, first: Plan) -> str:
    if plan.cost is None or first.cost is None:
        return ""
    cost, other = plan.cost.mid, first.cost.mid
    if abs(cost - other) < PENNIES or max(cost, other) <= SAME_COST * min(cost, other):
        return ""
    return f"costs {cost:.2f} instead of {other:.2f}"


_DIFFERENCES: Final[tuple[Callable[[Plan, Plan], str], ...]] = (_time, _quality, _devices, _room, _offloading, _price)


def _spare(plan: Plan) -> str:
    return share(plan.available - plan.memory.device_total, plan.available)
