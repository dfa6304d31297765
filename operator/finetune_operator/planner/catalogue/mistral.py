"""Models of Mistral's architecture."""

from typing import Final

from finetune_operator.planner.catalogue.fields import HEAD_128, UNTIED, Entries, of, sizes

_NO_WINDOW: Final = {"sliding_window": None}
_MISTRAL: Final = of("mistral", "MistralForCausalLM") | UNTIED | _NO_WINDOW
_MIXTRAL: Final = (
    of("mixtral", "MixtralForCausalLM")
    | UNTIED
    | _NO_WINDOW
    | {
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
    }
)

MISTRAL: Final[Entries] = (
    (
        ("mistralai/Mistral-7B-v0.1", "mistralai/Mistral-7B-Instruct-v0.1", "HuggingFaceH4/zephyr-7b-beta"),
        _MISTRAL | sizes(4096, 14_336, 32, (32, 8), 32_000, 32_768) | {"sliding_window": 4096},
    ),
    (
        ("mistralai/Mistral-7B-Instruct-v0.2",),
        _MISTRAL | sizes(4096, 14_336, 32, (32, 8), 32_000, 32_768),
    ),
    (
        ("mistralai/Mistral-7B-v0.3", "mistralai/Mistral-7B-Instruct-v0.3"),
        _MISTRAL | sizes(4096, 14_336, 32, (32, 8), 32_768, 32_768),
    ),
    (
        ("mistralai/Ministral-8B-Instruct-2410",),
        _MISTRAL | sizes(4096, 12_288, 36, (32, 8), 131_072, 32_768) | HEAD_128 | {"sliding_window": 32_768},
    ),
    (
        ("mistralai/Mistral-Nemo-Base-2407", "mistralai/Mistral-Nemo-Instruct-2407"),
        _MISTRAL | sizes(5120, 14_336, 40, (32, 8), 131_072, 131_072) | HEAD_128,
    ),
    (
        ("mistralai/Codestral-22B-v0.1",),
        _MISTRAL | sizes(6144, 16_384, 56, (48, 8), 32_768, 32_768),
    ),
    (
        ("mistralai/Mistral-Small-24B-Base-2501", "mistralai/Mistral-Small-24B-Instruct-2501"),
        _MISTRAL | sizes(5120, 32_768, 40, (32, 8), 131_072, 32_768) | HEAD_128,
    ),
    (
        ("mistralai/Devstral-Small-2505",),
        _MISTRAL | sizes(5120, 32_768, 40, (32, 8), 131_072, 131_072) | HEAD_128,
    ),
    (
        ("mistralai/Mistral-Large-Instruct-2407",),
        _MISTRAL | sizes(12_288, 28_672, 88, (96, 8), 32_768, 131_072),
    ),
    (
        ("mistralai/Mixtral-8x7B-v0.1", "mistralai/Mixtral-8x7B-Instruct-v0.1"),
        _MIXTRAL | sizes(4096, 14_336, 32, (32, 8), 32_000, 32_768),
    ),
    (("mistralai/Mixtral-8x22B-v0.1",), _MIXTRAL | sizes(6144, 16_384, 56, (48, 8), 32_000, 65_536)),
    (("mistralai/Mixtral-8x22B-Instruct-v0.1",), _MIXTRAL | sizes(6144, 16_384, 56, (48, 8), 32_768, 65_536)),
)
"""Mistral, Ministral, Devstral, Codestral, Mixtral."""
