"""What a job allows a training to take: time, money, money an hour. Judged by the middle of each estimate."""

import math
from typing import Final

from finetune_operator.planner.candidates import Candidate
from finetune_operator.planner.cluster.labels import PRICE
from finetune_operator.planner.plan import Interval, Rejection, RejectionReason
from finetune_operator.planner.question import Question
from finetune_operator.planner.sentences import plural
from finetune_operator.planner.speed import Pace, num_steps
from finetune_operator.units import format_duration, parse_duration

TENTHS: Final = 10
"""Parts of an epoch that a remedy is given in."""

ROUNDING: Final = 1e-9
"""Share by which a float may be off from the decimal that a user wrote."""


def hourly_cost(candidate: Candidate) -> float | None:
    """What all devices of a way cost an hour; None where no price is known."""
    price = candidate.node_class.price_per_device_hour
    return None if price is None else price * candidate.world


def too_slow(question: Question, candidate: Candidate, pace: Pace) -> Rejection | None:
    """The training takes longer than maxDuration."""
    limit = question.spec.hardware.max_duration
    if limit is None or pace.seconds <= parse_duration(limit):
        return None
    allowed, took = parse_duration(limit), pace.duration
    return Rejection(
        option=candidate.id,
        reason=RejectionReason.TOO_SLOW,
        message=f"needs {_time(took.mid, allowed)} of training ({_time(took.low)} to {_time(took.high)}); "
        f"spec.hardware.maxDuration is {limit}",
        remedy=_fewer_epochs(question, pace, allowed, "maxDuration"),
    )


def too_expensive(question: Question, candidate: Candidate, pace: Pace) -> Rejection | None:
    """The training costs more than maxCost."""
    limit, hourly = question.spec.hardware.max_cost, hourly_cost(candidate)
    if limit is None:
        return None
    if hourly is None:
        return _unpriced(candidate, "maxCost")
    cost, allowed = pace.cost(hourly), float(limit)
    if cost.mid <= allowed * (1 + ROUNDING):
        return None
    return Rejection(
        option=candidate.id,
        reason=RejectionReason.TOO_EXPENSIVE,
        message=f"needs {_money(cost, allowed)}; spec.hardware.maxCost is {limit}",
        remedy=_fewer_epochs(question, pace, allowed / hourly * 3600, "maxCost"),
    )


def too_expensive_an_hour(question: Question, candidate: Candidate) -> Rejection | None:
    """All devices together cost more an hour than maxHourlyCost."""
    limit, hourly = question.spec.hardware.max_hourly_cost, hourly_cost(candidate)
    if limit is None:
        return None
    price = candidate.node_class.price_per_device_hour
    if hourly is None or price is None:
        return _unpriced(candidate, "maxHourlyCost")
    # prices and limits are decimals, of which floats are a little off
    if hourly <= float(limit) * (1 + ROUNDING):
        return None
    most = int(float(limit) / price * (1 + ROUNDING))
    return Rejection(
        option=candidate.id,
        reason=RejectionReason.TOO_EXPENSIVE,
        message=f"needs {_amount(hourly, float(limit))} an hour ({plural(candidate.world, 'device')} at {price:g}); "
        f"spec.hardware.maxHourlyCost is {limit}",
        remedy=f"would fit: {plural(most, 'such device')}" if most else "",
    )


def _unpriced(candidate: Candidate, field: str) -> Rejection:
    node_class = candidate.node_class
    return Rejection(
        option=candidate.id,
        reason=RejectionReason.PRICE_UNKNOWN,
        message=f"needs a price, which {node_class.name} ({node_class.device.product}) has not; "
        f"spec.hardware.{field} can't be judged without one",
        remedy=f"write pricePerDeviceHour in the nodes file or the label {PRICE} on the nodes, or remove {field}",
    )


def _fewer_epochs(question: Question, pace: Pace, allowed: float, field: str) -> str:
    """The most epochs, in tenths, whose steps take no longer than allowed."""
    training = question.spec.training
    tenths = math.floor(float(training.epochs) * TENTHS * allowed / pace.seconds)
    while tenths > 0:
        epochs = f"{tenths / TENTHS:g}"
        seconds = pace.step_seconds * num_steps(question.data.rows, training.batch_size, epochs)
        if seconds <= allowed:
            return f'would fit: spec.training.epochs "{epochs}" ({_time(seconds)}), or a larger {field}'
        tenths -= 1
    return ""


def _time(seconds: float, beside: float | None = None) -> str:
    """As people write it; in seconds where it would otherwise read like the limit beside it."""
    text = format_duration(seconds)
    return f"{seconds:.1f} s" if beside is not None and text == format_duration(beside) else text


def _money(cost: Interval, beside: float) -> str:
    return f"about {_amount(cost.mid, beside)} ({cost.low:.2f} to {cost.high:.2f})"


def _amount(value: float, beside: float) -> str:
    """With as many digits as it takes to tell it from the limit beside it."""
    return next((t for d in range(2, 7) if (t := f"{value:.{d}f}") != f"{beside:.{d}f}"), f"{value!r}")
