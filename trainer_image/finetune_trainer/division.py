"""A model whose weights are divided among the ranks, as ZeRO-3 divides them, computing outside of training.

Every forward pass is one of all ranks: each puts its part of every layer there for the others. So ranks go through the
same number of batches and of tokens, and end together where one is asked to stop.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import torch
from deepspeed.runtime.zero.parameter_offload import DeepSpeedZeRoOffload
from peft import PeftModel
from torch import nn

from finetune_trainer.distributed import divide
from finetune_trainer.interrupts import StopFlag
from finetune_trainer.job_config import JobConfig
from finetune_trainer.ranks import Ranks

_OF_TRAINING: Final = ("pre_bwd_fn", "post_bwd_fn", "applied_pre_backward_ref_cnt", "ds_grads_remaining")
"""What DeepSpeed leaves on every module for a backward pass, and takes for its own where it finds it."""


def divides(job: JobConfig, deepspeed: dict[str, Any]) -> bool:
    """Whether weights are divided outside of training, too, or kept in RAM: where a device may not hold them all.

    Notes:
        4-bit weights are rounded on the device, each rank all of them, and are divided by the training alone.
    """
    zero = deepspeed["zero_optimization"]
    if zero["stage"] != 3 or job.quantization is not None:
        return False
    return job.world.size > 1 or "offload_param" in zero


class Division:
    """Divides a model that lies in RAM, and lets it compute like a whole one until it is left."""

    def __init__(
        self, model: nn.Module, deepspeed: dict[str, Any], device: torch.device, stop: StopFlag, ranks: Ranks
    ) -> None:
        divide(model, deepspeed)
        # what isn't a parameter is whole everywhere
        model.to(device)
        self._inner: Any = innermost(model)
        self._stop, self._ranks = stop, ranks
        self._asked = self._inner.register_forward_pre_hook(self._end_together)
        zero = deepspeed["zero_optimization"]
        self._hooks = DeepSpeedZeRoOffload(
            self._inner,
            timers=None,
            ds_config=deepspeed,
            overlap_comm=zero["overlap_comm"],
            prefetch_bucket_size=zero["stage3_prefetch_bucket_size"],
            max_reuse_distance=zero["stage3_max_reuse_distance"],
            max_live_parameters=zero["stage3_max_live_parameters"],
            param_persistence_threshold=zero["stage3_param_persistence_threshold"],
        )
        # no backward pass comes here, and these would look for one in every output
        for hook in self._hooks.backward_hooks:
            hook.remove()
        self._hooks.backward_hooks.clear()
        self._find_foreign(wanted=True)

    def leave(self, dtype: torch.dtype) -> None:
        """Give the model, divided as it is, to an engine of its own, with what is trained in the engine's arithmetic.

        Notes:
            An engine converts whole weights itself, and takes divided ones as they are.
        """
        self._find_foreign(wanted=False)
        self._hooks.partition_all_parameters()
        self._hooks.destroy()
        self._asked.remove()
        for module in self._inner.modules():
            for name in _OF_TRAINING:
                vars(module).pop(name, None)
        for parameter in self._inner.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(dtype)
                parameter.ds_tensor.data = parameter.ds_tensor.data.to(dtype)

    def _find_foreign(self, *, wanted: bool) -> None:
        """Put weights together, too, where another module takes them: DoRA measures those of the layer beside it."""
        for module in self._inner.modules():
            vars(module)["_parameters"]._in_forward = wanted  # noqa: SLF001  as DeepSpeed's own engine says it

    def _end_together(self, *passed: Any) -> None:
        """A rank that ended by itself would leave the others waiting for its part of the next layer."""
        del passed
        self._stop.requested = self._ranks.any(self._stop.requested)
        self._stop.check()


def innermost(model: Any) -> Any:
    """The language model itself, with the layers of an adapter where it has one: what generation calls."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def is_divided(model: nn.Module) -> bool:
    """Whether a model's weights are parts of weights."""
    return hasattr(next(model.parameters()), "ds_tensor")


def empty(model: nn.Module) -> None:
    """Let go of a divided model's weights: DeepSpeed remembers modules for as long as the process lives."""
    for parameter in model.parameters():
        part: Any = getattr(parameter, "ds_tensor", None)
        if part is not None:
            part.data = part.data.new_empty(0)
            # small ones stay put together
            parameter.data = parameter.data.new_empty(0)
            vars(parameter).pop("_z3_optimizer", None)


def dealt_out(
    every: Sequence[list[int]], model: nn.Module, stop: StopFlag, ranks: Ranks
) -> Iterator[tuple[int, list[int]]]:
    """This rank's batches with their numbers: dealt out whole, so that each is computed as one rank computes it.

    Notes:
        Where the model is divided all ranks have the same number: the last batch goes through again where they run out.
    """
    together = is_divided(model)
    for first in range(0, len(every), ranks.size):
        number = min(first + ranks.rank, len(every) - 1) if together else first + ranks.rank
        if not together:
            stop.check()
        if number < len(every):
            yield number, every[number]
