"""Predicted against measured memory: when it was highest, and what it was made of."""

from collections.abc import Iterable
from typing import Final

from finetune_trainer.events import PHASES, TOGETHER, Compared, MemoryEvent, MemoryPhase
from finetune_trainer.report import numbers
from finetune_trainer.report.markdown import NONE, escape, table

MEMORY_CHART: Final = "curves/memory.png"
"""The same as bars."""


def compare_peak(memory: MemoryEvent) -> tuple[str, ...]:
    """The line of the whole."""
    predicted, measured = memory.total_predicted, memory.measured
    return (
        "peak memory of a device in training",
        numbers.memory(predicted),
        numbers.memory(measured),
        numbers.ratio(measured, predicted),
    )


def render_memory(memory: MemoryEvent) -> Iterable[str]:
    """Components and phases."""
    yield f"Memory is the {escape(memory.measured_by)}. It was highest in this phase: {PHASES[memory.peak]}."
    yield table(
        ("memory by component", ">predicted", ">measured", ">measured ÷ predicted"),
        [*(_component(c) for c in memory.compared()), _whole(memory)],
    )
    yield " ".join(_explained(memory))
    yield f"![Bars: predicted and measured memory of each component]({MEMORY_CHART})"
    yield table(
        ("peak by phase", ">predicted", ">measured", ">measured ÷ predicted"),
        [_phase(memory, p, b) for p, b in in_order(memory).items()],
    )


def _phase(memory: MemoryEvent, phase: MemoryPhase, measured: int) -> tuple[str, ...]:
    planned = memory.predicted_phases.get(phase)
    found = (numbers.memory(planned), numbers.ratio(measured, planned)) if planned else (NONE, NONE)
    return (PHASES[phase], found[0], _marked(numbers.memory(measured), bold=phase == memory.peak), found[1])


def in_order(memory: MemoryEvent) -> dict[MemoryPhase, int]:
    """Phases as they come in a run."""
    return {p: memory.phases[p] for p in PHASES if p in memory.phases}


def label(component: str) -> str:
    """A component, or several, in words."""
    return f" {TOGETHER} ".join(component.split(TOGETHER))


def _component(compared: Compared) -> tuple[str, ...]:
    measured = NONE if compared.measured is None else numbers.memory(compared.measured)
    ratio = NONE if compared.measured is None else numbers.ratio(compared.measured, compared.predicted)
    return (label(compared.component), numbers.memory(compared.predicted), measured, ratio)


def _whole(memory: MemoryEvent) -> tuple[str, ...]:
    _, predicted, measured, ratio = compare_peak(memory)
    return ("**in all**", f"**{predicted}**", f"**{measured}**", f"**{ratio}**")


def _explained(memory: MemoryEvent) -> Iterable[str]:
    sentences = [f"When the first step began, {numbers.memory(memory.idle)} were held already."]
    if any(TOGETHER in name for name in memory.components):
        sentences.append(f"What stands together ({TOGETHER}) can't be told apart by measuring.")
    gradients = memory.tensors.get("gradients", 0)
    if gradients and "gradients" not in memory.components:
        sentences.append(f"Gradients alone take {numbers.memory(gradients)} at the end of the backward pass.")
    if memory.device:
        told = ", ".join(f"{name} {numbers.memory(b)}" for name, b in memory.device.items())
        sentences.append(f"The GPU at its highest: {told}.")
    above = [p for p in memory.phases if memory.phases[p] > memory.measured]
    if above:
        named = ", ".join(PHASES[p] for p in in_order(memory) if p in above)
        sentences.append(f"Outside of training steps more was taken by: {named}.")
    return sentences


def _marked(text: str, *, bold: bool) -> str:
    return f"**{text}**" if bold else text
