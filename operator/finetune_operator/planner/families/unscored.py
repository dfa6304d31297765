"""Families that transformers 5.23 has no sequence classification of, which a reward model is."""

from typing import Final

UNSCORED: Final = frozenset((
    "afmoe", "apertus", "bitnet", "codegen", "cohere", "cohere2", "cwm", "dots1", "ernie4_5", "ernie4_5_moe",
    "exaone_moe", "flex_olmo", "glm4_moe", "glm4_moe_lite", "granite", "granite_swa", "granitemoe",
    "granitemoe_swa", "granitemoeshared", "hyperclovax", "internlm3", "iquestcoder", "jais2", "mellum",
    "minimax_m2", "nanochat", "olmoe", "solar_open", "vaultgemma", "xglm", "youtu",
))  # fmt: skip
"""By model_type of config.json."""
