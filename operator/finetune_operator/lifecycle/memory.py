"""What an attempt that ran out of memory needed, and the one change that makes the next plan smaller."""

from math import ceil
from typing import Final

from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.spec import Accelerator
from finetune_operator.api.status import FineTuneJobStatus, OptionStatus
from finetune_operator.lifecycle.observed import Chosen
from finetune_operator.units import gib, parse_memory
from finetune_trainer.exit_codes import MEANINGS, ExitCode

SMALLER: Final = 0.85
"""Of what was planned, where nothing was measured: the least that a smaller micro-batch is sure to be below."""

WIDEST: Final = 0.85
"""Margin above which hardly anything is viable, and other hardware is the better way."""

_DEVICE: Final = MEANINGS[ExitCode.OUT_OF_MEMORY].reason
_HOST: Final = MEANINGS[ExitCode.HOST_OUT_OF_MEMORY].reason


def memory_advice(reason: str, status: FineTuneJobStatus, chosen: Chosen, job: FineTuneJob | None) -> str:
    """Planned, measured, and what to write instead; empty where memory wasn't what lacked.

    Args:
        reason: why the attempt ended.
        status: with the options, and what was measured before.
        chosen: what ran.
        job: None where the spec can't be read any more.
    """
    option = next((o for o in status.options if o.id == chosen.option), None)
    on_cpu = chosen.placement.accelerator is Accelerator.CPU
    if reason == _HOST and not on_cpu:
        return f"; a pod may use {gib(chosen.placement.host_memory)} of RAM under {chosen.option}{_another(option)}"
    if reason not in {_DEVICE, _HOST} or option is None or job is None:
        return ""
    measured = f"measured {status.memory.measured}" if status.memory is not None else "nothing measured before"
    figures = f"planned {option.memory.required} of {option.memory.available} a device, {measured}"
    return f"; {figures}{_change(status, option, float(job.spec.hardware.memory_margin))}"


def _another(option: OptionStatus | None) -> str:
    if option is None or option.offload.value == "None":
        return ""
    return ": of the options in status, those without offload take the least"


def _change(status: FineTuneJobStatus, option: OptionStatus, margin: float) -> str:
    wider = _margin(status, option, margin)
    if wider > WIDEST:
        return "; in a new job, write hardware with more memory a device, or more devices"
    return (
        f'; in a new job with another output, write hardware.memoryMargin: "{wider:.2f}" (it was {margin:g}), for a '
        "plan of smaller steps on the same devices"
    )


def _margin(status: FineTuneJobStatus, option: OptionStatus, margin: float) -> float:
    """The share to keep free so that a plan that is as far off as this one was would still fit."""
    planned, there = parse_memory(option.memory.required), parse_memory(option.memory.available)
    measured = parse_memory(status.memory.measured) if status.memory is not None and status.memory.measured else 0
    passed = max(measured / planned, 1.0) if planned else 1.0
    allowed = min((1 - margin) / passed, SMALLER * planned / there if there else 1.0)
    return ceil(100 * (1 - allowed) - 1e-9) / 100
