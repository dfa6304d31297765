"""Whether small models of families keep rows of one line apart: `python -m … FAMILY…`, one line out for each."""

import sys
from typing import Any, Final

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from finetune_trainer.packed import keeps_apart

SIZES: Final[dict[str, Any]] = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "ffn_dim": 96,
    "word_embed_proj_dim": 64,
    "max_seq_len": 512,
    "attention_types": [[["global", "local"], 1]],
    "rotary_dim": 8,
    "n_inner": 96,
}
"""By every name that some family has for one; each takes those that it knows."""

LATENT: Final[dict[str, Any]] = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
}
"""Likewise where keys and values are compressed, which leaves head_dim as it follows from these."""

EVERY_HEAD: Final = frozenset({"dots1"})
"""Families whose default is as many keys as heads, which a smaller number of both has to say."""


def small(family: str) -> Any:
    """A model of the family with random weights, large enough for a row to notice another."""
    known = AutoConfig.for_model(family)
    sizes = SIZES | (LATENT if hasattr(known, "kv_lora_rank") else {})
    if "kv_lora_rank" in sizes:
        del sizes["head_dim"]
    if family in EVERY_HEAD:
        sizes["num_key_value_heads"] = sizes["num_attention_heads"]
    named = {k: v for k, v in sizes.items() if _takes(known, k)}
    config = AutoConfig.for_model(family, **named)
    loader: Any = AutoModelForCausalLM
    attention = "sdpa" if loader._model_mapping[type(config)]._supports_sdpa else "eager"
    torch.manual_seed(3)
    model = loader.from_config(config, dtype=torch.float32, attn_implementation=attention).eval()
    for weight in model.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, std=0.2)
    return model


def _takes(config: Any, name: str) -> bool:
    follows = getattr(type(config), name, None)
    if isinstance(follows, property) and follows.fset is None:
        return False
    return hasattr(config, name) or name in config.attribute_map


def main() -> None:
    """Try every family that is named."""
    torch.set_num_threads(1)
    for family in sys.argv[1:]:
        found = keeps_apart(small(family), range(5, 21), range(40, 56))
        sys.stdout.write(f"{family} {'apart' if found else 'leaks'}\n")


if __name__ == "__main__":
    main()
