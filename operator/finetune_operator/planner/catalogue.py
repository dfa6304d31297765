"""Configurations of well-known models by hub id: enough to plan where the hub can't be reached."""

from collections.abc import Mapping
from typing import Any, Final

_LLAMA: Final = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": False}
_MISTRAL: Final = {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "tie_word_embeddings": False}
_QWEN2: Final = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "tie_word_embeddings": False}
_QWEN3: Final = {
    "model_type": "qwen3",
    "architectures": ["Qwen3ForCausalLM"],
    "tie_word_embeddings": False,
    "head_dim": 128,
    "attention_bias": False,
}
_TIED: Final = {"tie_word_embeddings": True}
_HEAD_128: Final = {"head_dim": 128}


def _sizes(hidden: int, ffn: int, layers: int, heads: tuple[int, int], vocab: int, positions: int) -> dict[str, int]:
    """The fields of config.json; heads are query heads, key and value heads."""
    return {
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_hidden_layers": layers,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "vocab_size": vocab,
        "max_position_embeddings": positions,
    }


_CONFIGS: Final[tuple[tuple[tuple[str, ...], Mapping[str, Any]], ...]] = (
    (
        ("HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        _LLAMA | _sizes(576, 1536, 30, (9, 3), 49_152, 8192) | _TIED,
    ),
    (
        ("HuggingFaceTB/SmolLM2-360M", "HuggingFaceTB/SmolLM2-360M-Instruct"),
        _LLAMA | _sizes(960, 2560, 32, (15, 5), 49_152, 8192) | _TIED,
    ),
    (
        ("HuggingFaceTB/SmolLM2-1.7B", "HuggingFaceTB/SmolLM2-1.7B-Instruct"),
        _LLAMA | _sizes(2048, 8192, 24, (32, 32), 49_152, 8192) | _TIED,
    ),
    (("TinyLlama/TinyLlama-1.1B-Chat-v1.0",), _LLAMA | _sizes(2048, 5632, 22, (32, 4), 32_000, 2048)),
    (
        ("meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-1B-Instruct"),
        _LLAMA | _sizes(2048, 8192, 16, (32, 8), 128_256, 131_072) | _TIED | {"head_dim": 64},
    ),
    (
        ("meta-llama/Llama-3.2-3B", "meta-llama/Llama-3.2-3B-Instruct"),
        _LLAMA | _sizes(3072, 8192, 28, (24, 8), 128_256, 131_072) | _TIED | _HEAD_128,
    ),
    (
        ("meta-llama/Meta-Llama-3-8B", "meta-llama/Meta-Llama-3-8B-Instruct"),
        _LLAMA | _sizes(4096, 14_336, 32, (32, 8), 128_256, 8192),
    ),
    (
        ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B-Instruct"),
        _LLAMA | _sizes(4096, 14_336, 32, (32, 8), 128_256, 131_072),
    ),
    (
        ("meta-llama/Llama-3.1-70B", "meta-llama/Llama-3.1-70B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"),
        _LLAMA | _sizes(8192, 28_672, 80, (64, 8), 128_256, 131_072),
    ),
    (
        ("meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-7b-chat-hf"),
        _LLAMA | _sizes(4096, 11_008, 32, (32, 32), 32_000, 4096),
    ),
    (
        ("meta-llama/Llama-2-13b-hf", "meta-llama/Llama-2-13b-chat-hf"),
        _LLAMA | _sizes(5120, 13_824, 40, (40, 40), 32_000, 4096),
    ),
    (
        ("mistralai/Mistral-7B-v0.1", "mistralai/Mistral-7B-Instruct-v0.1"),
        _MISTRAL | _sizes(4096, 14_336, 32, (32, 8), 32_000, 32_768),
    ),
    (
        ("mistralai/Mistral-7B-v0.3", "mistralai/Mistral-7B-Instruct-v0.3"),
        _MISTRAL | _sizes(4096, 14_336, 32, (32, 8), 32_768, 32_768),
    ),
    (
        ("mistralai/Ministral-8B-Instruct-2410",),
        _MISTRAL | _sizes(4096, 12_288, 36, (32, 8), 131_072, 32_768) | _HEAD_128,
    ),
    (
        ("mistralai/Mistral-Nemo-Base-2407", "mistralai/Mistral-Nemo-Instruct-2407"),
        _MISTRAL | _sizes(5120, 14_336, 40, (32, 8), 131_072, 131_072) | _HEAD_128,
    ),
    (
        ("mistralai/Mistral-Small-24B-Base-2501", "mistralai/Mistral-Small-24B-Instruct-2501"),
        _MISTRAL | _sizes(5120, 32_768, 40, (32, 8), 131_072, 32_768) | _HEAD_128,
    ),
    (
        ("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B-Instruct"),
        _QWEN2 | _sizes(896, 4864, 24, (14, 2), 151_936, 32_768) | _TIED,
    ),
    (
        ("Qwen/Qwen2.5-1.5B", "Qwen/Qwen2.5-1.5B-Instruct"),
        _QWEN2 | _sizes(1536, 8960, 28, (12, 2), 151_936, 32_768) | _TIED,
    ),
    (
        ("Qwen/Qwen2.5-3B", "Qwen/Qwen2.5-3B-Instruct"),
        _QWEN2 | _sizes(2048, 11_008, 36, (16, 2), 151_936, 32_768) | _TIED,
    ),
    (("Qwen/Qwen2.5-7B",), _QWEN2 | _sizes(3584, 18_944, 28, (28, 4), 152_064, 131_072)),
    (
        ("Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-Coder-7B-Instruct"),
        _QWEN2 | _sizes(3584, 18_944, 28, (28, 4), 152_064, 32_768),
    ),
    (("Qwen/Qwen2.5-14B",), _QWEN2 | _sizes(5120, 13_824, 48, (40, 8), 152_064, 131_072)),
    (("Qwen/Qwen2.5-14B-Instruct",), _QWEN2 | _sizes(5120, 13_824, 48, (40, 8), 152_064, 32_768)),
    (("Qwen/Qwen2.5-32B",), _QWEN2 | _sizes(5120, 27_648, 64, (40, 8), 152_064, 131_072)),
    (("Qwen/Qwen2.5-32B-Instruct",), _QWEN2 | _sizes(5120, 27_648, 64, (40, 8), 152_064, 32_768)),
    (("Qwen/Qwen2.5-72B",), _QWEN2 | _sizes(8192, 29_568, 80, (64, 8), 152_064, 131_072)),
    (("Qwen/Qwen2.5-72B-Instruct",), _QWEN2 | _sizes(8192, 29_568, 80, (64, 8), 152_064, 32_768)),
    (("Qwen/Qwen3-0.6B",), _QWEN3 | _sizes(1024, 3072, 28, (16, 8), 151_936, 40_960) | _TIED),
    (("Qwen/Qwen3-0.6B-Base",), _QWEN3 | _sizes(1024, 3072, 28, (16, 8), 151_936, 32_768) | _TIED),
    (("Qwen/Qwen3-1.7B",), _QWEN3 | _sizes(2048, 6144, 28, (16, 8), 151_936, 40_960) | _TIED),
    (("Qwen/Qwen3-1.7B-Base",), _QWEN3 | _sizes(2048, 6144, 28, (16, 8), 151_936, 32_768) | _TIED),
    (("Qwen/Qwen3-4B",), _QWEN3 | _sizes(2560, 9728, 36, (32, 8), 151_936, 40_960) | _TIED),
    (("Qwen/Qwen3-4B-Base",), _QWEN3 | _sizes(2560, 9728, 36, (32, 8), 151_936, 32_768) | _TIED),
    (("Qwen/Qwen3-4B-Instruct-2507",), _QWEN3 | _sizes(2560, 9728, 36, (32, 8), 151_936, 262_144) | _TIED),
    (("Qwen/Qwen3-8B",), _QWEN3 | _sizes(4096, 12_288, 36, (32, 8), 151_936, 40_960)),
    (("Qwen/Qwen3-8B-Base",), _QWEN3 | _sizes(4096, 12_288, 36, (32, 8), 151_936, 32_768)),
    (("Qwen/Qwen3-14B",), _QWEN3 | _sizes(5120, 17_408, 40, (40, 8), 151_936, 40_960)),
    (("Qwen/Qwen3-14B-Base",), _QWEN3 | _sizes(5120, 17_408, 40, (40, 8), 151_936, 32_768)),
    (("Qwen/Qwen3-32B",), _QWEN3 | _sizes(5120, 25_600, 64, (64, 8), 151_936, 40_960)),
)
"""Hub ids that share a configuration, and its fields as the repositories' config.json have them."""

CATALOGUE: Final[Mapping[str, Mapping[str, Any]]] = {repo: config for repos, config in _CONFIGS for repo in repos}
"""Configuration by hub id."""


def find_config(repo: str) -> Mapping[str, Any] | None:
    """config.json of the model with that hub id, in any case of letters; None for a model we don't know."""
    wanted = repo.casefold()
    return next((config for name, config in CATALOGUE.items() if name.casefold() == wanted), None)
