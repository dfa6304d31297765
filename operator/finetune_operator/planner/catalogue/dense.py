"""Gemma, Phi, GLM, Command, StableLM and other dense models with architectures of their own."""

from typing import Final

from finetune_operator.planner.catalogue.fields import HEAD_128, TIED, UNTIED, Entries, of, sizes

_HEAD_256: Final = {"head_dim": 256}
# written by transformers 4, they leave out tie_word_embeddings, which is on for this family
_GEMMA: Final = of("gemma", "GemmaForCausalLM") | _HEAD_256
_GEMMA2: Final = (
    of("gemma2", "Gemma2ForCausalLM")
    | _HEAD_256
    | {"sliding_window": 4096, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
)
_GEMMA3: Final = of("gemma3_text", "Gemma3ForCausalLM") | _HEAD_256 | {"sliding_window": 512}
_PHI: Final = of("phi", "PhiForCausalLM") | UNTIED | {"qk_layernorm": False}
_PHI3: Final = of("phi3", "Phi3ForCausalLM") | UNTIED
_GLM4: Final = of("glm4", "Glm4ForCausalLM") | UNTIED | HEAD_128
_COHERE: Final = of("cohere", "CohereForCausalLM") | {"use_qk_norm": False}
_STABLELM: Final = of("stablelm", "StableLmForCausalLM") | UNTIED

DENSE: Final[Entries] = (
    (
        ("google/gemma-2b", "google/gemma-2b-it", "google/codegemma-2b"),
        _GEMMA | sizes(2048, 16_384, 18, (8, 1), 256_000, 8192),
    ),
    (
        ("google/gemma-7b", "google/gemma-7b-it", "google/codegemma-7b"),
        _GEMMA | sizes(3072, 24_576, 28, (16, 16), 256_000, 8192),
    ),
    (("google/gemma-2-2b", "google/gemma-2-2b-it"), _GEMMA2 | sizes(2304, 9216, 26, (8, 4), 256_000, 8192)),
    (("google/gemma-2-9b", "google/gemma-2-9b-it"), _GEMMA2 | sizes(3584, 14_336, 42, (16, 8), 256_000, 8192)),
    (
        ("google/gemma-2-27b", "google/gemma-2-27b-it"),
        _GEMMA2 | sizes(4608, 36_864, 46, (32, 16), 256_000, 8192) | HEAD_128,
    ),
    (
        ("google/gemma-3-270m", "google/gemma-3-270m-it"),
        _GEMMA3 | sizes(640, 2048, 18, (4, 1), 262_144, 32_768),
    ),
    (("google/gemma-3-1b-pt", "google/gemma-3-1b-it"), _GEMMA3 | sizes(1152, 6912, 26, (4, 1), 262_144, 32_768)),
    (("microsoft/phi-1_5",), _PHI | sizes(2048, 8192, 24, (32, 32), 51_200, 2048)),
    (("microsoft/phi-2",), _PHI | sizes(2560, 10_240, 32, (32, 32), 51_200, 2048)),
    (
        ("microsoft/Phi-3-mini-4k-instruct",),
        _PHI3 | sizes(3072, 8192, 32, (32, 32), 32_064, 4096) | {"sliding_window": 2047},
    ),
    (
        ("microsoft/Phi-3-mini-128k-instruct", "microsoft/Phi-3.5-mini-instruct"),
        _PHI3 | sizes(3072, 8192, 32, (32, 32), 32_064, 131_072) | {"sliding_window": 262_144},
    ),
    (
        ("microsoft/Phi-3-medium-4k-instruct",),
        _PHI3 | sizes(5120, 17_920, 40, (40, 10), 32_064, 4096) | {"sliding_window": 2047},
    ),
    (
        ("microsoft/phi-4",),
        _PHI3 | sizes(5120, 17_920, 40, (40, 10), 100_352, 16_384) | {"sliding_window": None},
    ),
    (
        ("microsoft/Phi-4-mini-instruct",),
        _PHI3 | sizes(3072, 8192, 32, (24, 8), 200_064, 131_072) | TIED | {"sliding_window": 262_144},
    ),
    (
        ("zai-org/glm-4-9b-hf", "zai-org/glm-4-9b-chat-hf"),
        of("glm", "GlmForCausalLM")
        | UNTIED
        | HEAD_128
        | {"attention_bias": True}
        | sizes(4096, 13_696, 40, (32, 2), 151_552, 131_072),
    ),
    (
        ("zai-org/GLM-4-9B-0414",),
        _GLM4 | {"attention_bias": True} | sizes(4096, 13_696, 40, (32, 2), 151_552, 32_768),
    ),
    (
        ("zai-org/GLM-4-32B-0414", "zai-org/GLM-Z1-32B-0414"),
        _GLM4 | {"attention_bias": False} | sizes(6144, 23_040, 61, (48, 2), 151_552, 32_768),
    ),
    (
        ("CohereLabs/c4ai-command-r-v01", "CohereLabs/aya-23-35B"),
        _COHERE | sizes(8192, 22_528, 40, (64, 64), 256_000, 8192),
    ),
    (("CohereLabs/aya-23-8B",), _COHERE | sizes(4096, 14_336, 32, (32, 8), 256_000, 8192)),
    (
        ("CohereLabs/c4ai-command-r-plus",),
        _COHERE | {"use_qk_norm": True} | sizes(12_288, 33_792, 64, (96, 8), 256_000, 8192),
    ),
    (
        ("CohereLabs/c4ai-command-r7b-12-2024",),
        of("cohere2", "Cohere2ForCausalLM")
        | HEAD_128
        | {"sliding_window": 4096, "sliding_window_pattern": 4}
        | sizes(4096, 14_336, 32, (32, 8), 256_000, 8192),
    ),
    (
        ("stabilityai/stablelm-3b-4e1t",),
        _STABLELM | sizes(2560, 6912, 32, (32, 32), 50_304, 4096) | {"use_qkv_bias": False},
    ),
    (
        ("stabilityai/stablelm-2-1_6b", "stabilityai/stablelm-2-1_6b-chat"),
        _STABLELM | sizes(2048, 5632, 24, (32, 32), 100_352, 4096) | {"use_qkv_bias": True},
    ),
    (
        ("stabilityai/stablelm-2-12b",),
        _STABLELM
        | sizes(5120, 13_824, 40, (32, 8), 100_352, 4096)
        | {"use_qkv_bias": False, "qk_layernorm": True, "use_parallel_residual": True},
    ),
    (
        ("LGAI-EXAONE/EXAONE-4.0-1.2B",),
        of("exaone4", "Exaone4ForCausalLM")
        | TIED
        | {"head_dim": 64, "sliding_window": None, "layer_types": ["full_attention"] * 30}
        | sizes(2048, 4096, 30, (32, 8), 102_400, 65_536),
    ),
    (
        ("LGAI-EXAONE/EXAONE-4.0-32B",),
        of("exaone4", "Exaone4ForCausalLM")
        | UNTIED
        | HEAD_128
        | {"sliding_window": 4096, "sliding_window_pattern": 4}
        | sizes(5120, 27_392, 64, (40, 8), 102_400, 131_072),
    ),
    (
        ("ByteDance-Seed/Seed-OSS-36B-Base", "ByteDance-Seed/Seed-OSS-36B-Instruct"),
        of("seed_oss", "SeedOssForCausalLM")
        | UNTIED
        | HEAD_128
        | {"attention_bias": True, "attention_out_bias": False, "mlp_bias": False}
        | sizes(5120, 27_648, 64, (80, 8), 155_136, 524_288),
    ),
    (
        ("baidu/ERNIE-4.5-0.3B-PT", "baidu/ERNIE-4.5-0.3B-Base-PT"),
        of("ernie4_5", "Ernie4_5ForCausalLM")
        | TIED
        | HEAD_128
        | {"use_bias": False}
        | sizes(1024, 3072, 18, (16, 2), 103_424, 131_072),
    ),
)
"""Dense models with architectures of their own."""
