"""deepspeed.json: every value written out, since "auto" would be decided where nobody looks."""

from typing import Any, Final

from finetune_operator.api.spec import Accelerator, Training
from finetune_operator.api.status import Offload
from finetune_operator.planner.plan import Plan, PrecisionUsed
from finetune_operator.planner.zero import (
    MAX_LIVE,
    SUB_GROUP,
    overlaps,
    persistence_threshold,
    prefetch_bucket,
    reduce_bucket,
)

STEPS_PER_PRINT: Final = 1_000_000_000
"""DeepSpeed's own step lines are off: progress is told by the trainer."""


def render_deepspeed(training: Training, plan: Plan, hidden_size: int) -> dict[str, Any]:
    """DeepSpeed's configuration for one plan.

    Notes:
        There is no optimizer and no scheduler in it: the trainer's own are used, so that learning rate and schedule
        have one source (and a scheduler in here meets an optimizer whose empty groups DeepSpeed dropped).
    """
    config: dict[str, Any] = {
        "train_batch_size": plan.micro_batch * plan.accumulation * plan.world,
        "train_micro_batch_size_per_gpu": plan.micro_batch,
        "gradient_accumulation_steps": plan.accumulation,
        "gradient_clipping": float(training.max_grad_norm),
        "bf16": {"enabled": plan.precision is PrecisionUsed.BF16},
        "fp16": _fp16(plan.precision),
        "zero_allow_untested_optimizer": True,
        "steps_per_print": STEPS_PER_PRINT,
        "wall_clock_breakdown": False,
        "zero_optimization": _zero(plan, hidden_size),
    }
    if plan.offload is not Offload.NONE:
        # DeepSpeed's own CPU optimizer is many times faster than torch's; on a CPU device nothing is offloaded to it
        config["zero_force_ds_cpu_optimizer"] = plan.node_class.device.accelerator is Accelerator.GPU
    return config


def _fp16(precision: PrecisionUsed) -> dict[str, Any]:
    if precision is not PrecisionUsed.FP16:
        return {"enabled": False}
    # loss_scale 0: found while training, from 2**16
    scale = {"loss_scale": 0, "loss_scale_window": 1000, "initial_scale_power": 16, "hysteresis": 2}
    return {"enabled": True, **scale, "min_loss_scale": 1}


def _zero(plan: Plan, hidden_size: int) -> dict[str, Any]:
    if plan.zero_stage == 0:
        return {"stage": 0}
    bucket = reduce_bucket(plan.zero_stage, plan.trainable_parameters, hidden_size)
    zero: dict[str, Any] = {
        "stage": plan.zero_stage,
        "contiguous_gradients": True,
        "reduce_scatter": True,
        "reduce_bucket_size": bucket,
        "overlap_comm": overlaps(plan.zero_stage, plan.world),
    }
    if plan.zero_stage == 3:
        zero |= _stage3(hidden_size)
    else:
        zero["allgather_bucket_size"] = bucket
    if plan.offload is not Offload.NONE:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": _pinned(plan)}
    if plan.offload is Offload.PARAMETERS:
        zero["offload_param"] = {"device": "cpu", "pin_memory": _pinned(plan)}
    return zero


def _stage3(hidden_size: int) -> dict[str, Any]:
    return {
        "sub_group_size": SUB_GROUP,
        "stage3_prefetch_bucket_size": prefetch_bucket(hidden_size),
        "stage3_param_persistence_threshold": persistence_threshold(hidden_size),
        "stage3_max_live_parameters": MAX_LIVE,
        "stage3_max_reuse_distance": MAX_LIVE,
        "stage3_gather_16bit_weights_on_model_save": True,
    }


def _pinned(plan: Plan) -> bool:
    """Pinned host memory is for copies to a GPU."""
    return plan.node_class.device.accelerator is Accelerator.GPU
