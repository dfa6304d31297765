"""A job's status from what is observed: every function takes the status so far and gives the next one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, assert_never

from finetune_operator.api.conditions import Condition, ConditionStatus, ConditionType, set_condition
from finetune_operator.api.status import (
    CheckpointStatus,
    ComparedStatus,
    DatasetStatus,
    Decision,
    EvaluationStatus,
    Fault,
    FineTuneJobStatus,
    MemoryCheck,
    ModelStatus,
    OutputStatus,
    PlanStatus,
    ProgressStatus,
    TokenStatus,
)
from finetune_operator.constants import MAX_FAULTS
from finetune_operator.lifecycle.options import option_status
from finetune_operator.lifecycle.phase import phase_of
from finetune_operator.planner.facts import Facts
from finetune_operator.planner.plan import Plan
from finetune_operator.units import format_duration, format_memory
from finetune_trainer.events import (
    PHASES,
    CheckpointEvent,
    DataFacts,
    DataReport,
    EvaluationEvent,
    Event,
    FailureEvent,
    HeldOutEvent,
    InspectionFacts,
    MemoryEvent,
    PhaseEvent,
    ResultEvent,
    ResumeEvent,
    StepEvent,
    WarningEvent,
    deviation,
)
from finetune_trainer.exit_codes import MEANINGS, ExitCode

GENERATION: Final = 1
"""Of a job that no API server numbers."""


def begun(
    facts: Facts,
    inspection: InspectionFacts | None,
    plan: Plan,
    bundle_hash: str,
    now: datetime,
    revision: str | None = None,
) -> FineTuneJobStatus:
    """The status of a run whose plan is chosen and whose files are rendered."""
    known = {
        "model": model_status(facts, plan, revision),
        "dataset": dataset_status(inspection.train) if inspection is not None else None,
        "options": (option_status(plan, recommended=False),),
    }
    return chosen(plan.id, bundle_hash, now).model_copy(update=known)


def chosen(option: str, bundle_hash: str, now: datetime) -> FineTuneJobStatus:
    """The status of a run of which no more is known than its plan."""
    status = FineTuneJobStatus(observed_generation=GENERATION)
    status = with_condition(status, ConditionType.ACCEPTED, "Valid", "the spec is consistent", now)
    status = with_condition(status, ConditionType.INSPECTED, "Read", "model and dataset have been read", now)
    return with_plan(status, PlanStatus(option=option, hash=bundle_hash), now)


def with_plan(status: FineTuneJobStatus, plan: PlanStatus, now: datetime) -> FineTuneJobStatus:
    """The status with a choice that is made: no other hardware is asked for any more."""
    status = status.model_copy(update={"plan": plan, "hardware": None})
    return with_condition(status, ConditionType.PLANNED, "Chosen", f"option {plan.option} is chosen", now)


def started(status: FineTuneJobStatus, now: datetime) -> FineTuneJobStatus:
    """A session of the trainer begins; an earlier session's failure is history."""
    kept = tuple(c for c in status.conditions if c.type is not ConditionType.FAILED)
    status = status.model_copy(update={"conditions": kept})
    return with_condition(
        status, ConditionType.RUNNING, "Starting", "the trainer is starting", now, ConditionStatus.FALSE
    )


def advance(status: FineTuneJobStatus, event: Event, now: datetime) -> FineTuneJobStatus:
    """The status after one event of the trainer."""
    told = status
    match event:
        case StepEvent():
            told = _running(
                status.model_copy(update={"progress": _progress(event, status.progress, now)}), "training", now
            )
        case HeldOutEvent():
            told = status.model_copy(update={"progress": _evaluated(status.progress, event)})
        case PhaseEvent():
            told = _running(status, event.message, now)
        case ResumeEvent():
            told = _running(_kept(status, event, now), f"goes on from step {event.step}", now)
        case MemoryEvent():
            told = status.model_copy(update={"memory": _memory(event)})
        case CheckpointEvent():
            told = _kept(status, event, now)
        case ResultEvent():
            told = _succeeded(status, event, now)
        case FailureEvent():
            told = _failed(status, event, now)
        case EvaluationEvent() | InspectionFacts() | DataReport() | WarningEvent():
            pass
        case _ as never:
            assert_never(never)
    return told


def metric_texts(metrics: Mapping[str, float]) -> dict[str, str]:
    """Metrics as text, since a status holds no floats."""
    return {name: f"{value:.4g}" for name, value in metrics.items()}


def model_status(facts: Facts, plan: Plan, revision: str | None) -> ModelStatus:
    """The base model as it was read, with what a plan counts of it."""
    named = facts.model.config.get("architectures") or [facts.model.config.get("model_type", "unknown")]
    return ModelStatus(architecture=str(named[0]), parameters=plan.total_parameters, revision=revision)


def dataset_status(data: DataFacts) -> DatasetStatus:
    """The rows as they were read."""
    return DatasetStatus(
        format=data.format,
        rows=data.rows,
        skipped=data.skipped,
        tokens=TokenStatus(p50=data.lengths.p50, p95=data.lengths.p95, max=data.lengths.max),
        faults=tuple(Fault(file=f.file, line=f.line, message=f.message) for f in data.faults[:MAX_FAULTS]),
    )


def _kept(status: FineTuneJobStatus, event: CheckpointEvent | ResumeEvent, now: datetime) -> FineTuneJobStatus:
    known = status.checkpoint
    if known is not None and (known.step, known.path) == (event.step, event.path):
        return status
    saved = CheckpointStatus(step=event.step, path=event.path, saved_at=now)
    return status.model_copy(update={"checkpoint": saved})


def _evaluated(progress: ProgressStatus | None, event: HeldOutEvent) -> ProgressStatus | None:
    # the first one can come before the first step is told
    return progress and progress.model_copy(update={"evaluation_loss": f"{event.loss:.4g}"})


def _progress(event: StepEvent, before: ProgressStatus | None, now: datetime) -> ProgressStatus:
    return ProgressStatus(
        step=event.step,
        steps=event.steps,
        epoch=f"{event.epoch:.2f}",
        loss=f"{event.loss:.4g}",
        evaluation_loss=before.evaluation_loss if before is not None else None,
        learning_rate=f"{event.learning_rate:.3g}",
        tokens_per_second=round(event.tokens_per_second),
        remaining=format_duration(event.remaining_seconds),
        updated_at=now,
    )


def _memory(event: MemoryEvent) -> MemoryCheck:
    return MemoryCheck(
        **_peaks(event.total_predicted, event.measured),
        peak=event.peak,
        phases={p: format_memory(event.phases[p]) for p in PHASES if p in event.phases},
        components={
            c.component: ComparedStatus(
                predicted=format_memory(c.predicted),
                measured=None if c.measured is None else format_memory(c.measured),
            )
            for c in event.compared()
        },
    )


def _peaks(predicted: int, measured: int) -> dict[str, Any]:
    return {
        "predicted": format_memory(predicted),
        "measured": format_memory(measured),
        "error": deviation(measured, predicted),
    }


def _succeeded(status: FineTuneJobStatus, event: ResultEvent, now: datetime) -> FineTuneJobStatus:
    evaluation = EvaluationStatus(
        rows=event.rows,
        baseline=metric_texts(event.baseline),
        tuned=metric_texts(event.tuned),
        decision=Decision(event.decision),
        because=event.because,
        next_step=event.next_step,
    )
    status = status.model_copy(
        update={
            "evaluation": evaluation,
            "memory": (status.memory or MemoryCheck(predicted="", measured="")).model_copy(
                update=_peaks(event.memory_predicted, event.memory_measured)
            ),
            "output": OutputStatus(path=event.output, bytes=event.output_bytes, digest=event.digest),
        },
    )
    status = with_condition(status, ConditionType.RUNNING, "Finished", "training has ended", now, ConditionStatus.FALSE)
    return with_condition(status, ConditionType.SUCCEEDED, "Completed", "the output is complete and validated", now)


def _failed(status: FineTuneJobStatus, event: FailureEvent, now: datetime) -> FineTuneJobStatus:
    reason = MEANINGS[ExitCode(event.code)].reason if event.code in set(ExitCode) else "InternalError"
    status = with_condition(status, ConditionType.RUNNING, reason, event.message, now, ConditionStatus.FALSE)
    if event.code == ExitCode.INTERRUPTED:
        # stopped on request with a checkpoint: the same command goes on, nothing has failed
        return status
    return with_condition(status, ConditionType.FAILED, reason, event.message, now)


def _running(status: FineTuneJobStatus, message: str, now: datetime) -> FineTuneJobStatus:
    return with_condition(status, ConditionType.RUNNING, "Running", message, now)


def with_condition(
    status: FineTuneJobStatus,
    kind: ConditionType,
    reason: str,
    message: str,
    now: datetime,
    value: ConditionStatus = ConditionStatus.TRUE,
) -> FineTuneJobStatus:
    """The status with one condition set, of the generation that the status is of."""
    condition = Condition(
        type=kind,
        status=value,
        reason=reason,
        message=message,
        observed_generation=status.observed_generation,
        last_transition_time=now,
    )
    conditions = set_condition(status.conditions, condition)
    return status.model_copy(update={"conditions": conditions, "phase": phase_of(conditions)})
