"""Going on from a checkpoint of another number of ranks, or another ZeRO stage: its state is divided anew.

DeepSpeed loads a checkpoint only as it was saved. Its own way around that writes all of it a second time, and can't go
from one stage to another; here each tensor is put together and handed to the engine that is there now.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from deepspeed.utils import (
    safe_set_full_fp32_param,
    safe_set_full_optimizer_state,
    safe_set_local_fp32_param,
    safe_set_local_optimizer_state,
)
from torch import distributed, nn

from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.saved_state import MOMENTS, SavedTensor, counters, saved_tensors


def trained_order(trainer: Any) -> list[str]:
    """Names of trained tensors in the order of transformers' optimizer: those that decay come first."""
    decaying = set(trainer.get_decay_parameter_names(trainer.model))
    names = [name for name, p in trainer.model.named_parameters() if p.requires_grad]
    return [*(n for n in names if n in decaying), *(n for n in names if n not in decaying)]


def take_up(trainer: Any, checkpoint: Path) -> None:
    """Give the trainer's engine the weights, moments and counters of a complete checkpoint.

    Raises:
        TrainerError: INTERNAL, the checkpoint is of other tensors.
    """
    engine = trainer.model_wrapped
    folder = next(checkpoint.glob("global_step*"))
    order = trained_order(trainer)
    with torch.no_grad():
        found = _put_all(engine, saved_tensors(folder, order))
    if found != set(order):
        raise TrainerError(
            ExitCode.INTERNAL,
            f"{checkpoint}: is of other tensors than those that are trained (such as "
            f"{min(found ^ set(order))}); write another output.path",
        )
    said = counters(folder)
    engine.global_steps, engine.skipped_steps = said["global_steps"], said["skipped_steps"]
    engine.global_samples = engine.global_steps * engine.train_batch_size()


def _put_all(engine: Any, saved: Iterator[SavedTensor]) -> set[str]:
    """Names of the tensors that were put."""
    optimizer = engine.optimizer
    stage = engine.zero_optimization_stage()
    if stage:
        _make_room(engine.basic_optimizer, _flat_weights(optimizer))
    if stage == 3:
        # weights that are too small to be divided between steps are divided meanwhile
        optimizer.checkpoint_event_prologue()
    elif stage:
        optimizer._lazy_init_hp_params_optimizer_state()  # noqa: SLF001  tensors are told where their moments are
    masters = _masters(engine) if stage == 0 else {}
    parameters = dict(engine.module.named_parameters())
    found: set[str] = set()
    steps = 0.0
    for tensor in saved:
        if tensor.name not in parameters:
            return {tensor.name}
        found.add(tensor.name)
        parameter = parameters[tensor.name]
        if stage == 3:
            _put_part(parameter, tensor)
        elif stage:
            _put_stretch(parameter, tensor)
        else:
            _put_whole(parameter, masters[parameter], engine.basic_optimizer, tensor)
        steps = tensor.step
    if stage:
        _set_steps(engine.basic_optimizer, steps)
    if stage == 3:
        optimizer.checkpoint_event_epilogue()
    return found


def _masters(engine: Any) -> dict[nn.Parameter, torch.Tensor]:
    """What the optimizer updates, by what the model computes with; in 32 bits they are the same."""
    if not hasattr(engine.optimizer, "fp32_groups"):
        return {p: p for group in engine.basic_optimizer.param_groups for p in group["params"]}
    pairs = zip(engine.optimizer.fp16_groups, engine.optimizer.fp32_groups, strict=True)
    return {low: high for lows, highs in pairs for low, high in zip(lows, highs, strict=True)}


def _put_whole(parameter: nn.Parameter, master: torch.Tensor, optimizer: Any, tensor: SavedTensor) -> None:
    parameter.copy_(tensor.weight)
    master.copy_(tensor.weight)
    state: dict[str, Any] = {kind: value.to(master.device, copy=True) for kind, value in tensor.moments.items()}
    # one kernel for all tensors counts where they are, bitsandbytes in Python
    counted = torch.tensor(tensor.step, dtype=torch.float32, device=master.device)
    state["step"] = counted if MOMENTS[0] in state else int(tensor.step)
    optimizer.state[master] = state


def _put_stretch(parameter: nn.Parameter, tensor: SavedTensor) -> None:
    parameter.copy_(tensor.weight)
    safe_set_full_fp32_param(parameter, tensor.weight)
    for kind in MOMENTS:
        safe_set_full_optimizer_state(parameter, tensor.moments[kind], kind)


def _put_part(parameter: Any, tensor: SavedTensor) -> None:
    size = parameter.ds_tensor.numel()
    mine = _part(tensor.weight, size)
    parameter.ds_tensor.copy_(mine)
    safe_set_local_fp32_param(parameter, mine)
    for kind in MOMENTS:
        safe_set_local_optimizer_state(parameter, _part(tensor.moments[kind], size), kind)


def _flat_weights(optimizer: Any) -> Sequence[torch.Tensor]:
    """This rank's share of each group, by the name that it has in an engine."""
    names = ("fp32_partitioned_groups_flat", "single_partition_of_fp32_groups", "fp32_groups_flat_partition")
    found: Sequence[torch.Tensor] = next(getattr(optimizer, name) for name in names if hasattr(optimizer, name))
    return found


def _make_room(optimizer: Any, weights: Sequence[torch.Tensor]) -> None:
    """Before the first step there are no moments."""
    # DeepSpeed's own optimizer for the CPU counts in Python, torch's where the weights are
    own = hasattr(optimizer, "ds_opt_adam")
    for weight in weights:
        state = optimizer.state[weight]
        state.setdefault("step", 0 if own else torch.zeros((), dtype=torch.float32, device=weight.device))
        for kind in MOMENTS:
            state.setdefault(kind, torch.zeros_like(weight))


def _part(value: torch.Tensor, size: int) -> torch.Tensor:
    """This rank's, the last one filled up."""
    flat = value.flatten()
    padded = nn.functional.pad(flat, (0, size * distributed.get_world_size() - flat.numel()))
    return padded.narrow(0, size * distributed.get_rank(), size)


def _set_steps(optimizer: Any, step: float) -> None:
    states: Sequence[dict[str, Any]] = list(optimizer.state.values())
    for state in states:
        if torch.is_tensor(state["step"]):
            state["step"].fill_(step)
        else:
            state["step"] = int(step)
