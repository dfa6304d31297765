"""The base model and its adapter, checked before they are used."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)
from transformers.pytorch_utils import Conv1D
from transformers.utils.quantization_config import Mxfp4Config

from finetune_trainer.data.tokenizer import TextTokenizer
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import AdapterConfig, JobConfig
from finetune_trainer.lineage import ADAPTER_FILE
from finetune_trainer.quantization import DTYPES, keep_unpacked, loading_config

ALL_LINEAR = "all-linear"
"""Every linear module but the output head."""

HEADS = frozenset({"lm_head", "score"})
"""Last parts of names of what isn't adapted: the output head, and a reward model's score, which is trained whole."""

SCORE = "score.weight"
"""A reward model's score among its weights; a model that isn't one yet lacks it."""


def load_base(job: JobConfig, device: torch.device) -> PreTrainedModel:
    """The base model as the job trains on it: in the run's arithmetic or in 4 bits, and on the device.

    Raises:
        TrainerError: as load_model.
    """
    folder, dtype = Path(job.model.path), DTYPES[job.training.precision]
    scored = job.objective == "Reward"
    if job.quantization is None:
        whole: Any = load_model(folder, dtype, scored=scored)
        whole.to(device)
        return cast("PreTrainedModel", whole)
    # rounded tensor by tensor on the device itself, which never holds the whole model
    how = {"quantization_config": loading_config(job.quantization, dtype), "device_map": {"": device}}
    model = load_model(folder, dtype, scored=scored, **how)
    keep_unpacked(model)
    return model


def load_model(folder: Path, dtype: torch.dtype, *, scored: bool = False, **how: Any) -> PreTrainedModel:
    """A model from safetensors alone; on the CPU, unless it is said how else.

    Args:
        folder: of the model.
        dtype: of its weights.
        scored: a reward model, which has one score in place of the output head.
        how: as transformers has it.

    Raises:
        TrainerError: weights are missing, or the folder can't be read as a causal language model.
    """
    loader: Any = AutoModelForSequenceClassification if scored else AutoModelForCausalLM
    if scored:
        _hold_scorable(folder)
        how = {"num_labels": 1, **how}
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
    missing = sorted(k for k in info["missing_keys"] if not (scored and k == SCORE))
    if missing:
        raise TrainerError(ExitCode.MODEL, f"{folder}: the weights lack {_listed(missing)}; download the model again")
    loaded: PreTrainedModel = model
    if scored:
        _pad_apart(folder, loaded)
        if SCORE in info["missing_keys"]:
            # one drawn at random would prefer this or that before it has learnt anything
            nn.init.zeros_(cast("Any", loaded).score.weight)
    return loaded


def _config_of(folder: Path) -> Any:
    return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def _hold_scorable(folder: Path) -> None:
    known = _config_of(folder)
    if MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(known), None) is None:
        raise TrainerError(
            ExitCode.MODEL,
            f"{folder}: transformers has no model of the family {known.model_type} with a score; for objective: Reward "
            "take a model of another family, such as llama or qwen2",
        )


def _pad_apart(folder: Path, model: PreTrainedModel) -> None:
    """Give a model without a padding token one that no row ends with: its score is read at the last other token."""
    config = model.config.get_text_config()
    if config.pad_token_id is None:
        tokenizer = TextTokenizer.load(folder)
        wanted = (tokenizer.pad_token_id, *range(len(tokenizer.stop_token_ids) + 1))
        config.pad_token_id = next(i for i in wanted if i not in tokenizer.stop_token_ids)


def _attention(folder: Path) -> str:
    """The fused kernel of torch, or plain operators for a family that it can't serve (a cap on scores, sinks)."""
    known = _config_of(folder)
    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(known), None)
    return "sdpa" if kind is None or getattr(kind, "_supports_sdpa", False) else "eager"


def _is_mxfp4(folder: Path) -> bool:
    known = _config_of(folder)
    found = getattr(known, "quantization_config", None) or {}
    return bool(found.get("quant_method") == "mxfp4")


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer that is saved beside the result; training itself reads tokenizer.json directly."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, trust_remote_code=False, local_files_only=True
    )
    return tokenizer


def attach_adapter(
    model: PreTrainedModel, config: AdapterConfig, seed: int, *, magnitudes: bool, scored: bool = False
) -> PeftModel:
    """The model with a fresh adapter, drawn from the seed: the same digest every time; with DoRA's magnitudes or not.

    A reward model's score is trained whole beside it.

    Raises:
        TrainerError: a target isn't a linear module of this model; the real ones are listed.
    """
    check_targets(model, config.target_modules)
    set_seed(seed)
    targets: Any = ALL_LINEAR if config.target_modules == (ALL_LINEAR,) else list(config.target_modules)
    lora = LoraConfig(
        task_type="SEQ_CLS" if scored else "CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=targets,
        bias="none",
        use_dora=magnitudes,
        use_rslora=config.rank_stabilized,
    )
    adapted: PeftModel = get_peft_model(model, lora)
    return adapted


def load_parent(model: PeftModel, folder: Path, description: str) -> None:
    """Put the adapter of that folder in place of the fresh one.

    Raises:
        TrainerError: MODEL, it is on other modules, or of another size.
    """
    saved = load_file(folder / ADAPTER_FILE)
    fresh = get_peft_model_state_dict(model)
    wanted = {k: v.shape for k, v in fresh.items()}
    # of an adapter that wrote, a reward model's score begins fresh
    lacking = sorted(k for k in wanted.keys() - saved.keys() if k.rsplit(".", 2)[-2] not in HEADS)
    foreign = sorted(saved.keys() - wanted.keys())
    differ = sorted(k for k in saved.keys() & wanted.keys() if saved[k].shape != wanted[k])
    fault = _unlike(lacking, foreign, differ)
    if fault is not None:
        raise TrainerError(ExitCode.MODEL, f"model.adapter: {description} {fault}")
    set_peft_model_state_dict(model, fresh | saved)


def _unlike(lacking: list[str], foreign: list[str], differ: list[str]) -> str | None:
    """What keeps an adapter's tensors from being this model's; None where they are."""
    if foreign or lacking:
        theirs, ours = _adapted(foreign), _adapted(lacking)
        has = f"is on {theirs}, which adapter.targetModules leaves out" if theirs else f"lacks {ours}"
        return f"{has}; write the targetModules that it was trained with, and its base model"
    if differ:
        return f"is of another base model: its {differ[0]} has another size; name the one that it was trained on"
    return None


def _adapted(keys: list[str]) -> str:
    names = (k.split(".lora_")[0].rsplit(".", 1)[-1] for k in keys)
    return ", ".join(dict.fromkeys(names))


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
    return tuple(n for n in found if n not in HEADS)


def count_trainable(model: nn.Module) -> int:
    """Parameters that training changes."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
