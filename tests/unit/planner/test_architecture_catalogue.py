"""Published parameter counts, and finding models by their names."""

import pytest

from finetune_operator.planner.architecture import read_architecture
from finetune_operator.planner.catalogue import CATALOGUE, find_config, find_short
from finetune_operator.planner.catalogue.short import ALIASES

# of the safetensors files, without buffers; a tied table once
PUBLISHED = {
    "HuggingFaceTB/SmolLM2-135M": 134_515_008,
    "HuggingFaceTB/SmolLM2-360M": 361_821_120,
    "HuggingFaceTB/SmolLM2-1.7B": 1_711_376_384,
    "HuggingFaceTB/SmolLM3-3B": 3_075_098_624,
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": 1_100_048_384,
    "meta-llama/Llama-2-7b-hf": 6_738_415_616,
    "meta-llama/Llama-2-13b-hf": 13_015_864_320,
    "meta-llama/Llama-2-70b-hf": 68_976_648_192,
    "meta-llama/Llama-3.1-8B": 8_030_261_248,
    "meta-llama/Llama-3.1-70B": 70_553_706_496,
    "meta-llama/Llama-3.1-405B": 405_853_388_800,
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "meta-llama/Llama-3.2-3B": 3_212_749_824,
    "codellama/CodeLlama-7b-hf": 6_738_546_688,
    "codellama/CodeLlama-34b-hf": 33_743_970_304,
    "01-ai/Yi-6B": 6_061_035_520,
    "01-ai/Yi-34B": 34_388_917_248,
    "01-ai/Yi-1.5-9B": 8_829_407_232,
    "deepseek-ai/deepseek-coder-1.3b-base": 1_346_471_936,
    "deepseek-ai/deepseek-coder-6.7b-base": 6_740_512_768,
    "deepseek-ai/deepseek-coder-33b-base": 33_342_991_360,
    "deepseek-ai/deepseek-llm-7b-base": 6_910_365_696,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": 1_777_088_000,
    "tiiuae/Falcon3-7B-Base": 7_455_550_464,
    "ibm-granite/granite-3.1-2b-base": 2_533_531_648,
    "ibm-granite/granite-3.1-8b-base": 8_170_848_256,
    "ibm-granite/granite-3.3-8b-base": 8_170_864_640,
    "ibm-granite/granite-3.1-1b-a400m-base": 1_334_628_352,
    "allenai/OLMo-1B-hf": 1_176_764_416,
    "allenai/OLMo-7B-hf": 6_888_095_744,
    "allenai/OLMo-2-0425-1B": 1_484_916_736,
    "allenai/OLMo-2-1124-7B": 7_298_617_344,
    "allenai/OLMo-2-1124-13B": 13_716_198_400,
    "allenai/OLMo-2-0325-32B": 32_234_279_936,
    "allenai/Olmo-3-1025-7B": 7_298_011_136,
    "allenai/OLMoE-1B-7B-0924": 6_919_161_856,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "mistralai/Mistral-7B-v0.3": 7_248_023_552,
    "mistralai/Ministral-8B-Instruct-2410": 8_019_808_256,
    "mistralai/Mistral-Nemo-Base-2407": 12_247_782_400,
    "mistralai/Codestral-22B-v0.1": 22_247_282_688,
    "mistralai/Mistral-Small-24B-Base-2501": 23_572_403_200,
    "mistralai/Mistral-Large-Instruct-2407": 122_610_069_504,
    "mistralai/Mixtral-8x7B-v0.1": 46_702_792_704,
    "mistralai/Mixtral-8x22B-v0.1": 140_620_634_112,
    "Qwen/Qwen1.5-0.5B": 463_987_712,
    "Qwen/Qwen1.5-1.8B": 1_836_828_672,
    "Qwen/Qwen1.5-7B": 7_721_324_544,
    "Qwen/Qwen1.5-14B": 14_167_290_880,
    "Qwen/Qwen1.5-MoE-A2.7B": 14_315_784_192,
    "Qwen/Qwen2.5-0.5B": 494_032_768,
    "Qwen/Qwen2.5-1.5B": 1_543_714_304,
    "Qwen/Qwen2.5-3B": 3_085_938_688,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen2.5-14B": 14_770_033_664,
    "Qwen/Qwen2.5-32B": 32_763_876_352,
    "Qwen/Qwen2.5-72B": 72_706_203_648,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-1.7B": 1_720_574_976,
    "Qwen/Qwen3-4B": 4_022_468_096,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "Qwen/Qwen3-14B": 14_768_307_200,
    "Qwen/Qwen3-32B": 32_762_123_264,
    "Qwen/Qwen3-30B-A3B": 30_532_122_624,
    "Qwen/Qwen3-235B-A22B": 235_093_634_560,
    "Qwen/Qwen3-Coder-480B-A35B-Instruct": 480_154_875_392,
    "google/gemma-2b": 2_506_172_416,
    "google/gemma-7b": 8_537_680_896,
    "google/gemma-2-2b": 2_614_341_888,
    "google/gemma-2-9b": 9_241_705_984,
    "google/gemma-2-27b": 27_227_128_320,
    "google/gemma-3-270m": 268_098_176,
    "google/gemma-3-1b-pt": 999_885_952,
    "microsoft/phi-1_5": 1_418_270_720,
    "microsoft/phi-2": 2_779_683_840,
    "microsoft/Phi-3-mini-4k-instruct": 3_821_079_552,
    "microsoft/Phi-3-medium-4k-instruct": 13_960_238_080,
    "microsoft/phi-4": 14_659_507_200,
    "microsoft/Phi-4-mini-instruct": 3_836_021_760,
    "microsoft/Phi-3.5-MoE-instruct": 41_873_153_344,
    "zai-org/glm-4-9b-hf": 9_399_951_360,
    "zai-org/GLM-4-9B-0414": 9_400_279_040,
    "zai-org/GLM-4-32B-0414": 32_566_081_536,
    "CohereLabs/c4ai-command-r-v01": 34_980_831_232,
    "CohereLabs/c4ai-command-r-plus": 103_810_674_688,
    "CohereLabs/aya-23-8B": 8_028_033_024,
    "stabilityai/stablelm-3b-4e1t": 2_795_443_200,
    "stabilityai/stablelm-2-1_6b": 1_644_515_328,
    "stabilityai/stablelm-2-12b": 12_143_185_920,
    "LGAI-EXAONE/EXAONE-4.0-1.2B": 1_279_391_488,
    "ByteDance-Seed/Seed-OSS-36B-Base": 36_151_104_512,
    "baidu/ERNIE-4.5-0.3B-PT": 360_748_032,
    "openai/gpt-oss-20b": 20_914_757_184,
    "openai/gpt-oss-120b": 116_829_156_672,
    "deepseek-ai/DeepSeek-V2-Lite": 15_706_484_224,
    "deepseek-ai/DeepSeek-V2": 235_741_434_880,
    "gpt2": 124_439_808,
    "openai-community/gpt2-medium": 354_823_168,
    "openai-community/gpt2-large": 774_030_080,
    "openai-community/gpt2-xl": 1_557_611_200,
    "EleutherAI/gpt-neo-1.3B": 1_315_575_808,
    "EleutherAI/gpt-j-6b": 6_050_882_784,
    "EleutherAI/gpt-neox-20b": 20_554_567_680,
    "EleutherAI/pythia-70m": 70_426_624,
    "EleutherAI/pythia-410m": 405_334_016,
    "EleutherAI/pythia-1.4b": 1_414_647_808,
    "EleutherAI/pythia-6.9b": 6_857_302_016,
    "EleutherAI/pythia-12b": 11_846_072_320,
    "facebook/opt-125m": 125_239_296,
    "facebook/opt-1.3b": 1_315_758_080,
    "facebook/opt-6.7b": 6_658_473_984,
    "bigscience/bloom-560m": 559_214_592,
    "bigscience/bloom-7b1": 7_069_016_064,
    "bigscience/bloom": 176_247_271_424,
    "tiiuae/falcon-7b": 6_921_720_704,
    "tiiuae/falcon-40b": 41_303_293_952,
    "mosaicml/mpt-7b": 6_649_286_656,
    "bigcode/gpt_bigcode-santacoder": 1_124_886_528,
    "bigcode/starcoder": 15_517_456_384,
    "bigcode/starcoder2-3b": 3_030_371_328,
    "bigcode/starcoder2-7b": 7_173_923_840,
    "bigcode/starcoder2-15b": 15_957_889_024,
}


@pytest.mark.parametrize("repo", PUBLISHED)
def test_count_is_the_published_one(repo: str) -> None:
    assert read_architecture(CATALOGUE[repo]).total_parameters == PUBLISHED[repo]


def test_every_entry_of_the_catalogue_is_readable() -> None:
    for repo, config in CATALOGUE.items():
        assert read_architecture(config).name == config["architectures"][0], repo


def test_catalogue_is_large_and_wide() -> None:
    assert len(CATALOGUE) >= 250
    assert len({c["model_type"] for c in CATALOGUE.values()}) >= 30


def test_no_hub_id_is_listed_twice() -> None:
    assert len({repo.casefold() for repo in CATALOGUE}) == len(CATALOGUE)


def test_catalogue_takes_any_case_and_knows_what_it_does_not_know() -> None:
    assert find_config("qwen/QWEN2.5-7b-instruct") == CATALOGUE["Qwen/Qwen2.5-7B-Instruct"]
    assert find_config("nobody/nothing") is None


@pytest.mark.parametrize(
    ("name", "repo"),
    [
        pytest.param("Llama-2-7b", "meta-llama/Llama-2-7b-hf", id="ending-hf"),
        pytest.param("llama-2-13B-chat-hf", "meta-llama/Llama-2-13b-hf", id="case-and-two-endings"),
        pytest.param("Llama-3-8B", "meta-llama/Meta-Llama-3-8B", id="organisation-in-the-name"),
        pytest.param("meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-1B", id="whole-id"),
        pytest.param("Mistral-7B", "mistralai/Mistral-7B-v0.1", id="first-version"),
        pytest.param("Mistral-7B-v0.3", "mistralai/Mistral-7B-v0.3", id="third-version"),
        pytest.param("Mistral-7B-Instruct-v0.3", "mistralai/Mistral-7B-v0.3", id="third-version-instruct"),
        pytest.param("Mixtral-8x7B", "mistralai/Mixtral-8x7B-v0.1", id="version"),
        pytest.param("Ministral-8B", "mistralai/Ministral-8B-Instruct-2410", id="date"),
        pytest.param("Devstral-24B", "mistralai/Devstral-Small-2505", id="alias"),
        pytest.param("TinyLlama-1.1B", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", id="tinyllama"),
        pytest.param("gemma-3-270m", "google/gemma-3-270m", id="gemma"),
        pytest.param("gemma-3-1b", "google/gemma-3-1b-pt", id="ending-pt"),
        pytest.param("phi-3-mini", "microsoft/Phi-3-mini-4k-instruct", id="phi-3-mini"),
        pytest.param("phi-3-mini-instruct", "microsoft/Phi-3-mini-4k-instruct", id="alias-with-ending"),
        pytest.param("santacoder", "bigcode/gpt_bigcode-santacoder", id="santacoder"),
        pytest.param("PowerLM-3b", "ibm-research/PowerLM-3b", id="powerlm"),
        pytest.param("deepseek-coder-1.3b", "deepseek-ai/deepseek-coder-1.3b-base", id="ending-base"),
        pytest.param("Olmo-3-7B", "allenai/Olmo-3-1025-7B", id="olmo"),
    ],
)
def test_short_name_is_found(name: str, repo: str) -> None:
    assert find_short(name) == CATALOGUE[repo]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        pytest.param("Qwen-1.8B", 1_836_828_672, id="qwen-1.8b"),
        pytest.param("Qwen-7B", 7_721_324_544, id="qwen-7b"),
        pytest.param("Qwen-14B-Chat", 14_167_290_880, id="qwen-14b"),
        pytest.param("Qwen-72B", 72_287_920_128, id="qwen-72b"),
        pytest.param("ds-example-6.86B", 6_855_868_416, id="deepspeed-example"),
    ],
)
def test_what_has_no_repository_of_transformers_is_found_by_its_short_name_only(name: str, count: int) -> None:
    found = find_short(name)
    assert found is not None
    assert read_architecture(found).total_parameters == count
    assert find_config(f"Qwen/{name}") is None


def test_unknown_short_name_is_not_found() -> None:
    assert find_short("nothing-7b") is None


def test_aliases_are_written_as_they_are_looked_up() -> None:
    assert all(alias == alias.casefold() for alias in ALIASES)
    assert all(repo in CATALOGUE for repo in ALIASES.values())
