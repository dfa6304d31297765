"""Models by the short names that papers and benchmarks give them."""

from collections.abc import Mapping
from typing import Final

from finetune_operator.planner.catalogue.fields import UNTIED, Config, of, sizes

_QWEN2: Final = of("qwen2", "Qwen2ForCausalLM") | UNTIED

ALIASES: Final[Mapping[str, str]] = {
    "devstral-24b": "mistralai/Devstral-Small-2505",
    "mistral-nemo-12b": "mistralai/Mistral-Nemo-Base-2407",
    "mistral-small-24b": "mistralai/Mistral-Small-24B-Base-2501",
    "olmo-3-7b": "allenai/Olmo-3-1025-7B",
    "olmo-3-32b": "allenai/Olmo-3-1125-32B",
    "olmo-2-1b": "allenai/OLMo-2-0425-1B",
    "olmo-2-7b": "allenai/OLMo-2-1124-7B",
    "olmo-2-13b": "allenai/OLMo-2-1124-13B",
    "olmoe-1b-7b": "allenai/OLMoE-1B-7B-0924",
    "phi-3-mini": "microsoft/Phi-3-mini-4k-instruct",
    "phi-3-medium": "microsoft/Phi-3-medium-4k-instruct",
    "santacoder": "bigcode/gpt_bigcode-santacoder",
    "command-r": "CohereLabs/c4ai-command-r-v01",
    "command-r-plus": "CohereLabs/c4ai-command-r-plus",
    "deepseek-v3": "unsloth/DeepSeek-V3-bf16",
    "zephyr-7b": "HuggingFaceH4/zephyr-7b-beta",
    "vicuna-13b": "lmsys/vicuna-13b-v1.5",
    "gpt-j": "EleutherAI/gpt-j-6b",
}
"""Hub ids of models whose short name isn't the end of one."""

SIZED: Final[Mapping[str, Config]] = {
    # their own code keeps queries, keys and values in one module and has no biases on the others, as Qwen2's hasn't
    "qwen-1.8b": _QWEN2 | sizes(2048, 5504, 24, (16, 16), 151_936, 8192),
    "qwen-7b": _QWEN2 | sizes(4096, 11_008, 32, (32, 32), 151_936, 8192),
    "qwen-14b": _QWEN2 | sizes(5120, 13_696, 40, (40, 40), 152_064, 8192),
    "qwen-72b": _QWEN2 | sizes(8192, 24_576, 80, (64, 64), 152_064, 32_768),
    # DeepSpeed's GPT-NeoX example
    "ds-example-6.86b": of("gpt_neox", "GPTNeoXForCausalLM") | UNTIED | sizes(4096, 16_384, 32, (32, 32), 50_257, 2048),
}
"""Models that can be sized, but have no repository that transformers can load: never found by a hub id.

The first generation of Qwen is sized as Qwen2 with as many key and value heads as query heads, which counts the same:
its own code, in its repositories, names and fuses modules otherwise, so those repositories aren't planned.
"""
