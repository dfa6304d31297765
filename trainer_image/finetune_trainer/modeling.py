"""The base model and its adapter, checked before they are used."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)
from transformers.pytorch_utils import Conv1D
from transformers.utils.quantization_config import Mxfp4Config

from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import AdapterConfig, JobConfig
from finetune_trainer.quantization import DTYPES, keep_unpacked, loading_config

ALL_LINEAR = "all-linear"
"""Every linear module but the output head."""


def load_base(job: JobConfig, device: torch.device) -> PreTrainedModel:
    """The base model as the job trains on it: in the run's arithmetic or in 4 bits, and on the device.

    Raises:
        TrainerError: as load_model.
    """
    folder, dtype = Path(job.model.path), DTYPES[job.training.precision]
    if job.quantization is None:
        whole: Any = load_model(folder, dtype)
        whole.to(device)
        return cast("PreTrainedModel", whole)
    # rounded tensor by tensor on the device itself, which never holds the whole model
    how = {"quantization_config": loading_config(job.quantization, dtype), "device_map": {"": device}}
    model = load_model(folder, dtype, **how)
    keep_unpacked(model)
    return model


def load_model(folder: Path, dtype: torch.dtype, **how: Any) -> PreTrainedModel:
    """A model from safetensors alone; on the CPU, unless it is said how else.

    Raises:
        TrainerError: weights are missing, or the folder can't be read as a causal language model.
    """
    loader: Any = AutoModelForCausalLM
    try:
        if _is_mxfp4(folder):
            # trained as 16-bit weights, which these stand for
            how = {"quantization_config": Mxfp4Config(dequantize=True), **how}
        model, info = loader.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            attn_implementation=_attention(folder),
            output_loading_info=True,
            **how,
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


def _attention(folder: Path) -> str:
    """The fused kernel of torch, or plain operators for a family that it can't serve (a cap on scores, sinks)."""
    known: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(known), None)
    return "sdpa" if kind is None or getattr(kind, "_supports_sdpa", False) else "eager"


def _is_mxfp4(folder: Path) -> bool:
    known: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    found = getattr(known, "quantization_config", None) or {}
    return bool(found.get("quant_method") == "mxfp4")


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer that is saved beside the result; training itself reads tokenizer.json directly."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, trust_remote_code=False, local_files_only=True
    )
    return tokenizer


def attach_adapter(model: PreTrainedModel, config: AdapterConfig, seed: int, *, magnitudes: bool) -> PeftModel:
    """The model with a fresh adapter, drawn from the seed: the same digest every time; with DoRA's magnitudes or not.

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
        use_dora=magnitudes,
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
    heads: Any = getattr(model, "get_output_embeddings", lambda: None)
    head = heads()
    found = {
        n.rsplit(".", 1)[-1]: None
        for n, m in model.named_modules()
        if isinstance(m, nn.Linear | Conv1D) and m is not head
    }
    return tuple(n for n in found if n != "lm_head")


def count_trainable(model: nn.Module) -> int:
    """Parameters that training changes."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
