"""AdamW with its moments in 8 bits, by bitsandbytes, on DeepSpeed's 32-bit copies of what is trained."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import TrainingConfig


def hold_undivided(training: TrainingConfig, deepspeed: dict[str, Any]) -> None:
    """Hold the optimizer against DeepSpeed's configuration.

    Raises:
        TrainerError: CONFIGURATION, ZeRO is to divide what is in blocks of whole tensors.
    """
    stage = deepspeed["zero_optimization"]["stage"]
    if training.optimizer == "AdamW8bit" and stage:
        raise TrainerError(
            ExitCode.CONFIGURATION,
            f"deepspeed.json: zero_optimization.stage is {stage}, and AdamW8bit's state is whole on every device; take "
            "an option without ZeRO, or training.optimizer: AdamW, and write another output.path",
        )


def keep_embeddings_wide(groups: Sequence[dict[str, Any]], model: nn.Module) -> None:
    """Have bitsandbytes keep the moments of embeddings in 32 bits, before DeepSpeed takes the optimizer.

    Args:
        groups: the optimizer's.
        model: which they are of.

    Notes:
        bitsandbytes finds what is to stay wide by the tensor itself, and DeepSpeed puts its 32-bit copies in place of
        that; what stays is the place in its groups, of which it drops the empty ones.
    """
    # only where it is used: a process that needs none of it doesn't have it
    from bitsandbytes.optim import GlobalOptimManager

    tables = {p for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    places = GlobalOptimManager.get_instance().index2config
    for number, group in enumerate(g for g in groups if g["params"]):
        for index, parameter in enumerate(group["params"]):
            if parameter in tables:
                places[number, index] = {"optim_bits": 32}
