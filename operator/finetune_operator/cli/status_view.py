"""A job's status as labelled lines."""

from finetune_operator.api.conditions import ConditionStatus, ConditionType, find_condition
from finetune_operator.api.status import FineTuneJobStatus, MemoryCheck
from finetune_operator.cli.result_view import memory_text
from finetune_operator.units import parse_memory
from finetune_trainer.events import PHASES


def status_rows(status: FineTuneJobStatus, phase: str) -> list[tuple[str, str]]:
    """Label and text of each line; the phase is told by who knows what else there is to say of it."""
    rows = [("phase", phase)]
    if status.plan is not None:
        rows.append(("option", status.plan.option))
    if status.progress is not None:
        p = status.progress
        held_out = f" · held out {p.evaluation_loss}" if p.evaluation_loss is not None else ""
        told = f"step {p.step}/{p.steps} · epoch {p.epoch} · loss {p.loss}{held_out} · {p.remaining} left"
        rows.append(("progress", told))
        rows.append(("speed", f"{p.tokens_per_second} tok/s"))
    if status.checkpoint is not None:
        rows.append(("checkpoint", f"step {status.checkpoint.step} at {status.checkpoint.saved_at:%Y-%m-%d %H:%M:%S}Z"))
    if status.evaluation is not None:
        rows.append(("decision", f"{status.evaluation.decision.value}: {status.evaluation.because}"))
        rows.append(("next", status.evaluation.next_step))
    if status.memory is not None:
        rows.append(("memory", _memory(status.memory)))
    failed = find_condition(status.conditions, ConditionType.FAILED)
    if failed is not None and failed.status is ConditionStatus.TRUE:
        rows.append((failed.reason, failed.message))
    return rows


def _memory(memory: MemoryCheck) -> str:
    text = memory_text(parse_memory(memory.predicted), parse_memory(memory.measured), memory.error)
    named = next((words for phase, words in PHASES.items() if phase == memory.peak), None)
    return f"{text}, highest in: {named}" if named else text
