"""Short spellings of what many configurations have in common."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

Config: TypeAlias = Mapping[str, Any]
"""Fields of one config.json."""
Entries: TypeAlias = tuple[tuple[tuple[str, ...], Config], ...]
"""Hub ids that share a configuration, and its fields as the repositories' config.json have them."""

UNTIED: Final = {"tie_word_embeddings": False}
TIED: Final = {"tie_word_embeddings": True}
HEAD_128: Final = {"head_dim": 128}


def of(model_type: str, name: str) -> dict[str, Any]:
    """The family and its class."""
    return {"model_type": model_type, "architectures": [name]}


def sizes(hidden: int, ffn: int, layers: int, heads: tuple[int, int], vocab: int, positions: int) -> dict[str, int]:
    """The fields that most families have; heads are query heads, key and value heads."""
    return {
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_hidden_layers": layers,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "vocab_size": vocab,
        "max_position_embeddings": positions,
    }
