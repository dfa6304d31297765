"""Models with routed experts whose makers have no list of their own here."""

from typing import Any, Final

from finetune_operator.planner.catalogue.fields import HEAD_128, TIED, UNTIED, Entries, of, sizes

_GPT_OSS: Final = (
    of("gpt_oss", "GptOssForCausalLM")
    | UNTIED
    | {"head_dim": 64, "sliding_window": 128, "attention_bias": True, "num_experts_per_tok": 4}
    | {"quantization_config": {"quant_method": "mxfp4"}}
)
_DEEPSEEK: Final = UNTIED | {
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}
_GRANITE_MOE: Final = of("granitemoe", "GraniteMoeForCausalLM") | TIED | {"num_experts_per_tok": 8}


def _experts(routed: int, active: int, shared: int, width: int, dense: int) -> dict[str, Any]:
    """DeepSeek's fields: routed, active and shared experts, their width, and how many layers have none."""
    return {
        "n_routed_experts": routed,
        "num_experts_per_tok": active,
        "n_shared_experts": shared,
        "moe_intermediate_size": width,
        "first_k_dense_replace": dense,
    }


ROUTED: Final[Entries] = (
    (
        ("openai/gpt-oss-20b",),
        _GPT_OSS | {"num_local_experts": 32} | sizes(2880, 2880, 24, (64, 8), 201_088, 131_072),
    ),
    (
        ("openai/gpt-oss-120b",),
        _GPT_OSS | {"num_local_experts": 128} | sizes(2880, 2880, 36, (64, 8), 201_088, 131_072),
    ),
    (
        (
            "deepseek-ai/DeepSeek-V2-Lite",
            "deepseek-ai/DeepSeek-V2-Lite-Chat",
            "deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct",
        ),
        of("deepseek_v2", "DeepseekV2ForCausalLM")
        | _DEEPSEEK
        | {"q_lora_rank": None}
        | _experts(64, 6, 2, 1408, 1)
        | sizes(2048, 10_944, 27, (16, 16), 102_400, 163_840),
    ),
    (
        ("deepseek-ai/DeepSeek-V2", "deepseek-ai/DeepSeek-V2-Chat"),
        of("deepseek_v2", "DeepseekV2ForCausalLM")
        | _DEEPSEEK
        | {"q_lora_rank": 1536}
        | _experts(160, 6, 2, 1536, 1)
        | sizes(5120, 12_288, 60, (128, 128), 102_400, 163_840),
    ),
    # DeepSeek's own repository has 8-bit weights, which aren't trained
    (
        ("unsloth/DeepSeek-V3-bf16",),
        of("deepseek_v3", "DeepseekV3ForCausalLM")
        | _DEEPSEEK
        | {"q_lora_rank": 1536}
        | _experts(256, 8, 1, 2048, 3)
        | sizes(7168, 18_432, 61, (128, 128), 129_280, 163_840),
    ),
    (
        ("microsoft/Phi-3.5-MoE-instruct",),
        of("phimoe", "PhimoeForCausalLM")
        | UNTIED
        | {"attention_bias": True, "lm_head_bias": True, "num_local_experts": 16, "num_experts_per_tok": 2}
        | {"sliding_window": 131_072}
        | sizes(4096, 6400, 32, (32, 8), 32_064, 131_072),
    ),
    (
        ("allenai/OLMoE-1B-7B-0924", "allenai/OLMoE-1B-7B-0924-Instruct", "allenai/OLMoE-1B-7B-0125"),
        of("olmoe", "OlmoeForCausalLM")
        | UNTIED
        | {"num_experts": 64, "num_experts_per_tok": 8}
        | sizes(2048, 1024, 16, (16, 16), 50_304, 4096),
    ),
    (
        ("ibm-granite/granite-3.1-1b-a400m-base", "ibm-granite/granite-3.1-1b-a400m-instruct"),
        _GRANITE_MOE | {"num_local_experts": 32} | sizes(1024, 512, 24, (16, 8), 49_155, 131_072),
    ),
    (
        ("ibm-granite/granite-3.1-3b-a800m-base", "ibm-granite/granite-3.1-3b-a800m-instruct"),
        _GRANITE_MOE | {"num_local_experts": 40} | sizes(1536, 512, 32, (24, 8), 49_155, 131_072),
    ),
    (
        ("zai-org/GLM-4.5-Air", "zai-org/GLM-4.5-Air-Base"),
        of("glm4_moe", "Glm4MoeForCausalLM")
        | UNTIED
        | HEAD_128
        | {"attention_bias": True, "use_qk_norm": False}
        | _experts(128, 8, 1, 1408, 1)
        | sizes(4096, 10_944, 46, (96, 8), 151_552, 131_072),
    ),
    (
        ("baidu/ERNIE-4.5-21B-A3B-PT",),
        of("ernie4_5_moe", "Ernie4_5_MoeForCausalLM")
        | TIED
        | {"use_bias": False, "moe_intermediate_size": 1536, "moe_k": 6, "moe_num_experts": 64}
        | {"moe_num_shared_experts": 2, "moe_layer_start_index": 1, "moe_layer_end_index": -1, "moe_layer_interval": 1}
        | sizes(2560, 12_288, 28, (20, 4), 103_424, 131_072),
    ),
)
"""gpt-oss, DeepSeek, OLMoE, Granite and others with routed experts."""
