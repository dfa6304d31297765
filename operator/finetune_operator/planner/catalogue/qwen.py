"""Qwen's models from 1.5 on; the first generation's code is in its repositories, not in transformers."""

from typing import Final

from finetune_operator.planner.catalogue.fields import HEAD_128, TIED, UNTIED, Entries, of, sizes

_QWEN2: Final = of("qwen2", "Qwen2ForCausalLM") | UNTIED
_QWEN2_MOE: Final = of("qwen2_moe", "Qwen2MoeForCausalLM") | UNTIED | {"decoder_sparse_step": 1}
_QWEN3: Final = of("qwen3", "Qwen3ForCausalLM") | UNTIED | HEAD_128 | {"attention_bias": False}
_QWEN3_MOE: Final = (
    of("qwen3_moe", "Qwen3MoeForCausalLM")
    | UNTIED
    | HEAD_128
    | {
        "attention_bias": False,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "num_experts": 128,
        "num_experts_per_tok": 8,
    }
)

QWEN: Final[Entries] = (
    (
        ("Qwen/Qwen1.5-0.5B", "Qwen/Qwen1.5-0.5B-Chat"),
        _QWEN2 | sizes(1024, 2816, 24, (16, 16), 151_936, 32_768) | TIED,
    ),
    (("Qwen/Qwen1.5-1.8B", "Qwen/Qwen1.5-1.8B-Chat"), _QWEN2 | sizes(2048, 5504, 24, (16, 16), 151_936, 32_768)),
    (("Qwen/Qwen1.5-4B", "Qwen/Qwen1.5-4B-Chat"), _QWEN2 | sizes(2560, 6912, 40, (20, 20), 151_936, 32_768)),
    (("Qwen/Qwen1.5-7B", "Qwen/Qwen1.5-7B-Chat"), _QWEN2 | sizes(4096, 11_008, 32, (32, 32), 151_936, 32_768)),
    (("Qwen/Qwen1.5-14B", "Qwen/Qwen1.5-14B-Chat"), _QWEN2 | sizes(5120, 13_696, 40, (40, 40), 152_064, 32_768)),
    (("Qwen/Qwen1.5-32B", "Qwen/Qwen1.5-32B-Chat"), _QWEN2 | sizes(5120, 27_392, 64, (40, 8), 152_064, 32_768)),
    (("Qwen/Qwen1.5-72B", "Qwen/Qwen1.5-72B-Chat"), _QWEN2 | sizes(8192, 24_576, 80, (64, 64), 152_064, 32_768)),
    (
        ("Qwen/Qwen1.5-MoE-A2.7B",),
        _QWEN2_MOE
        | sizes(2048, 5632, 24, (16, 16), 151_936, 8192)
        | {
            "moe_intermediate_size": 1408,
            "shared_expert_intermediate_size": 5632,
            "num_experts": 60,
            "num_experts_per_tok": 4,
        },
    ),
    (
        ("Qwen/Qwen2-57B-A14B",),
        _QWEN2_MOE
        | sizes(3584, 18_944, 28, (28, 4), 151_936, 131_072)
        | {
            "moe_intermediate_size": 2560,
            "shared_expert_intermediate_size": 20_480,
            "num_experts": 64,
            "num_experts_per_tok": 8,
        },
    ),
    (("Qwen/Qwen2-0.5B",), _QWEN2 | sizes(896, 4864, 24, (14, 2), 151_936, 131_072) | TIED),
    (("Qwen/Qwen2-1.5B",), _QWEN2 | sizes(1536, 8960, 28, (12, 2), 151_936, 131_072) | TIED),
    (
        ("Qwen/Qwen2-0.5B-Instruct", "Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-Coder-0.5B"),
        _QWEN2 | sizes(896, 4864, 24, (14, 2), 151_936, 32_768) | TIED,
    ),
    (
        (
            "Qwen/Qwen2-1.5B-Instruct",
            "Qwen/Qwen2.5-1.5B-Instruct",
            "Qwen/Qwen2.5-Coder-1.5B",
            "Qwen/Qwen2.5-Coder-1.5B-Instruct",
        ),
        _QWEN2 | sizes(1536, 8960, 28, (12, 2), 151_936, 32_768) | TIED,
    ),
    (("Qwen/Qwen2.5-1.5B",), _QWEN2 | sizes(1536, 8960, 28, (12, 2), 151_936, 131_072) | TIED),
    (
        ("Qwen/Qwen2.5-Math-1.5B", "Qwen/Qwen2.5-Math-1.5B-Instruct"),
        _QWEN2 | sizes(1536, 8960, 28, (12, 2), 151_936, 4096) | TIED,
    ),
    (
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",),
        _QWEN2 | sizes(1536, 8960, 28, (12, 2), 151_936, 131_072),
    ),
    (
        ("Qwen/Qwen2.5-3B", "Qwen/Qwen2.5-3B-Instruct", "Qwen/Qwen2.5-Coder-3B", "Qwen/Qwen2.5-Coder-3B-Instruct"),
        _QWEN2 | sizes(2048, 11_008, 36, (16, 2), 151_936, 32_768) | TIED,
    ),
    (
        ("Qwen/Qwen2-7B", "Qwen/Qwen2.5-7B", "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"),
        _QWEN2 | sizes(3584, 18_944, 28, (28, 4), 152_064, 131_072),
    ),
    (
        (
            "Qwen/Qwen2-7B-Instruct",
            "Qwen/Qwen2.5-7B-Instruct",
            "Qwen/Qwen2.5-Coder-7B",
            "Qwen/Qwen2.5-Coder-7B-Instruct",
        ),
        _QWEN2 | sizes(3584, 18_944, 28, (28, 4), 152_064, 32_768),
    ),
    (
        ("Qwen/Qwen2.5-Math-7B", "Qwen/Qwen2.5-Math-7B-Instruct"),
        _QWEN2 | sizes(3584, 18_944, 28, (28, 4), 152_064, 4096),
    ),
    (
        ("Qwen/Qwen2.5-14B", "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"),
        _QWEN2 | sizes(5120, 13_824, 48, (40, 8), 152_064, 131_072),
    ),
    (
        ("Qwen/Qwen2.5-14B-Instruct", "Qwen/Qwen2.5-Coder-14B", "Qwen/Qwen2.5-Coder-14B-Instruct"),
        _QWEN2 | sizes(5120, 13_824, 48, (40, 8), 152_064, 32_768),
    ),
    (
        ("Qwen/Qwen2.5-32B", "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B"),
        _QWEN2 | sizes(5120, 27_648, 64, (40, 8), 152_064, 131_072),
    ),
    (
        ("Qwen/Qwen2.5-32B-Instruct", "Qwen/Qwen2.5-Coder-32B", "Qwen/Qwen2.5-Coder-32B-Instruct"),
        _QWEN2 | sizes(5120, 27_648, 64, (40, 8), 152_064, 32_768),
    ),
    (("Qwen/QwQ-32B",), _QWEN2 | sizes(5120, 27_648, 64, (40, 8), 152_064, 40_960)),
    (("Qwen/Qwen2-72B", "Qwen/Qwen2.5-72B"), _QWEN2 | sizes(8192, 29_568, 80, (64, 8), 152_064, 131_072)),
    (
        ("Qwen/Qwen2-72B-Instruct", "Qwen/Qwen2.5-72B-Instruct"),
        _QWEN2 | sizes(8192, 29_568, 80, (64, 8), 152_064, 32_768),
    ),
    (("Qwen/Qwen3-0.6B",), _QWEN3 | sizes(1024, 3072, 28, (16, 8), 151_936, 40_960) | TIED),
    (("Qwen/Qwen3-0.6B-Base",), _QWEN3 | sizes(1024, 3072, 28, (16, 8), 151_936, 32_768) | TIED),
    (("Qwen/Qwen3-1.7B",), _QWEN3 | sizes(2048, 6144, 28, (16, 8), 151_936, 40_960) | TIED),
    (("Qwen/Qwen3-1.7B-Base",), _QWEN3 | sizes(2048, 6144, 28, (16, 8), 151_936, 32_768) | TIED),
    (("Qwen/Qwen3-4B",), _QWEN3 | sizes(2560, 9728, 36, (32, 8), 151_936, 40_960) | TIED),
    (("Qwen/Qwen3-4B-Base",), _QWEN3 | sizes(2560, 9728, 36, (32, 8), 151_936, 32_768) | TIED),
    (
        ("Qwen/Qwen3-4B-Instruct-2507", "Qwen/Qwen3-4B-Thinking-2507"),
        _QWEN3 | sizes(2560, 9728, 36, (32, 8), 151_936, 262_144) | TIED,
    ),
    (("Qwen/Qwen3-8B",), _QWEN3 | sizes(4096, 12_288, 36, (32, 8), 151_936, 40_960)),
    (("Qwen/Qwen3-8B-Base",), _QWEN3 | sizes(4096, 12_288, 36, (32, 8), 151_936, 32_768)),
    (("Qwen/Qwen3-14B",), _QWEN3 | sizes(5120, 17_408, 40, (40, 8), 151_936, 40_960)),
    (("Qwen/Qwen3-14B-Base",), _QWEN3 | sizes(5120, 17_408, 40, (40, 8), 151_936, 32_768)),
    (("Qwen/Qwen3-32B",), _QWEN3 | sizes(5120, 25_600, 64, (64, 8), 151_936, 40_960)),
    (
        ("Qwen/Qwen3-30B-A3B",),
        _QWEN3_MOE | sizes(2048, 6144, 48, (32, 4), 151_936, 40_960) | {"moe_intermediate_size": 768},
    ),
    (
        ("Qwen/Qwen3-30B-A3B-Base",),
        _QWEN3_MOE | sizes(2048, 6144, 48, (32, 4), 151_936, 32_768) | {"moe_intermediate_size": 768},
    ),
    (
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", "Qwen/Qwen3-30B-A3B-Thinking-2507"),
        _QWEN3_MOE | sizes(2048, 6144, 48, (32, 4), 151_936, 262_144) | {"moe_intermediate_size": 768},
    ),
    (
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct",),
        _QWEN3_MOE | sizes(2048, 6144, 48, (32, 4), 151_936, 262_144) | {"moe_intermediate_size": 768},
    ),
    (
        ("Qwen/Qwen3-235B-A22B",),
        _QWEN3_MOE | sizes(4096, 12_288, 94, (64, 4), 151_936, 40_960) | {"moe_intermediate_size": 1536},
    ),
    (
        ("Qwen/Qwen3-Coder-480B-A35B-Instruct",),
        _QWEN3_MOE
        | sizes(6144, 8192, 62, (96, 8), 151_936, 262_144)
        | {"moe_intermediate_size": 2560, "num_experts": 160},
    ),
)
"""Qwen 1.5, 2, 2.5 and 3, and DeepSeek's R1 distilled into them."""
