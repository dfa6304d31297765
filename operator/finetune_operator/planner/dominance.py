"""Which of two viable ways is no better than the other in anything that matters.

One way outdoes another if all of these hold:

- hardware: no more devices; and of the same class, or cheaper for the whole run where both have a price, or else with
  no more memory a device;
- time: the wait, loading and evaluation included, is at most a tenth longer; who holds n times as many devices has to
  be n to the power of 0.4 times as fast (4 devices: 1.7 times) to count as faster at all;
- quality: LoRA and DoRA are above QLoRA. LoRA outdoes DoRA and never the other way round: what DoRA gains is small, and
  always takes longer. Full outdoes no adapter, nor an adapter Full: the best quality is bought with a model that may
  forget, and can't be taken off again;
- room: it isn't tight, or both are.

Two things don't count as less hardware: a smaller device on which it takes twenty times as long, and several devices
that wait for state in RAM, where more of them without it are busy for less than half of the time in all.
"""

from typing import Final, NamedTuple

from finetune_operator.api.spec import Accelerator, Method
from finetune_operator.api.status import Offload
from finetune_operator.planner.candidates import Candidate
from finetune_operator.planner.capacity import NodeClass
from finetune_operator.planner.plan import Plan

START_SECONDS: Final = 300.0
"""Loading, evaluating before and after: what more devices don't shorten."""

SAME_WAIT: Final = 1.1
"""Waits that differ by less are the same to whoever waits."""

DEVICE_GAIN: Final = 0.4
"""Exponent of how much faster a number of devices has to be."""

SAME_COST: Final = 1.05
"""Costs that differ by less are the same."""

PATIENCE: Final = 20.0
"""What takes so many times as long as another way on as few devices isn't chosen for its smaller device."""

QUALITY_ORDER: Final = {Method.QLORA: 0, Method.LORA: 1, Method.DORA: 1, Method.FULL: 2}
"""Levels of quality, DoRA's small gain over LoRA aside."""

STANDING: Final = {Method.QLORA: 0, Method.DORA: 1, Method.LORA: 2, Method.FULL: 3}
"""What a method may be outdone by: all that stand as high. The levels of quality, and LoRA above DoRA."""


_FULL: Final = STANDING[Method.FULL]


class Contender(NamedTuple):
    """What is compared of a viable way; a plain tuple, since planning compares thousands of them."""

    id: str
    method: Method
    offload: Offload
    node_class: NodeClass
    world: int
    size: int
    """Memory of a device as a measure of what it is worth, as device_size says."""
    seconds: float
    """Of training, the middle of the estimate."""
    spent: float | None
    """What the training costs, likewise; None where no price is known."""
    tight: bool
    standing: int
    wait: float
    """What a user waits: training, and what comes before and after it."""
    cost: float | None
    """Price of the devices for the whole wait; None where no price is known."""


def contender_of(plan: Plan) -> Contender:
    """What is compared of a plan."""
    spent = None if plan.cost is None else plan.cost.mid
    return contend(plan, plan.seconds.mid, spent, tight=plan.tight)


def contend(way: Candidate | Plan, seconds: float, spent: float | None, *, tight: bool) -> Contender:
    """What is compared of a way that takes so many seconds of training and so much money."""
    node_class, method = way.node_class, way.method
    world = way.nodes * way.devices_per_node
    wait, price = START_SECONDS + seconds, node_class.price_per_device_hour
    cost = None if price is None else price * world * wait / 3600
    size, standing = device_size(node_class), STANDING[method]
    return Contender(way.id, method, way.offload, node_class, world, size, seconds, spent, tight, standing, wait, cost)


def outdoes(better: Contender, other: Contender) -> bool:
    """Whether the other way is no better than this one in anything that matters."""
    return (
        better.standing >= other.standing
        and (other.tight or not better.tight)
        and _as_fast(better, other)
        and _as_frugal(better, other)
        and (better.standing == _FULL) is (other.standing == _FULL)
        and better.id != other.id
    )


def _as_fast(better: Contender, other: Contender) -> bool:
    limit = SAME_WAIT * other.wait
    if better.wait <= limit or other.world <= better.world:
        return better.wait <= limit
    gain: float = (other.world / better.world) ** DEVICE_GAIN
    return better.wait <= limit * gain


def _as_frugal(better: Contender, other: Contender) -> bool:
    if better.world > other.world and not _waits_for_ram(other, better):
        return False
    if same_class(better.node_class, other.node_class) or other.wait > PATIENCE * better.wait:
        return True
    cost, other_cost = better.cost, other.cost
    if cost is not None and other_cost is not None:
        return cost <= SAME_COST * other_cost
    return better.size <= other.size


def same_class(one: NodeClass, other: NodeClass) -> bool:
    """Whether they are equal."""
    # names tell nearly all classes apart, and comparing whole ones is slow
    return one is other or (one.name == other.name and one == other)


def _waits_for_ram(way: Contender, without: Contender) -> bool:
    """Whether offloading keeps several devices busy for twice as long in all as another way that doesn't offload."""
    offloads = way.offload is not Offload.NONE and without.offload is Offload.NONE
    return offloads and way.world > 1 and 2 * without.seconds * without.world <= way.seconds * way.world


def device_size(node_class: NodeClass) -> int:
    """Memory of a device as a measure of what it is worth; a processor, whose RAM says nothing, is worth the least."""
    device = node_class.device
    return 0 if device.accelerator is Accelerator.CPU else device.memory
