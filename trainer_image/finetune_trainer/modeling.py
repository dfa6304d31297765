"""The base model and its adapter, checked before they are used."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, set_seed

from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import AdapterConfig, Precision

ALL_LINEAR = "all-linear"
"""Every linear module but the output head."""

DTYPES: dict[Precision, torch.dtype] = {
    Precision.BF16: torch.bfloat16,
    Precision.FP16: torch.float16,
    Precision.FP32: torch.float32,
}
"""Arithmetic of an evaluation, and of weights under a 16-bit engine."""


def load_model(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The base model from safetensors alone, on the CPU.

    Raises:
        TrainerError: weights are missing, or the folder can't be read as a causal language model.
    """
    loader: Any = AutoModelForCausalLM
    try:
        model, info = loader.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError) as e:
        raise TrainerError(ExitCode.MODEL, f"{folder}: can't be loaded as a causal language model: {e}") from e
    except RuntimeError as e:
        if "mismatched" not in str(e):
            raise
        raise TrainerError(
            ExitCode.MODEL,
            f"{folder}: config.json doesn't belong to these weights (their shapes differ); download the model again",
        ) from e
    missing = sorted(info["missing_keys"])
    if missing:
        raise TrainerError(ExitCode.MODEL, f"{folder}: the weights lack {_listed(missing)}; download the model again")
    loaded: PreTrainedModel = model
    return loaded


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer that is saved beside the result; training itself reads tokenizer.json directly."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, trust_remote_code=False, local_files_only=True
    )
    return tokenizer


def attach_adapter(model: PreTrainedModel, config: AdapterConfig, seed: int) -> PeftModel:
    """The model with a fresh LoRA adapter, drawn from the seed: the same digest every time.

    Raises:
        TrainerError: a target isn't a linear module of this model; the real ones are listed.
    """
    check_targets(model, config.target_modules)
    set_seed(seed)
    targets: Any = ALL_LINEAR if config.target_modules == (ALL_LINEAR,) else list(config.target_modules)
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=targets,
        bias="none",
    )
    adapted: PeftModel = get_peft_model(model, lora)
    return adapted


def check_targets(model: nn.Module, targets: Iterable[str]) -> None:
    """Hold the targets against the model's linear modules.

    Raises:
        TrainerError: with the names that there are.
    """
    names = linear_names(model)
    for target in targets:
        if target != ALL_LINEAR and target not in names:
            raise TrainerError(
                ExitCode.MODEL,
                f"spec.adapter.targetModules: {target} is not in {type(model).__name__}; it has {', '.join(names)} "
                f"(or write {ALL_LINEAR})",
            )


def linear_names(model: nn.Module) -> tuple[str, ...]:
    """Last parts of the linear modules' names, without the output head, in the model's order."""
    found = {n.rsplit(".", 1)[-1]: None for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    return tuple(n for n in found if n != "lm_head")


def count_trainable(model: nn.Module) -> int:
    """Parameters that training changes."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
