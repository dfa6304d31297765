"""An adapter to go on from, held against what the job says of it, before anything is loaded."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import AdapterConfig, ParentConfig
from finetune_trainer.parent import check_parent

ASKED = AdapterConfig(rank=8, alpha=16, rank_stabilized=False, dropout=0.0, target_modules=("all-linear",))
CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "r": 8,
    "lora_alpha": 16,
    "use_dora": False,
    "bias": "none",
    "init_lora_weights": True,
}


def parent(folder: Path, **changes: Any) -> ParentConfig:
    import numpy as np

    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | changes), encoding="utf-8")
    save_file({"a": np.zeros(2, dtype=np.float32)}, folder / "adapter_model.safetensors")
    return ParentConfig(path=str(folder), description="sft/out")


def test_the_adapter_that_the_job_describes_is_taken(tmp_path: Path) -> None:
    check_parent(parent(tmp_path), "LoRA", "DPO", ASKED)
    check_parent(parent(tmp_path), "QLoRA", "Reward", ASKED)
    check_parent(parent(tmp_path, use_dora=True), "DoRA", "SFT", ASKED)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"r": 4}, "has rank 4, and adapter.rank is 8; write rank: 4"),
        ({"lora_alpha": 8}, "has alpha 8, and adapter.alpha is 16; write alpha: 8"),
        ({"use_dora": True}, "is of DoRA; write method: DoRA"),
        ({"peft_type": "IA3"}, "is of the kind IA3, and training goes on from LoRA's alone; train a new adapter"),
        (
            {"init_lora_weights": "pissa"},
            (
                "was begun with init_lora_weights pissa, which changed the base model under it; merge it into the base "
                "model, and train a new adapter"
            ),
        ),
        ({"use_rslora": True}, "counts alpha / sqrt(rank) times; write adapter.rankStabilized: true"),
        (
            {"rank_pattern": {"q_proj": 4}},
            "has rank_pattern, which isn't trained here; merge it into the base model, and train a new adapter",
        ),
        (
            {"bias": "all"},
            "trains biases, which isn't done here; merge it into the base model, and train a new adapter",
        ),
        (
            {"modules_to_save": ["lm_head", "embed_tokens"]},
            "holds whole modules (embed_tokens, lm_head), which aren't trained here; train a new adapter",
        ),
        (
            {"task_type": "SEQ_CLS", "modules_to_save": ["score"]},
            "is a reward model's, and scores; DPO needs one that writes: name another, or leave it out",
        ),
    ],
)
def test_another_one_is_refused_with_what_to_write(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(TrainerError) as caught:
        check_parent(parent(tmp_path, **changes), "LoRA", "DPO", ASKED)
    assert caught.value.code is ExitCode.MODEL
    assert caught.value.message == f"model.adapter: sft/out {told}"


def test_a_lora_adapter_is_not_dora(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="is of LoRA; write method: LoRA or method: QLoRA"):
        check_parent(parent(tmp_path), "DoRA", "DPO", ASKED)


def test_a_stabilized_one_goes_on_as_it_is(tmp_path: Path) -> None:
    stabilized = ASKED.model_copy(update={"rank_stabilized": True})
    check_parent(parent(tmp_path, use_rslora=True), "LoRA", "DPO", stabilized)
    with pytest.raises(TrainerError, match=r"counts alpha / rank times; write adapter\.rankStabilized: false"):
        check_parent(parent(tmp_path), "LoRA", "DPO", stabilized)


def test_a_folder_without_one_is_refused(tmp_path: Path) -> None:
    nothing = ParentConfig(path=str(tmp_path), description="sft/out")
    with pytest.raises(TrainerError, match=r"has no adapter_config\.json with content"):
        check_parent(nothing, "LoRA", "DPO", ASKED)
    (tmp_path / "adapter_config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    with pytest.raises(TrainerError, match=r"has no adapter_model\.safetensors; copy the adapter again"):
        check_parent(nothing, "LoRA", "DPO", ASKED)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"version https://git-lfs")
    with pytest.raises(TrainerError, match="is no whole safetensors file"):
        check_parent(nothing, "LoRA", "DPO", ASKED)
