"""DoRA's magnitudes as exact as the optimizer has them.

A 16-bit engine computes with rounded ones, whose steps are coarser than a learning rate: saved like that, a short
training would leave nearly all of them where they began.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from deepspeed.utils import safe_get_full_fp32_param
from safetensors.torch import load_file, save_file

from finetune_trainer.lineage import ADAPTER_FILE

MAGNITUDE: Final = ".lora_magnitude_vector"
"""Ends a magnitude's name in a saved adapter; in the model PEFT appends the adapter's own name."""


def rounded_away(model: Any, parent: Path | None = None) -> dict[str, torch.Tensor]:
    """What magnitudes lack to what they begin as, by saved name: norms, or the parent's own; nothing without DoRA."""
    lacking = {}
    saved = load_file(parent / ADAPTER_FILE) if parent is not None else {}
    for name, parameter in _magnitudes(model):
        if name in saved:
            lacking[name] = saved[name].float() - parameter.detach().float().cpu()
            continue
        weight = model.get_submodule(name.removesuffix(MAGNITUDE)).get_base_layer().weight.detach()
        lacking[name] = (weight.float().norm(dim=1) - parameter.detach().float()).cpu()
    return lacking


def exact(engine: Any, lacking: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Magnitudes in 32 bits, as the optimizer has them, and with what they began without; called by all ranks."""
    found = {}
    for name, parameter in _magnitudes(engine.module):
        master = safe_get_full_fp32_param(parameter)
        if master is None:
            # without ZeRO the 32-bit copies are in a list; in 32 bits the optimizer steps on the weights themselves
            master = _masters(engine.optimizer).get(id(parameter), parameter)
        found[name] = master.detach().float().cpu() + lacking[name]
    return found


def write_exact(folder: Path, magnitudes: Mapping[str, torch.Tensor]) -> None:
    """Put exact magnitudes into the saved adapter; nothing without DoRA."""
    if not magnitudes:
        return
    file = folder / ADAPTER_FILE
    save_file(load_file(file) | dict(magnitudes), file, metadata={"format": "pt"})


def _magnitudes(model: Any) -> Iterator[tuple[str, torch.nn.Parameter]]:
    for name, parameter in model.named_parameters():
        before, found, _ = name.partition(MAGNITUDE)
        if found:
            yield before + found, parameter


def _masters(optimizer: Any) -> dict[int, torch.Tensor]:
    pairs = zip(getattr(optimizer, "fp16_groups", ()), getattr(optimizer, "fp32_groups", ()), strict=False)
    return {id(p): master for group, copies in pairs for p, master in zip(group, copies, strict=True)}
