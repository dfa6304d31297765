"""The adapter that a run goes on from, held against what is asked for. No torch here."""

from pathlib import Path
from typing import Any, Final

from finetune_trainer.data.tokenizer import read_json
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import AdapterConfig, Method, Objective, ParentConfig
from finetune_trainer.lineage import ADAPTER_FILE, LINEAGE_FILE
from finetune_trainer.model_files import check_safetensors

CONFIG_FILE: Final = "adapter_config.json"
"""PEFT's name for what an adapter is."""

SCORED: Final = "score"
"""The module that a reward model's adapter holds whole."""

DRAWN: Final = (True, False, "gaussian", "orthogonal", None)
"""Ways to begin an adapter that leave the base model as it is; others put a part of it into the adapter."""


def check_parent(parent: ParentConfig, method: Method, objective: Objective, asked: AdapterConfig) -> None:
    """Hold an adapter's own description against the job's.

    Raises:
        TrainerError: MODEL, it can't be read, or is another adapter than the job describes; with what to write.
    """
    folder = Path(parent.path)
    found = read_json(folder / CONFIG_FILE)
    if not found:
        raise TrainerError(
            ExitCode.MODEL,
            f"{folder}: has no {CONFIG_FILE} with content; name the folder of an adapter that PEFT has saved",
        )
    if not (folder / ADAPTER_FILE).is_file():
        raise TrainerError(ExitCode.MODEL, f"{folder}: has no {ADAPTER_FILE}; copy the adapter again")
    check_safetensors(folder / ADAPTER_FILE)
    for fault in (_kind(found), _sizes(found, asked), _method(found, method), _modules(found, objective)):
        if fault is not None:
            raise TrainerError(ExitCode.MODEL, f"model.adapter: {parent.description} {fault}")


def files_of(parent: ParentConfig) -> list[Path]:
    """What the adapter is."""
    folder = Path(parent.path)
    return [p for n in (CONFIG_FILE, ADAPTER_FILE, LINEAGE_FILE) if (p := folder / n).is_file()]


def _kind(found: dict[str, Any]) -> str | None:
    if found.get("peft_type") != "LORA":
        return f"is of the kind {found.get('peft_type')}, and training goes on from LoRA's alone; train a new adapter"
    if found.get("init_lora_weights", True) not in DRAWN:
        return (
            f"was begun with init_lora_weights {found['init_lora_weights']}, which changed the base model under it; "
            "merge it into the base model, and train a new adapter"
        )
    for name in ("rank_pattern", "alpha_pattern", "trainable_token_indices", "target_parameters"):
        if found.get(name):
            return f"has {name}, which isn't trained here; merge it into the base model, and train a new adapter"
    if found.get("bias", "none") != "none":
        return "trains biases, which isn't done here; merge it into the base model, and train a new adapter"
    return None


def _sizes(found: dict[str, Any], asked: AdapterConfig) -> str | None:
    for name, key, wanted in (("rank", "r", asked.rank), ("alpha", "lora_alpha", asked.alpha)):
        if found.get(key) != wanted:
            return f"has {name} {found.get(key)}, and adapter.{name} is {wanted}; write {name}: {found.get(key)}"
    stabilized = bool(found.get("use_rslora"))
    if stabilized != asked.rank_stabilized:
        divisor, word = ("sqrt(rank)", "true") if stabilized else ("rank", "false")
        return f"counts alpha / {divisor} times; write adapter.rankStabilized: {word}"
    return None


def _method(found: dict[str, Any], method: Method) -> str | None:
    dora = bool(found.get("use_dora"))
    if dora != (method == "DoRA"):
        return f"is of {'DoRA' if dora else 'LoRA'}; write method: {'DoRA' if dora else 'LoRA or method: QLoRA'}"
    return None


def _modules(found: dict[str, Any], objective: Objective) -> str | None:
    others = sorted(set(found.get("modules_to_save") or ()) - {SCORED, "classifier"})
    if others:
        return f"holds whole modules ({', '.join(others)}), which aren't trained here; train a new adapter"
    if found.get("task_type") == "SEQ_CLS" and objective != "Reward":
        return f"is a reward model's, and scores; {objective} needs one that writes: name another, or leave it out"
    return None
