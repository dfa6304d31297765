"""What is evaluated: small models of families that differ in attention, keys and values, experts and head."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from finetune_operator.api.spec import Method

_LLAMA: Final = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 896,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 8192,
    "max_position_embeddings": 4096,
}

MODELS: Final[Mapping[str, Mapping[str, Any]]] = {
    "llama": _LLAMA,
    "mha": _LLAMA | {"num_key_value_heads": 8},
    "flat": _LLAMA | {"intermediate_size": 320, "num_hidden_layers": 12, "vocab_size": 512},
    "mistral": _LLAMA | {"model_type": "mistral", "sliding_window": 64},
    "qwen2": _LLAMA | {"model_type": "qwen2", "vocab_size": 32_000, "tie_word_embeddings": True},
    "qwen3": _LLAMA | {"vocab_size": 1024, "model_type": "qwen3", "head_dim": 64},
    "phi3": _LLAMA | {"vocab_size": 1024, "model_type": "phi3", "sliding_window": None, "pad_token_id": 2},
    "gemma2": _LLAMA
    | {
        "model_type": "gemma2",
        "head_dim": 32,
        "sliding_window": 128,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    },
    "gpt2": {
        "model_type": "gpt2",
        "n_embd": 256,
        "n_layer": 3,
        "n_head": 8,
        "n_positions": 4096,
        "vocab_size": 1024,
    },
    "gpt_neox": _LLAMA | {"vocab_size": 1024, "model_type": "gpt_neox", "intermediate_size": 1024},
    "phi2": _LLAMA | {"model_type": "phi", "num_key_value_heads": 8, "intermediate_size": 1024},
    "olmo2": _LLAMA | {"model_type": "olmo2", "num_key_value_heads": 8},
    "qwen3_moe": _LLAMA
    | {
        "model_type": "qwen3_moe",
        "head_dim": 64,
        "moe_intermediate_size": 96,
        "num_experts": 16,
        "num_experts_per_tok": 4,
    },
    "mixtral": _LLAMA | {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2},
    "deepseek_v3": _LLAMA
    | {
        "model_type": "deepseek_v3",
        "vocab_size": 1024,
        "num_key_value_heads": 8,
        "q_lora_rank": 96,
        "kv_lora_rank": 64,
        "qk_rope_head_dim": 16,
        "qk_nope_head_dim": 16,
        "v_head_dim": 32,
        "first_k_dense_replace": 3,
    },
    "gpt_oss": _LLAMA
    | {
        "model_type": "gpt_oss",
        "head_dim": 32,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "intermediate_size": 256,
        "sliding_window": 64,
    },
}
"""config.json by short names, with widths in the proportions of real models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One evaluation."""

    config: Mapping[str, Any]
    method: Method
    rank: int
    rows: int
    prompt: int
    """Tokens of the longest prompt."""
    answer: int
    """Of the longest answer."""


def _case(name: str) -> Case:
    """Read from its id: model, method, rows x (prompt + answer)."""
    model, method, shape = name.split()
    rows, lengths = shape.split("x")
    prompt, answer = lengths.split("+")
    return Case(
        config=MODELS[model], method=Method(method), rank=8, rows=int(rows), prompt=int(prompt), answer=int(answer)
    )


CASES: Final[Mapping[str, Case]] = {
    name: _case(name)
    for name in (
        "llama Full 20x90+12",
        "llama Full 6x500+60",
        "llama Full 2x900+30",
        "llama Full 3x40+200",
        "llama LoRA 20x90+12",
        "llama LoRA 6x500+60",
        "llama DoRA 20x90+12",
        "mha Full 8x200+60",
        "mha LoRA 3x40+200",
        "flat Full 2x400+60",
        "flat Full 20x60+20",
        "mistral Full 3x200+60",
        "qwen2 Full 20x90+12",
        "qwen2 LoRA 8x200+60",
        "qwen3 Full 8x200+30",
        "phi3 Full 8x200+30",
        "phi3 LoRA 8x200+20",
        "gemma2 Full 8x200+30",
        "gemma2 Full 2x800+30",
        "gpt2 Full 8x200+30",
        "gpt2 LoRA 8x200+20",
        "gpt_neox Full 8x200+30",
        "phi2 Full 8x200+20",
        "olmo2 Full 8x200+20",
        "mixtral Full 8x200+20",
        "mixtral LoRA 8x200+20",
        "qwen3_moe Full 8x200+20",
        "deepseek_v3 Full 8x200+30",
        "deepseek_v3 LoRA 3x40+60",
        "gpt_oss Full 8x200+20",
    )
}
"""Cases by id."""
