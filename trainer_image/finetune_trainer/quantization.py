"""The base model in 4 bits, under an adapter in the arithmetic of the run."""

from typing import Any, Final

import torch
from torch import nn
from transformers import BitsAndBytesConfig

from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import Precision, QuantizationConfig

DTYPES: Final[dict[Precision, torch.dtype]] = {
    Precision.BF16: torch.bfloat16,
    Precision.FP16: torch.float16,
    Precision.FP32: torch.float32,
}
"""Arithmetic of an evaluation, and of weights under a 16-bit engine."""

STORAGE: Final[dict[str, torch.dtype]] = {"uint8": torch.uint8} | {
    str(dtype).removeprefix("torch."): dtype for dtype in DTYPES.values()
}
"""Types that 4-bit codes are stored in, by their names in the contract."""


def check_engine(config: QuantizationConfig, precision: Precision, deepspeed: dict[str, Any]) -> None:
    """Hold the 4-bit weights against what DeepSpeed can do with them.

    Raises:
        TrainerError: it is to divide them and can't, or to move them to the host.
    """
    zero = deepspeed["zero_optimization"]
    if "offload_param" in zero:
        raise TrainerError(
            ExitCode.CONFIGURATION,
            "deepspeed.json: zero_optimization.offload_param keeps weights in RAM, and 4-bit weights stay on the "
            "device that they were rounded on; choose a QLoRA option without offload, and write another output.path",
        )
    wanted = DTYPES[precision]
    if zero["stage"] == 3 and STORAGE[config.storage] is not wanted:
        raise TrainerError(
            ExitCode.CONFIGURATION,
            f"job.json: quantization.storage: ZeRO-3 divides 4-bit weights only where they are stored as "
            f"{str(wanted).removeprefix('torch.')}, and it is {config.storage}; render the job again",
        )


def loading_config(config: QuantizationConfig, compute: torch.dtype) -> BitsAndBytesConfig:
    """How transformers quantises while it reads weights."""
    maker: Any = BitsAndBytesConfig
    found: BitsAndBytesConfig = maker(
        load_in_4bit=True,
        bnb_4bit_quant_type=config.kind,
        bnb_4bit_use_double_quant=config.double,
        bnb_4bit_compute_dtype=compute,
        bnb_4bit_quant_storage=STORAGE[config.storage],
    )
    return found


def keep_unpacked(model: nn.Module) -> None:
    """Have every 4-bit layer compute the same way in evaluation as in training.

    On a CPU with bfloat16 its first evaluation would repack the weights for a kernel that computes in bfloat16 whatever
    the run's arithmetic, and that no gradient goes through: training behind it would leave whole layers out.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def adapter_to(model: nn.Module, dtype: torch.dtype) -> None:
    """Put trainable weights beside 4-bit ones into one arithmetic: TRL takes bfloat16 whatever the run's is."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)
