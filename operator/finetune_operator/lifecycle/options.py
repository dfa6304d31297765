"""The planner's answer as status: text with units."""

from collections.abc import Sequence

from finetune_operator.api.status import (
    DeviceStatus,
    HardwareAdvice,
    HardwareNeed,
    MemoryStatus,
    OptionStatus,
    RejectedStatus,
)
from finetune_operator.planner.plan import Advice, Hardware, Plan, Rejection
from finetune_operator.units import format_duration, format_memory


def option_statuses(viable: Sequence[Plan]) -> tuple[OptionStatus, ...]:
    """Viable options, best first; the first is the recommended one."""
    return tuple(option_status(p, recommended=i == 0) for i, p in enumerate(viable))


def option_status(plan: Plan, *, recommended: bool) -> OptionStatus:
    """One plan as text."""
    device = plan.node_class.device
    return OptionStatus(
        id=plan.id,
        recommended=recommended,
        because=plan.because,
        method=plan.method,
        zero_stage=plan.zero_stage,
        offload=plan.offload,
        nodes=plan.nodes,
        devices_per_node=plan.devices_per_node,
        device=DeviceStatus(
            accelerator=device.accelerator,
            product=device.product,
            memory=format_memory(device.memory),
        ),
        precision=plan.precision.value,
        micro_batch_size=plan.micro_batch,
        gradient_accumulation=plan.accumulation,
        gradient_checkpointing=plan.checkpointing,
        memory=MemoryStatus(
            required=format_memory(plan.memory.device_total),
            available=format_memory(plan.available),
            allocated=format_memory(plan.allocated),
            reserved=format_memory(plan.reserved),
            process=format_memory(plan.process),
            components={name: format_memory(count) for name, count in plan.memory.components().items() if count},
        ),
        trainable_parameters=plan.trainable_parameters,
        trainable_share=share(plan.trainable_parameters, plan.total_parameters),
        tokens_per_second=round(plan.tokens_per_second.mid),
        duration=format_duration(plan.seconds.mid),
        cost=f"{plan.cost.mid:.2f}" if plan.cost is not None else None,
        quality=plan.quality,
        best_for=plan.best_for,
        serving=plan.serving,
        tight=plan.tight,
    )


def share(part: int, whole: int) -> str:
    """A share in percent: three digits below one percent, since adapters are that small."""
    percent = 100 * part / whole
    return f"{percent:.2g}%" if percent < 1 else f"{percent:.0f}%" if percent >= 10 else f"{percent:.1f}%"


def rejected_statuses(rejected: Sequence[Rejection]) -> tuple[RejectedStatus, ...]:
    """Ways that aren't viable, each with need, have and remedy in one sentence."""
    return tuple(_rejected(r) for r in rejected)


def _rejected(rejection: Rejection) -> RejectedStatus:
    message = f"{rejection.message}; {rejection.remedy}" if rejection.remedy else rejection.message
    return RejectedStatus(
        option=rejection.option, reason=rejection.reason.value, message=message, likewise=rejection.likewise
    )


def advice_status(advice: Advice | None) -> HardwareAdvice | None:
    """The hardware it would take."""
    if advice is None:
        return None
    return HardwareAdvice(minimum=_need(advice.minimum), recommended=_need(advice.recommended))


def _need(hardware: Hardware) -> HardwareNeed:
    return HardwareNeed(
        devices=hardware.devices,
        nodes=hardware.nodes,
        memory=format_memory(hardware.memory),
        cores=hardware.cores,
        ram=format_memory(hardware.ram),
        disk=format_memory(hardware.disk),
        option=hardware.option,
    )
