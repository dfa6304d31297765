"""What is measured: real models' widths, few layers but for some, every way of training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from finetune_operator.api.spec import ALL_LINEAR, Adapter, Method

_LLAMA3: Final = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128_256,
    "max_position_embeddings": 131_072,
}

MODELS: Final[Mapping[str, Mapping[str, Any]]] = {
    "llama3": _LLAMA3,
    "llama2": _LLAMA3 | {"intermediate_size": 11008, "num_key_value_heads": 32, "vocab_size": 32_000},
    "llama1b": _LLAMA3
    | {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "head_dim": 64,
        "tie_word_embeddings": True,
    },
    "mistral": _LLAMA3 | {"model_type": "mistral", "vocab_size": 32_768, "sliding_window": None},
    "mixtral": _LLAMA3
    | {"model_type": "mixtral", "vocab_size": 32_000, "num_local_experts": 8, "num_experts_per_tok": 2},
    "qwen2": {
        "model_type": "qwen2",
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152_064,
        "max_position_embeddings": 32_768,
    },
    "qwen2-0.5b": {
        "model_type": "qwen2",
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151_936,
        "max_position_embeddings": 32_768,
        "tie_word_embeddings": True,
    },
    "qwen3": {
        "model_type": "qwen3",
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151_936,
        "max_position_embeddings": 40_960,
    },
    "qwen3-moe": {
        "model_type": "qwen3_moe",
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "moe_intermediate_size": 768,
        "num_hidden_layers": 48,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "vocab_size": 151_936,
        "max_position_embeddings": 40_960,
    },
    "gemma2": {
        "model_type": "gemma2",
        "hidden_size": 3584,
        "intermediate_size": 14336,
        "num_hidden_layers": 42,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 256,
        "vocab_size": 256_000,
        "max_position_embeddings": 8192,
        "sliding_window": 4096,
    },
    "phi3": {
        "model_type": "phi3",
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "vocab_size": 32_064,
        "max_position_embeddings": 4096,
        "sliding_window": None,
        "pad_token_id": 32_000,
    },
    "gpt_neox": {
        "model_type": "gpt_neox",
        "hidden_size": 4096,
        "intermediate_size": 16384,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "vocab_size": 50_432,
        "max_position_embeddings": 8192,
    },
    "phi2": {
        "model_type": "phi",
        "hidden_size": 2560,
        "intermediate_size": 10_240,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "vocab_size": 51_200,
        "max_position_embeddings": 8192,
        "partial_rotary_factor": 0.4,
    },
    "gpt2": {
        "model_type": "gpt2",
        "n_embd": 1600,
        "n_layer": 48,
        "n_head": 25,
        "n_positions": 4096,
        "vocab_size": 50_257,
        "attn_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
    },
    "opt": {
        "model_type": "opt",
        "hidden_size": 4096,
        "ffn_dim": 16_384,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "word_embed_proj_dim": 4096,
        "vocab_size": 50_272,
        "max_position_embeddings": 4096,
        "dropout": 0.0,
    },
    "olmo2": _LLAMA3
    | {
        "model_type": "olmo2",
        "intermediate_size": 11_008,
        "num_key_value_heads": 32,
        "vocab_size": 100_352,
        "max_position_embeddings": 8192,
    },
    "cohere": _LLAMA3
    | {
        "model_type": "cohere",
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "vocab_size": 256_000,
        "max_position_embeddings": 8192,
    },
    "gpt_oss": {
        "model_type": "gpt_oss",
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "num_hidden_layers": 24,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "num_local_experts": 32,
        "num_experts_per_tok": 4,
        "vocab_size": 201_088,
        "max_position_embeddings": 131_072,
        "sliding_window": 128,
    },
}
"""config.json by short names: Llama 3.1 8B, Llama 2 7B, Llama 3.2 1B, Mistral 7B v0.3, Mixtral 8x7B, Qwen2.5 7B and
0.5B, Qwen3 8B and 30B-A3B, Gemma 2 9B, Phi 3 mini, Phi-2, GPT-2 XL, OPT 6.7B, Pythia 6.9B
(these with longer rows than they were made for), OLMo 2 7B, a Command-R of 8B, and gpt-oss-20b."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One training step."""

    config: Mapping[str, Any]
    method: Method
    adapter: Adapter
    length: int
    micro_batch: int
    checkpointing: bool
    accumulation: int


def _case(name: str) -> Case:
    """Read from its id: model, layers, method, length x micro-batch, and what differs from the default."""
    model, layers, method, batch, *rest = name.split()
    length, micro_batch = batch.split("x")
    named = dict(word.split("=") for word in rest if "=" in word)
    adapter = Adapter(
        rank=int(named.get("rank", 16)),
        dropout=named.get("dropout", "0"),
        target_modules=tuple(named.get("targets", ALL_LINEAR).split(",")),
    )
    depth = "n_layer" if "n_layer" in MODELS[model] else "num_hidden_layers"
    return Case(
        config={**MODELS[model], depth: int(layers)},
        method=Method(method),
        adapter=adapter,
        length=int(length),
        micro_batch=int(micro_batch),
        checkpointing="checkpointing" in rest,
        accumulation=2 if "accumulated" in rest else 1,
    )


CASES: Final[Mapping[str, Case]] = {
    name: _case(name)
    for name in (
        "llama3 2 Full 1024x1",
        "llama3 4 Full 4096x2",
        "llama3 4 Full 8192x1 checkpointing",
        "llama3 2 LoRA 512x1",
        "llama3 4 LoRA 2048x1 checkpointing",
        "llama3 4 LoRA 2048x2",
        "llama3 4 LoRA 4096x1 dropout=0.05",
        "llama3 2 LoRA 8192x1 targets=q_proj,v_proj",
        "llama3 32 LoRA 4096x1 checkpointing",
        "llama3 32 LoRA 2048x1 accumulated",
        "llama3 4 QLoRA 1024x1",
        "llama3 32 QLoRA 2048x2 checkpointing",
        "llama3 32 QLoRA 512x1",
        "llama3 2 DoRA 1024x2",
        "llama3 8 DoRA 2048x1 checkpointing",
        "llama2 3 Full 4096x1",
        "llama2 32 LoRA 4096x1 dropout=0.05 rank=64",
        "llama2 4 QLoRA 4096x2 dropout=0.1",
        "llama1b 16 Full 8192x1",
        "llama1b 16 Full 4096x2 checkpointing accumulated",
        "llama1b 16 LoRA 512x2",
        "mistral 3 Full 8192x1",
        "mistral 4 LoRA 4096x2 checkpointing targets=q_proj,k_proj,v_proj,o_proj",
        "mistral 4 DoRA 4096x1 targets=q_proj,v_proj",
        "mistral 32 QLoRA 8192x1 checkpointing",
        "qwen2 3 Full 4096x1 checkpointing",
        "qwen2 4 LoRA 4096x1",
        "qwen2 4 LoRA 1024x2 targets=q_proj,v_proj checkpointing",
        "qwen2 28 QLoRA 4096x1",
        "qwen2-0.5b 24 Full 2048x2",
        "qwen2-0.5b 24 Full 8192x1 accumulated",
        "qwen2-0.5b 24 LoRA 8192x2 checkpointing",
        "qwen3 3 Full 4096x2",
        "qwen3 4 LoRA 2048x1",
        "qwen3 4 LoRA 2048x2 checkpointing dropout=0.05",
        "qwen3 4 DoRA 4096x1",
        "qwen3 36 QLoRA 1024x1",
        "gemma2 2 Full 2048x1",
        "gemma2 4 LoRA 2048x1",
        "gemma2 4 LoRA 1024x2 checkpointing",
        "gemma2 4 QLoRA 4096x1 checkpointing",
        "phi3 4 Full 4096x1",
        "phi3 32 LoRA 4096x1",
        "phi3 4 LoRA 2048x2",
        "phi3 4 QLoRA 4096x1 checkpointing",
        "gpt_neox 3 Full 4096x1",
        "gpt_neox 4 LoRA 2048x2",
        "gpt_neox 4 LoRA 4096x1 targets=query_key_value checkpointing",
        "phi2 4 LoRA 2048x1",
        "phi2 4 LoRA 2048x2 checkpointing",
        "gpt2 6 LoRA 2048x1",
        "gpt2 6 Full 2048x1",
        "opt 4 LoRA 2048x1",
        "olmo2 4 LoRA 2048x1",
        "olmo2 3 Full 4096x1",
        "cohere 2 LoRA 4096x1",
        "cohere 2 Full 4096x1",
        "gpt_oss 2 LoRA 2048x1 targets=q_proj,v_proj",
        "gpt_oss 2 LoRA 1024x2 targets=q_proj,v_proj checkpointing",
        "mixtral 2 LoRA 4096x1",
        "mixtral 2 LoRA 2048x2 checkpointing",
        "mixtral 2 QLoRA 2048x1 targets=q_proj,v_proj",
        "mixtral 1 Full 4096x1",
        "qwen3-moe 2 Full 4096x1",
        "qwen3-moe 3 LoRA 4096x1",
        "qwen3-moe 3 LoRA 2048x2 checkpointing",
    )
}
"""Cases by id."""
