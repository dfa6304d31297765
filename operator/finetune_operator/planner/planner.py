"""From a job, facts and hardware to every way of training, judged."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from finetune_operator.api.spec import Accelerator, FineTuneJobSpec, Method, Objective
from finetune_operator.planner.advice import Advices, advise, prepare_advice
from finetune_operator.planner.candidates import enumerate_candidates
from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.checks import NEEDS_HARDWARE, Sizing, Verdict, cost_of, disk_bytes, judge_all
from finetune_operator.planner.deferred import Deferred
from finetune_operator.planner.dominance import Contender, contend
from finetune_operator.planner.facts import Facts
from finetune_operator.planner.figures import figures_of
from finetune_operator.planner.limits import hourly_cost
from finetune_operator.planner.memory import evaluation_memory, highest, phases_of, training_memory
from finetune_operator.planner.plan import Advice, Plan, PlanSet, Rejection
from finetune_operator.planner.question import Question, pose
from finetune_operator.planner.ranking import rank
from finetune_operator.planner.rejections import instructive, lacks_hardware, without_devices
from finetune_operator.planner.remedies import Judged, with_remedy
from finetune_operator.planner.serving import describe_serving
from finetune_operator.planner.solver import is_tight
from finetune_operator.planner.unsupported import without_nvme, without_support
from finetune_operator.units import Bytes

LEARNING_RATES: Final = {
    Objective.SFT: ("1e-5", "2e-4"),
    Objective.DPO: ("5e-7", "5e-6"),
    Objective.ORPO: ("8e-6", "8e-5"),
    Objective.KTO: ("5e-7", "5e-6"),
    Objective.REWARD: ("1e-5", "1e-4"),
    Objective.GRPO: ("1e-6", "1e-5"),
}
"""Where the job names none, for a whole model and for an adapter; docs/job.md has the sources."""

QUALITY: Final = {
    Method.LORA: "close to full fine-tuning for format and style; the base model's knowledge is kept",
    Method.QLORA: "close to LoRA's or a little below it: the base model is rounded to 4 bits",
    Method.DORA: "LoRA's or a little better, most of all at small ranks; the base model's knowledge is kept",
    Method.FULL: "highest where there is much data; may forget what the data doesn't show",
}
"""What can be expected of the result."""

BEST_FOR: Final = {
    Method.QLORA: "a model whose 16-bit weights don't fit the device",
    Method.DORA: "getting the most out of a small rank, when time doesn't count",
    Method.FULL: "new knowledge, with many thousands of rows",
}
"""When to take a method on a GPU; LoRA's depends on how many there are."""


def learning_rate(objective: Objective, method: Method) -> str:
    """What the objective is commonly trained with: the steps of an adapter are ten to twenty times a whole model's."""
    whole, adapter = LEARNING_RATES[objective]
    return whole if method is Method.FULL else adapter


def plan(spec: FineTuneJobSpec, facts: Facts, capacity: Capacity) -> PlanSet:
    """Every way of training the job on that hardware: the viable ones best first, the others with what they lack.

    Raises:
        UnsupportedArchitectureError: the model can't be planned.
        InvalidManifestError: the job contradicts the model.
        DatasetInvalidError: there are no rows.
    """
    question = pose(spec, facts, capacity)
    advice = prepare_advice(question)
    candidates = enumerate_candidates(spec.method, spec.hardware, capacity, spec.training.optimizer)
    verdicts = judge_all(question, candidates)
    viable = [v.sizing for v in verdicts if v.objection is None and v.sizing is not None]
    sizings = {s.candidate.id: s for s in viable}
    listed, unlisted = rank(map(_contender, viable), lambda way: _plan(question, sizings[way.id]))
    told, untold = instructive(verdicts, spec.plan.option)
    helped = _with_remedies(question, verdicts, told, advice)
    lacking = {} if listed or not lacks_hardware(verdicts) else advise(question, advice)
    return PlanSet(
        viable=listed,
        rejected=(helped or without_devices(spec.hardware, capacity))
        + without_nvme(capacity, verdicts)
        + without_support(capacity),
        advice=_lightest(lacking),
        hardware=lacking,
        unlisted=unlisted,
        other_rejected=_with_hardware(verdicts, untold, advice),
        turned_down=Deferred(lambda: tuple(_turned_down(question, verdicts))),
    )


def _turned_down(question: Question, verdicts: Sequence[Verdict]) -> Iterator[Plan]:
    for verdict in verdicts:
        if verdict.objection is not None and verdict.sizing is not None:
            yield _plan(question, verdict.sizing)


def _with_remedies(
    question: Question, verdicts: Sequence[Verdict], told: Sequence[Rejection], advice: Advices
) -> tuple[Rejection, ...]:
    judged = Judged(question, verdicts)
    names = {r.option for r in told}
    sized = {v.candidate.id: v.sizing for v in verdicts if v.sizing is not None and v.candidate.id in names}
    return tuple(with_remedy(question, judged, sized[r.option], r, advice) if r.option in sized else r for r in told)


def _with_hardware(verdicts: Sequence[Verdict], untold: Sequence[Rejection], advice: Advices) -> Deferred[Rejection]:
    """Rejections that are only told when they are asked for: with the hardware that the method takes."""

    def helped() -> Iterator[Rejection]:
        methods = {v.candidate.id: v.candidate.method for v in verdicts}
        for found in untold:
            hardware = advice[methods[found.option]] if found.reason in NEEDS_HARDWARE else None
            yield found if hardware is None else replace(found, advice=hardware)

    return Deferred(lambda: tuple(helped()))


def _lightest(advice: Mapping[Method, Advice]) -> Advice | None:
    """Of the methods that were asked about the one that takes the least hardware."""
    return min(advice.values(), key=lambda a: a.minimum.memory * a.minimum.devices, default=None)


def _contender(sizing: Sizing) -> Contender:
    candidate, pace = sizing.candidate, sizing.sized.pace
    hourly = hourly_cost(candidate)
    spent = None if hourly is None else pace.cost(hourly).mid
    return contend(candidate, pace.seconds, spent, tight=is_tight(sizing.sized.total, candidate.node_class.device))


def _plan(question: Question, sizing: Sizing) -> Plan:
    candidate, workload, sized = sizing.candidate, sizing.workload, sizing.sized
    free = candidate.node_class.device.free
    training = training_memory(workload, sized.setting)
    memory = highest(training, evaluation_memory(workload, sized.setting))
    figures = figures_of(workload, sized.setting, memory, free)
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
        memory=memory,
        training=training,
        phases={name: Bytes(count) for name, count in phases_of(workload, sized.setting).items()},
        allocated=figures.allocated,
        reserved=figures.reserved,
        process=figures.process,
        available=free,
        margin=sizing.place.margin,
        disk=Bytes(disk_bytes(question, workload, sized.setting.sharding)),
        total_parameters=workload.parameters,
        trainable_parameters=workload.trainable,
        learning_rate=question.spec.training.learning_rate or learning_rate(question.spec.objective, candidate.method),
        tokens_per_second=sized.pace.speed,
        seconds=sized.pace.duration,
        cost=cost_of(sizing),
        quality=QUALITY[candidate.method],
        best_for=_best_for(sizing),
        serving=describe_serving(workload),
        tight=is_tight(sized.total, candidate.node_class.device),
        because="",
    )


def _best_for(sizing: Sizing) -> str:
    candidate = sizing.candidate
    if candidate.node_class.device.accelerator is Accelerator.CPU:
        return "small models and small data, where there is no GPU"
    if candidate.method is Method.LORA:
        return "quick iteration on one device" if candidate.world == 1 else "much data, when time counts"
    return BEST_FOR[candidate.method]
