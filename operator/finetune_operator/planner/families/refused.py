"""Families that transformers has and the planner can't size, with what is missing."""

from collections.abc import Mapping
from typing import Final

_RECURRENT: Final = "has layers with a recurrent state, whose memory isn't modelled"
_IMAGES: Final = "reads images or sound"
_PER_LAYER: Final = "has embeddings for each layer, which aren't sized"
_INDEXED: Final = "chooses the tokens that it attends to with an indexer, which isn't sized"
_ENCODER: Final = "has an encoder"

_BY_REASON: Final[Mapping[str, tuple[str, ...]]] = {
    _RECURRENT: (
        "bailing_hybrid", "bamba", "falcon_h1", "falcon_mamba", "granitemoehybrid", "jamba", "kimi_linear", "lfm2",
        "lfm2_moe", "lfm3", "mamba", "mamba2", "minimax", "nemotron_h", "olmo_hybrid", "qwen3_5_moe_text",
        "qwen3_5_text", "qwen3_next", "qwen4_exp_text", "recurrent_gemma", "rwkv", "xlstm", "zamba", "zamba2", "zaya",
    ),
    _IMAGES: (
        "aya_vision", "cohere2_vision", "deepseek_vl", "fuyu", "gemma3", "gemma4", "glm4v", "glm4v_moe", "got_ocr2",
        "idefics2", "idefics3", "internvl", "llama4", "llama4_text", "llava", "llava_next", "mistral3", "mllama",
        "paligemma", "phi4_multimodal", "qwen2_5_omni", "qwen2_5_vl", "qwen2_audio", "qwen2_vl", "qwen3_5",
        "qwen3_5_moe", "qwen3_omni_moe", "qwen3_vl", "qwen3_vl_moe", "qwen4_exp", "smolvlm", "voxtral",
    ),
    _PER_LAYER: ("gemma3n", "gemma3n_text", "gemma4_text"),
    _INDEXED: ("deepseek_v32", "deepseek_v4", "glm_moe_dsa"),
    _ENCODER: ("bart", "mbart", "mt5", "pegasus", "t5", "t5gemma", "umt5", "whisper"),
}  # fmt: skip

REFUSED: Final[Mapping[str, str]] = {family: reason for reason, all_ in _BY_REASON.items() for family in all_}
"""What is missing, by model_type."""
