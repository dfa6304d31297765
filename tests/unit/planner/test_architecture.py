"""Parameter counts and linear modules from config.json."""

from typing import Any

import pytest

from finetune_operator.exceptions import InvalidManifestError, UnsupportedArchitectureError
from finetune_operator.planner.architecture import adapted_modules, read_architecture
from finetune_operator.planner.catalogue import CATALOGUE, find_config
from tests.unit.planner.builders import SEVEN, SEVENTY, TINY

SMALL: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 10,
}


@pytest.mark.parametrize(
    ("repo", "count"),
    [
        pytest.param(TINY, 134_515_008, id="llama-tied"),
        pytest.param("meta-llama/Llama-3.1-8B", 8_030_261_248, id="llama"),
        pytest.param("meta-llama/Llama-3.2-1B", 1_235_814_400, id="llama-head-dim"),
        pytest.param(SEVENTY, 70_553_706_496, id="llama-70b"),
        pytest.param("mistralai/Mistral-7B-v0.3", 7_248_023_552, id="mistral"),
        pytest.param("mistralai/Mistral-Small-24B-Instruct-2501", 23_572_403_200, id="mistral-head-dim"),
        pytest.param(SEVEN, 7_615_616_512, id="qwen2-biases"),
        pytest.param("Qwen/Qwen2.5-0.5B", 494_032_768, id="qwen2-tied"),
        pytest.param("Qwen/Qwen3-8B", 8_190_735_360, id="qwen3-qk-norm"),
        pytest.param("Qwen/Qwen3-0.6B", 596_049_920, id="qwen3-tied"),
    ],
)
def test_count_is_the_published_one(repo: str, count: int) -> None:
    assert read_architecture(CATALOGUE[repo]).total_parameters == count


def test_every_entry_of_the_catalogue_is_readable() -> None:
    for repo, config in CATALOGUE.items():
        assert read_architecture(config).name == config["architectures"][0], repo


def test_catalogue_knows_at_least_fifteen_models_of_all_families() -> None:
    assert len(CATALOGUE) >= 15
    assert {c["model_type"] for c in CATALOGUE.values()} == {"llama", "mistral", "qwen2", "qwen3"}


def test_catalogue_takes_any_case_and_knows_what_it_does_not_know() -> None:
    assert find_config(SEVEN.lower()) == CATALOGUE[SEVEN]
    assert find_config("nobody/nothing") is None


@pytest.mark.parametrize(
    ("change", "count"),
    [
        # embeddings and head 2x80, layers 2 x (q, k, v, o 4x64 + feed-forward 3x128 + norms 16), last norm 8
        pytest.param({}, 1480, id="plain"),
        pytest.param({"tie_word_embeddings": True}, 1400, id="tied"),
        pytest.param({"num_key_value_heads": 1}, 1352, id="grouped"),
        pytest.param({"num_key_value_heads": None}, 1480, id="null-is-all-heads"),
        pytest.param({"head_dim": 8}, 1992, id="head-dim"),
        pytest.param({"attention_bias": True}, 1544, id="attention-bias"),
        pytest.param({"mlp_bias": True}, 1560, id="mlp-bias"),
        pytest.param({"model_type": "qwen2", "num_key_value_heads": 2}, 1528, id="qwen2-always-has-qkv-biases"),
        pytest.param({"model_type": "mistral", "num_key_value_heads": 2, "attention_bias": True}, 1480, id="mistral"),
        pytest.param({"model_type": "qwen3", "num_key_value_heads": 2, "head_dim": 4}, 1496, id="qwen3-qk-norms"),
    ],
)
def test_each_setting_counts_as_it_does_in_transformers(change: dict[str, Any], count: int) -> None:
    assert read_architecture(SMALL | change).total_parameters == count


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"hidden_size": None}, "config.json: hidden_size is missing", id="field-missing"),
        pytest.param({"vocab_size": "10"}, "config.json: vocab_size is '10'; it has to be a whole number", id="text"),
        pytest.param({"num_hidden_layers": True}, "num_hidden_layers is True", id="bool"),
        pytest.param({"intermediate_size": 0}, "intermediate_size is 0", id="zero"),
        pytest.param({"model_type": None}, "model_type is missing", id="no-family"),
        pytest.param(
            {"model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"]},
            "the family gemma2 (Gemma2ForCausalLM) isn't known; known are llama, mistral, qwen2, qwen3",
            id="unknown-family",
        ),
        pytest.param({"quantization_config": {"quant_method": "gptq"}}, "already quantised (gptq)", id="quantised"),
        pytest.param({"quantization_config": 4}, "already quantised (unnamed method)", id="quantised-oddly"),
        pytest.param({"vision_config": {}}, "reads images; only text models", id="vision"),
        pytest.param({"audio_config": {}}, "reads sound; only text models", id="audio"),
        pytest.param(
            {"architectures": ["LlamaForSequenceClassification"]}, "isn't a causal language model", id="classifier"
        ),
        pytest.param({"num_attention_heads": 3}, "isn't a multiple of num_attention_heads 3", id="uneven-heads"),
        pytest.param({"num_attention_heads": 4, "num_key_value_heads": 3}, "isn't a multiple of", id="uneven-groups"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_a_sentence(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UnsupportedArchitectureError) as e:
        read_architecture(SMALL | change)
    assert said in str(e.value)
    assert str(e.value).startswith("config.json: ")


def test_unknown_target_lists_the_real_ones() -> None:
    with pytest.raises(InvalidManifestError) as e:
        adapted_modules(read_architecture(SMALL), ("q_proj", "qproj"))
    assert str(e.value) == (
        "spec.adapter.targetModules: qproj is not in LlamaForCausalLM; it has q_proj, k_proj, v_proj, o_proj, "
        "gate_proj, up_proj, down_proj (or write all-linear)"
    )


def test_targets_are_taken_in_the_order_of_the_model() -> None:
    found = adapted_modules(read_architecture(SMALL), ("down_proj", "q_proj"))
    assert [m.name for m in found] == ["q_proj", "down_proj"]


def test_longest_sequence_is_the_familys_where_the_key_is_absent() -> None:
    assert read_architecture(SMALL).max_positions == 2048
    assert read_architecture(SMALL | {"max_position_embeddings": 77}).max_positions == 77
