"""Models of the Llama architecture, and those close to it."""

from typing import Final

from finetune_operator.planner.catalogue.fields import HEAD_128, TIED, UNTIED, Entries, of, sizes

_LLAMA: Final = of("llama", "LlamaForCausalLM") | UNTIED
_GRANITE: Final = of("granite", "GraniteForCausalLM") | TIED
_OLMO: Final = of("olmo", "OlmoForCausalLM") | UNTIED
_OLMO2: Final = of("olmo2", "Olmo2ForCausalLM") | UNTIED
_OLMO3: Final = of("olmo3", "Olmo3ForCausalLM") | UNTIED | {"sliding_window": 4096}

LLAMA: Final[Entries] = (
    (
        ("HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        _LLAMA | sizes(576, 1536, 30, (9, 3), 49_152, 8192) | TIED,
    ),
    (
        ("HuggingFaceTB/SmolLM2-360M", "HuggingFaceTB/SmolLM2-360M-Instruct"),
        _LLAMA | sizes(960, 2560, 32, (15, 5), 49_152, 8192) | TIED,
    ),
    (
        ("HuggingFaceTB/SmolLM2-1.7B", "HuggingFaceTB/SmolLM2-1.7B-Instruct"),
        _LLAMA | sizes(2048, 8192, 24, (32, 32), 49_152, 8192) | TIED,
    ),
    (
        ("HuggingFaceTB/SmolLM3-3B", "HuggingFaceTB/SmolLM3-3B-Base"),
        of("smollm3", "SmolLM3ForCausalLM") | sizes(2048, 11_008, 36, (16, 4), 128_256, 65_536) | TIED,
    ),
    (
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "TinyLlama/TinyLlama_v1.1"),
        _LLAMA | sizes(2048, 5632, 22, (32, 4), 32_000, 2048),
    ),
    (
        ("meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-1B-Instruct", "unsloth/Llama-3.2-1B"),
        _LLAMA | sizes(2048, 8192, 16, (32, 8), 128_256, 131_072) | TIED | {"head_dim": 64},
    ),
    (
        ("meta-llama/Llama-3.2-3B", "meta-llama/Llama-3.2-3B-Instruct", "unsloth/Llama-3.2-3B"),
        _LLAMA | sizes(3072, 8192, 28, (24, 8), 128_256, 131_072) | TIED | HEAD_128,
    ),
    (
        ("meta-llama/Meta-Llama-3-8B", "meta-llama/Meta-Llama-3-8B-Instruct"),
        _LLAMA | sizes(4096, 14_336, 32, (32, 8), 128_256, 8192),
    ),
    (
        ("meta-llama/Meta-Llama-3-70B", "meta-llama/Meta-Llama-3-70B-Instruct"),
        _LLAMA | sizes(8192, 28_672, 80, (64, 8), 128_256, 8192),
    ),
    (
        (
            "meta-llama/Llama-3.1-8B",
            "meta-llama/Llama-3.1-8B-Instruct",
            "unsloth/Meta-Llama-3.1-8B",
            "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
        ),
        _LLAMA | sizes(4096, 14_336, 32, (32, 8), 128_256, 131_072),
    ),
    (
        (
            "meta-llama/Llama-3.1-70B",
            "meta-llama/Llama-3.1-70B-Instruct",
            "meta-llama/Llama-3.3-70B-Instruct",
            "deepseek-ai/DeepSeek-R1-Distill-Llama-70B",
        ),
        _LLAMA | sizes(8192, 28_672, 80, (64, 8), 128_256, 131_072),
    ),
    (
        ("meta-llama/Llama-3.1-405B", "meta-llama/Llama-3.1-405B-Instruct"),
        _LLAMA | sizes(16_384, 53_248, 126, (128, 8), 128_256, 131_072),
    ),
    (
        ("meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-7b-chat-hf", "NousResearch/Llama-2-7b-hf"),
        _LLAMA | sizes(4096, 11_008, 32, (32, 32), 32_000, 4096),
    ),
    (
        ("meta-llama/Llama-2-13b-hf", "meta-llama/Llama-2-13b-chat-hf", "lmsys/vicuna-13b-v1.5"),
        _LLAMA | sizes(5120, 13_824, 40, (40, 40), 32_000, 4096),
    ),
    (
        ("meta-llama/Llama-2-70b-hf", "meta-llama/Llama-2-70b-chat-hf"),
        _LLAMA | sizes(8192, 28_672, 80, (64, 8), 32_000, 4096),
    ),
    (
        ("huggyllama/llama-7b",),
        _LLAMA | sizes(4096, 11_008, 32, (32, 32), 32_000, 2048),
    ),
    (
        ("codellama/CodeLlama-7b-hf", "codellama/CodeLlama-7b-Instruct-hf"),
        _LLAMA | sizes(4096, 11_008, 32, (32, 32), 32_016, 16_384),
    ),
    (
        ("codellama/CodeLlama-13b-hf", "codellama/CodeLlama-13b-Instruct-hf"),
        _LLAMA | sizes(5120, 13_824, 40, (40, 40), 32_016, 16_384),
    ),
    (
        ("codellama/CodeLlama-34b-hf", "codellama/CodeLlama-34b-Instruct-hf"),
        _LLAMA | sizes(8192, 22_016, 48, (64, 8), 32_000, 16_384),
    ),
    (("01-ai/Yi-6B",), _LLAMA | sizes(4096, 11_008, 32, (32, 4), 64_000, 4096)),
    (("01-ai/Yi-34B",), _LLAMA | sizes(7168, 20_480, 60, (56, 8), 64_000, 4096)),
    (("01-ai/Yi-1.5-9B",), _LLAMA | sizes(4096, 11_008, 48, (32, 4), 64_000, 4096)),
    (
        ("deepseek-ai/deepseek-coder-1.3b-base", "deepseek-ai/deepseek-coder-1.3b-instruct"),
        _LLAMA | sizes(2048, 5504, 24, (16, 16), 32_256, 16_384),
    ),
    (
        ("deepseek-ai/deepseek-coder-6.7b-base", "deepseek-ai/deepseek-coder-6.7b-instruct"),
        _LLAMA | sizes(4096, 11_008, 32, (32, 32), 32_256, 16_384),
    ),
    (
        ("deepseek-ai/deepseek-coder-33b-base", "deepseek-ai/deepseek-coder-33b-instruct"),
        _LLAMA | sizes(7168, 19_200, 62, (56, 8), 32_256, 16_384),
    ),
    (
        ("deepseek-ai/deepseek-llm-7b-base", "deepseek-ai/deepseek-llm-7b-chat"),
        _LLAMA | sizes(4096, 11_008, 30, (32, 32), 102_400, 4096),
    ),
    (
        ("tiiuae/Falcon3-7B-Base", "tiiuae/Falcon3-7B-Instruct"),
        _LLAMA | sizes(3072, 23_040, 28, (12, 4), 131_072, 32_768) | {"head_dim": 256},
    ),
    (
        ("ibm-granite/granite-3.1-2b-base", "ibm-granite/granite-3.1-2b-instruct"),
        _GRANITE | sizes(2048, 8192, 40, (32, 8), 49_155, 131_072),
    ),
    (
        ("ibm-granite/granite-3.1-8b-base", "ibm-granite/granite-3.1-8b-instruct"),
        _GRANITE | sizes(4096, 12_800, 40, (32, 8), 49_155, 131_072),
    ),
    (
        ("ibm-granite/granite-3.3-2b-base", "ibm-granite/granite-3.3-2b-instruct"),
        _GRANITE | sizes(2048, 8192, 40, (32, 8), 49_159, 131_072),
    ),
    (
        ("ibm-granite/granite-3.3-8b-base", "ibm-granite/granite-3.3-8b-instruct"),
        _GRANITE | sizes(4096, 12_800, 40, (32, 8), 49_159, 131_072),
    ),
    (("ibm-research/PowerLM-3b",), _GRANITE | sizes(2304, 9216, 40, (36, 36), 49_152, 4096)),
    (("allenai/OLMo-1B-hf",), _OLMO | sizes(2048, 8192, 16, (16, 16), 50_304, 2048) | TIED),
    (("allenai/OLMo-7B-hf",), _OLMO | sizes(4096, 11_008, 32, (32, 32), 50_304, 2048)),
    (
        ("allenai/OLMo-2-0425-1B", "allenai/OLMo-2-0425-1B-Instruct"),
        _OLMO2 | sizes(2048, 8192, 16, (16, 16), 100_352, 4096),
    ),
    (
        ("allenai/OLMo-2-1124-7B", "allenai/OLMo-2-1124-7B-Instruct"),
        _OLMO2 | sizes(4096, 11_008, 32, (32, 32), 100_352, 4096),
    ),
    (
        ("allenai/OLMo-2-1124-13B", "allenai/OLMo-2-1124-13B-Instruct"),
        _OLMO2 | sizes(5120, 13_824, 40, (40, 40), 100_352, 4096),
    ),
    (("allenai/OLMo-2-0325-32B",), _OLMO2 | sizes(5120, 27_648, 64, (40, 8), 100_352, 4096)),
    (
        ("allenai/Olmo-3-1025-7B", "allenai/Olmo-3-7B-Instruct"),
        _OLMO3 | sizes(4096, 11_008, 32, (32, 32), 100_278, 65_536),
    ),
    (("allenai/Olmo-3-1125-32B",), _OLMO3 | sizes(5120, 27_648, 64, (40, 8), 100_278, 65_536)),
)
"""Llama, SmolLM, Granite, OLMo."""
