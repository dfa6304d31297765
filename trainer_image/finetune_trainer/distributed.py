"""The devices and ranks this process really has, proven before anything long begins."""

import os
import socket
from collections.abc import Callable
from typing import Any

import torch
from deepspeed.runtime.zero import Init
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import Precision, WorldConfig
from finetune_trainer.ranks import Ranks, join, prove_devices


def check_world(world: WorldConfig, precision: Precision) -> None:
    """Hold the machine against the plan.

    Raises:
        TrainerError: another number of ranks, no GPU where one is planned, or arithmetic that the device lacks.
    """
    present = int(os.environ.get("WORLD_SIZE", "0"))
    if present != world.size:
        raise TrainerError(
            ExitCode.WORLD_SIZE_MISMATCH,
            f"the plan is for {world.size} ranks, {present} were started; start it by "
            "python -m finetune_trainer.launch job.json",
        )
    if world.accelerator == "GPU":
        _check_gpu(world, precision)


def _check_gpu(world: WorldConfig, precision: Precision) -> None:
    if not torch.cuda.is_available():
        raise TrainerError(
            ExitCode.ACCELERATOR_MISSING,
            "the plan is for a GPU and torch finds none; check the driver, or choose a CPU option, and write another "
            "output.path",
        )
    if torch.cuda.device_count() < world.devices_per_node:
        raise TrainerError(
            ExitCode.WORLD_SIZE_MISMATCH,
            f"the plan is for {world.devices_per_node} GPUs and torch finds {torch.cuda.device_count()}; free the "
            "others, or choose an option with fewer, and write another output.path",
        )
    if precision is Precision.BF16 and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise TrainerError(
            ExitCode.CONFIGURATION,
            f"{torch.cuda.get_device_name()} doesn't compute in bfloat16; write training.precision: FP16, and another "
            "output.path",
        )


def prepare_deepspeed(world: WorldConfig) -> None:
    """Bring DeepSpeed's communication up; before transformers makes its configuration objects.

    With use_cpu transformers doesn't do it itself, and DeepSpeed then counts one rank.
    """
    import deepspeed
    from deepspeed import ops

    if world.accelerator == "CPU":
        # an adapter's first steps square gradients near nothing; subnormal numbers make them slower
        torch.set_flush_denormal(True)
        # init_distributed on a CPU compiles shm_comm (45 s, and needs a compiler), which only inference uses
        compatible: dict[str, Any] = {}
        ops.__compatible_ops__ = compatible
        deepspeed.init_distributed(dist_backend="gloo")
    else:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        deepspeed.init_distributed(dist_backend="nccl")


def join_ranks(world: WorldConfig) -> Ranks:
    """The ranks of this run, proven to be those of the plan, each on a device of its own.

    Raises:
        TrainerError: WORLD_SIZE_MISMATCH.
    """
    prepare_deepspeed(world)
    ranks = join()
    if world.accelerator == "GPU":
        device = f"GPU {torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"
    else:
        # the first processes of two pods have the same id
        device = f"process {os.getpid()} on {socket.gethostname()}"
    prove_devices(world.size, device, ranks)
    return ranks


def device_of(world: WorldConfig) -> torch.device:
    """Where this rank computes."""
    return torch.device("cpu") if world.accelerator == "CPU" else torch.device("cuda", int(os.environ["LOCAL_RANK"]))


def divide(model: Any, deepspeed: dict[str, Any]) -> None:
    """Share a model's weights among the ranks as ZeRO-3 does, tensor by tensor: a device never holds them all."""
    start: Callable[..., object] = Init
    start(module=model, config_dict_or_path=deepspeed)


def leave_deepspeed() -> None:
    """Models loaded from now on are whole: under ZeRO-3 transformers would go on partitioning them."""
    forget: Callable[[], None] = unset_hf_deepspeed_config
    forget()
