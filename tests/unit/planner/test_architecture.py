"""Parameter counts and layers from config.json, and what is refused."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.exceptions import UnsupportedArchitectureError
from finetune_operator.planner.architecture import Norm, read_architecture
from finetune_operator.planner.catalogue import CATALOGUE
from finetune_operator.planner.families import FAMILIES

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
        pytest.param({"model_type": "phi3"}, 1480, id="phi3-fused-counts-the-same"),
        pytest.param({"model_type": "gemma", "num_key_value_heads": 2, "head_dim": 4}, 1400, id="gemma-tied-by-itself"),
        # four experts in place of the dense block, and a router of 4x8
        pytest.param(
            {"model_type": "mixtral", "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2},
            1480 + 2 * (3 * 3 * 128 + 32),
            id="mixtral-experts",
        ),
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
            {"model_type": "fancy", "architectures": ["FancyForCausalLM"]},
            "the family fancy (FancyForCausalLM) isn't known; known are llama, mistral, qwen2, qwen3",
            id="unknown-family",
        ),
        pytest.param(
            {"model_type": "jamba", "architectures": ["JambaForCausalLM"]},
            "JambaForCausalLM (jamba) has layers with a recurrent state, whose memory isn't modelled; known are llama",
            id="state-space",
        ),
        pytest.param({"model_type": "gemma3"}, "reads images or sound", id="vision-by-family"),
        pytest.param({"model_type": "gemma3n_text"}, "has embeddings for each layer", id="embeddings-by-layer"),
        pytest.param({"quantization_config": {"quant_method": "gptq"}}, "already quantised (gptq)", id="quantised"),
        pytest.param({"quantization_config": 4}, "already quantised (unnamed method)", id="quantised-oddly"),
        pytest.param({"quantization_config": {"quant_method": "mxfp4"}}, "already quantised (mxfp4)", id="mxfp4-llama"),
        pytest.param({"vision_config": {}}, "reads images; only text models", id="vision"),
        pytest.param({"audio_config": {}}, "reads sound; only text models", id="audio"),
        pytest.param(
            {"architectures": ["LlamaForSequenceClassification"]}, "isn't a causal language model", id="classifier"
        ),
        pytest.param({"num_attention_heads": 3}, "isn't a multiple of num_attention_heads 3", id="uneven-heads"),
        pytest.param({"num_attention_heads": 4, "num_key_value_heads": 3}, "isn't a multiple of", id="uneven-groups"),
        pytest.param({"model_type": "gpt2", "hidden_size": None}, "hidden_size is missing", id="null-elsewhere"),
        pytest.param(
            {"model_type": "olmo3", "layer_types": ["full_attention"]},
            "layer_types needs one entry for each of the 2 layers; it has 1 of them",
            id="layer-types-too-few",
        ),
        pytest.param({"model_type": "olmo3", "layer_types": 3}, "it has 3", id="layer-types-odd"),
        pytest.param(
            {"model_type": "olmo3", "layer_types": ["full_attention", "linear_attention"]},
            "layer_types has linear_attention",
            id="layer-types-unknown",
        ),
        pytest.param(
            {"model_type": "gpt_neo", "attention_types": [[["global"], 1]]},
            "attention_types needs one entry for each of the 2 layers; it has 1",
            id="gpt-neo-layers",
        ),
        pytest.param({"model_type": "gpt_neo", "attention_types": [3]}, "has to be a list of pairs", id="gpt-neo-odd"),
        pytest.param(
            {"model_type": "opt", "ffn_dim": 16, "word_embed_proj_dim": 4},
            "is sized where word_embed_proj_dim is 8 only; it is 4",
            id="narrow-embeddings",
        ),
        pytest.param(
            {"model_type": "opt", "ffn_dim": 16, "do_layer_norm_before": False},
            "is sized where do_layer_norm_before is true only; it is False",
            id="norms-after",
        ),
        pytest.param(
            {"model_type": "deepseek_v3", "n_routed_experts": 4, "moe_intermediate_size": 8}
            | {"first_k_dense_replace": 0, "n_shared_experts": -1},
            "n_shared_experts is -1; it has to be a whole number",
            id="negative",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused_in_a_sentence(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UnsupportedArchitectureError) as e:
        read_architecture(SMALL | change)
    assert said in str(e.value)
    assert str(e.value).startswith("config.json: ")


JUNK = st.none() | st.booleans() | st.integers(-2, 9) | st.text(max_size=3) | st.lists(st.integers(0, 3), max_size=2)
KEYS = (
    *("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "num_hidden_layers", "vocab_size"),
    *("layer_types", "mlp_layer_types", "sliding_window", "use_sliding_window", "max_window_layers", "no_rope_layers"),
    *("sliding_window_pattern", "attention_types", "window_size", "num_experts", "num_local_experts", "moe_k"),
    *("n_routed_experts", "n_shared_experts", "moe_intermediate_size", "num_experts_per_tok", "mlp_only_layers"),
    *("decoder_sparse_step", "first_k_dense_replace", "q_lora_rank", "kv_lora_rank", "num_kv_heads", "n_inner"),
    *("word_embed_proj_dim", "do_layer_norm_before", "quantization_config", "architectures", "num_ln_in_parallel_attn"),
    *(
        "moe_num_experts",
        "moe_layer_end_index",
        "tie_word_embeddings",
        "final_logit_softcapping",
        "new_decoder_architecture",
    ),
)


@given(family=st.sampled_from(sorted(FAMILIES)), junk=st.dictionaries(st.sampled_from(KEYS), JUNK, max_size=6))
def test_whatever_is_written_it_is_sized_or_refused(family: str, junk: dict[str, Any]) -> None:
    with suppress(UnsupportedArchitectureError):
        assert read_architecture(SMALL | {"model_type": family} | junk).total_parameters > 0


def test_a_missing_field_is_called_what_its_family_calls_it() -> None:
    with pytest.raises(UnsupportedArchitectureError, match=r"^config\.json: n_layer is missing"):
        read_architecture({"model_type": "gpt2", "n_embd": 8, "n_head": 2})


def test_a_field_may_have_either_spelling() -> None:
    short = {"model_type": "gpt2", "n_embd": 8, "n_layer": 2, "n_head": 2, "vocab_size": 10}
    long = SMALL | {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
    assert read_architecture(short).total_parameters == read_architecture(long).total_parameters


def test_longest_sequence_is_the_familys_where_the_key_is_absent() -> None:
    assert read_architecture(SMALL).max_positions == 2048
    assert read_architecture(SMALL | {"max_position_embeddings": 77}).max_positions == 77


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        pytest.param({}, [(2, None)], id="llama"),
        pytest.param({"model_type": "mistral", "num_key_value_heads": 2}, [(2, 4096)], id="mistral-default"),
        pytest.param(
            {"model_type": "mistral", "num_key_value_heads": 2, "sliding_window": None}, [(2, None)], id="mistral-null"
        ),
        pytest.param({"model_type": "olmo3", "num_hidden_layers": 8}, [(6, 4096), (2, None)], id="each-fourth-is-full"),
        pytest.param(
            {"model_type": "qwen2", "num_key_value_heads": 2, "use_sliding_window": True, "max_window_layers": 1},
            [(1, None), (1, 4096)],
            id="qwen2-from-a-layer-on",
        ),
        pytest.param(
            {"model_type": "smollm3", "num_key_value_heads": 2, "use_sliding_window": True}
            | {"sliding_window": 9, "no_rope_layers": [0, 1]},
            [(1, 9), (1, None)],
            id="smollm3-without-rope",
        ),
        pytest.param(
            {"model_type": "qwen3_moe", "num_key_value_heads": 2, "num_experts": 2, "num_experts_per_tok": 1}
            | {"moe_intermediate_size": 8, "use_sliding_window": True, "sliding_window": 0},
            [(2, None)],
            id="zero-is-none",
        ),
    ],
)
def test_windows_make_kinds_of_layers(change: dict[str, Any], wanted: list[tuple[int, int | None]]) -> None:
    groups = read_architecture(SMALL | change).groups
    assert [(g.count, g.attention.window) for g in groups] == wanted


def test_compressed_attention_has_wider_keys_than_values() -> None:
    attention = read_architecture(CATALOGUE["deepseek-ai/DeepSeek-V2"]).groups[0].attention
    assert (attention.query_width, attention.key_width) == (128 * 192, 128 * 192)
    assert (attention.value_width, attention.output_width) == (128 * 128, 128 * 128)
    assert attention.latent_width == 1536 + 512 + 64


def test_experts_are_counted_apart_from_linear_modules() -> None:
    dense, sparse = read_architecture(CATALOGUE["deepseek-ai/DeepSeek-V2-Lite"]).groups
    assert (dense.count, dense.feed_forward.width, dense.feed_forward.experts) == (1, 10_944, 0)
    assert (sparse.count, sparse.feed_forward.experts, sparse.feed_forward.active) == (26, 64, 6)
    assert sparse.feed_forward.expert_parameters == 64 * 3 * 2048 * 1408
    assert sparse.feed_forward.shared_width == 2 * 1408


def test_a_token_is_multiplied_with_active_experts_only() -> None:
    mixtral = read_architecture(CATALOGUE["mistralai/Mixtral-8x7B-v0.1"])
    assert mixtral.matmul_parameters < mixtral.total_parameters / 3
    assert mixtral.largest_tensor == 8 * 2 * 14_336 * 4096


def test_four_bit_gpt_oss_is_planned_as_sixteen_bit() -> None:
    gpt_oss = read_architecture(CATALOGUE["openai/gpt-oss-20b"])
    assert gpt_oss.dequantised
    assert not gpt_oss.sdpa
    unpacked = {k: v for k, v in CATALOGUE["openai/gpt-oss-20b"].items() if k != "quantization_config"}
    assert not read_architecture(unpacked).dequantised
    assert gpt_oss.total_parameters == read_architecture(unpacked).total_parameters


def test_modules_that_only_derive_from_linear_ones_are_not_quantised() -> None:
    assert not any(m.quantisable for m in read_architecture(CATALOGUE["tiiuae/falcon-7b"]).linears)
    assert all(m.quantisable for m in read_architecture(CATALOGUE["gpt2"]).linears)


def test_norms_and_caps_are_the_familys() -> None:
    assert read_architecture(SMALL).norm is Norm.RMS
    assert read_architecture(CATALOGUE["microsoft/phi-2"]).norm is Norm.LAYER
    gemma2 = read_architecture(CATALOGUE["google/gemma-2-9b"])
    assert gemma2.softcapped
    assert all(g.attention.softcapped for g in gemma2.groups)
    assert not read_architecture(CATALOGUE["google/gemma-3-1b-it"]).softcapped
