"""From a job, facts and hardware to every way of training, judged."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from finetune_operator.api.spec import Accelerator, FineTuneJobSpec, Method
from finetune_operator.planner.advice import advise
from finetune_operator.planner.candidates import enumerate_candidates
from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.checks import Sizing, Verdict, disk_bytes, judge
from finetune_operator.planner.facts import Facts
from finetune_operator.planner.plan import Advice, Interval, Plan, PlanSet
from finetune_operator.planner.question import Question, pose
from finetune_operator.planner.ranking import rank
from finetune_operator.planner.rejections import instructive, lacks_hardware, without_devices
from finetune_operator.planner.remedies import with_remedy
from finetune_operator.planner.solver import is_tight
from finetune_operator.planner.speed import around
from finetune_operator.units import Bytes

LEARNING_RATES: Final = {Method.LORA: "2e-4", Method.FULL: "1e-5"}
"""Where the job names none: what adapters and whole models are commonly trained with."""

QUALITY: Final = {
    Method.LORA: "close to full fine-tuning for format and style; the base model's knowledge is kept",
    Method.FULL: "highest where there is much data; may forget what the data doesn't show",
}
"""What can be expected of the result."""


def plan(spec: FineTuneJobSpec, facts: Facts, capacity: Capacity) -> PlanSet:
    """Every way of training the job on that hardware: the viable ones best first, the others with what they lack.

    Raises:
        UnsupportedArchitectureError: the model can't be planned.
        InvalidManifestError: the job contradicts the model.
        DatasetInvalidError: there are no rows.
    """
    question = pose(spec, facts, capacity)
    advice = advise(question)
    candidates = enumerate_candidates(spec.method, spec.hardware, capacity)
    verdicts = [_with_remedy(question, judge(question, c), advice) for c in candidates]
    viable = [v.sizing for v in verdicts if v.rejection is None and v.sizing is not None]
    listed, unlisted = rank(_plan(question, sizing) for sizing in viable)
    told, untold = instructive(verdicts, spec.plan.option)
    return PlanSet(
        viable=listed,
        rejected=told or without_devices(spec.hardware, capacity),
        advice=_lightest(advice) if not listed and lacks_hardware(verdicts) else None,
        unlisted=unlisted,
        other_rejected=untold,
    )


def _with_remedy(question: Question, verdict: Verdict, advice: Mapping[Method, Advice]) -> Verdict:
    if verdict.rejection is None or verdict.sizing is None:
        return verdict
    return replace(verdict, rejection=with_remedy(question, verdict.sizing, verdict.rejection, advice))


def _lightest(advice: Mapping[Method, Advice]) -> Advice | None:
    """Of the methods that were asked about the one that takes the least hardware."""
    return min(advice.values(), key=lambda a: a.minimum.memory * a.minimum.devices, default=None)


def _plan(question: Question, sizing: Sizing) -> Plan:
    candidate, workload, sized = sizing.candidate, sizing.workload, sizing.sized
    free, seconds = candidate.node_class.device.free, sized.pace.seconds
    return Plan(
        id=candidate.id,
        method=candidate.method,
        zero_stage=candidate.zero_stage,
        offload=candidate.offload,
        node_class=candidate.node_class,
        nodes=candidate.nodes,
        devices_per_node=candidate.devices_per_node,
        precision=sizing.place.precision,
        micro_batch=sized.setting.micro_batch,
        accumulation=sized.setting.accumulation,
        checkpointing=sized.setting.checkpointing,
        memory=sized.memory,
        available=free,
        disk=Bytes(disk_bytes(question, workload, sized.setting.sharding)),
        total_parameters=workload.parameters,
        trainable_parameters=workload.trainable,
        learning_rate=question.spec.training.learning_rate or LEARNING_RATES[candidate.method],
        tokens_per_second=around(sized.pace.tokens_per_second),
        seconds=around(seconds),
        cost=_cost(sizing, seconds),
        quality=QUALITY[candidate.method],
        best_for=_best_for(sizing),
        tight=is_tight(sized.memory, candidate.node_class.device),
        because="",
    )


def _cost(sizing: Sizing, seconds: float) -> Interval | None:
    price = sizing.candidate.node_class.price_per_device_hour
    if price is None:
        return None
    return around(seconds / 3600 * sizing.candidate.world * price)


def _best_for(sizing: Sizing) -> str:
    candidate = sizing.candidate
    if candidate.node_class.device.accelerator is Accelerator.CPU:
        return "small models and small data, where there is no GPU"
    if candidate.method is Method.LORA:
        return "quick iteration on one device" if candidate.world == 1 else "much data, when time counts"
    return "new knowledge, with many thousands of rows"
