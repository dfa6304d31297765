"""Families of the kind of Llama: rotary positions, projections apart, a gated dense block."""

from collections.abc import Mapping
from typing import Final

from finetune_operator.planner.config_fields import Fields
from finetune_operator.planner.families.family import (
    ATTENTION_BIAS,
    FUSED_GATED,
    GATED,
    MLP_BIAS,
    OFF,
    ON,
    SPLIT_ATTENTION,
    UP_DOWN,
    USE_BIAS,
    Family,
    Heads,
    Projections,
    QueryKeyNorm,
    Switch,
    as_written,
)
from finetune_operator.planner.families.patterns import (
    all_but_each,
    all_but_first_of,
    always,
    everywhere,
    from_max_window_layers,
    listed,
    without_rope,
)
from finetune_operator.planner.layers import Norm


def _split(bias: Switch = ATTENTION_BIAS, output_bias: Switch | None = None) -> Projections:
    return Projections(modules=SPLIT_ATTENTION, bias=bias, output_bias=output_bias)


def _gated(bias: Switch = OFF) -> Projections:
    return Projections(modules=GATED, bias=bias)


def _up_down(bias: Switch = OFF) -> Projections:
    return Projections(modules=UP_DOWN, bias=bias)


_QKV_BIAS: Final = Switch(key="attention_bias", default=True)
_ALL_HEADS_NORM: Final = QueryKeyNorm(scope="all")
_HEAD_NORM: Final = QueryKeyNorm()


def _four(_: Fields) -> int:
    return 4


def _one(_: Fields) -> int:
    return 1


def _hyperclovax_norms(fields: Fields) -> int:
    return 4 if fields.flag("use_post_norm", default=True) else 2


def _stablelm_norms(fields: Fields) -> int:
    return 1 if fields.flag("use_parallel_residual", default=False) else 2


_LLAMA: Final = Family(
    attention=Heads(projections=_split()),
    feed_forward=_gated(MLP_BIAS),
    max_positions=2048,
)

DENSE: Final[Mapping[str, Family]] = {
    "llama": _LLAMA,
    "mistral": Family(attention=Heads(kv_heads=as_written(8)), max_positions=131_072, windows=everywhere(4096)),
    "qwen2": Family(
        attention=Heads(projections=_split(ON, OFF), kv_heads=as_written(32)),
        max_positions=32_768,
        windows=listed(4096, from_max_window_layers(28), "use_sliding_window"),
    ),
    "qwen3": Family(
        attention=Heads(projections=_split(), kv_heads=as_written(32), head_dim=128, norm=_HEAD_NORM),
        max_positions=32_768,
        windows=listed(4096, from_max_window_layers(28), "use_sliding_window"),
    ),
    "gemma": Family(
        norm=Norm.WIDE,
        attention=Heads(projections=_split(), kv_heads=as_written(16), head_dim=256),
        max_positions=8192,
        tied=True,
    ),
    "gemma2": Family(
        norm=Norm.WIDE,
        attention=Heads(projections=_split(), kv_heads=as_written(4), head_dim=256, softcap="attn_logit_softcapping"),
        norms=_four,
        max_positions=8192,
        tied=True,
        softcap=("final_logit_softcapping", True),
        windows=listed(4096, all_but_each(2)),
        sdpa=False,
    ),
    "gemma3_text": Family(
        norm=Norm.WIDE,
        attention=Heads(projections=_split(), kv_heads=as_written(4), head_dim=256, norm=_HEAD_NORM),
        norms=_four,
        max_positions=131_072,
        tied=True,
        softcap=("final_logit_softcapping", False),
        windows=listed(4096, all_but_each(6, "sliding_window_pattern")),
    ),
    "vaultgemma": Family(
        norm=Norm.WIDE,
        attention=Heads(projections=_split(), kv_heads=as_written(4), head_dim=256, softcap="attn_logit_softcapping"),
        max_positions=8192,
        tied=True,
        softcap=("final_logit_softcapping", True),
        windows=listed(4096, all_but_each(2)),
        sdpa=False,
    ),
    "phi3": Family(
        attention=Heads(
            projections=Projections(modules={"o_proj": ("output",), "qkv_proj": ("query", "key", "value")}),
        ),
        feed_forward=Projections(modules=FUSED_GATED),
        max_positions=4096,
        windows=everywhere(),
    ),
    "ministral": Family(attention=Heads(kv_heads=as_written(8)), max_positions=131_072, windows=listed(4096, always)),
    "ministral3": Family(
        attention=Heads(kv_heads=as_written(8), head_dim=128), max_positions=262_144, windows=everywhere()
    ),
    "olmo": Family(
        attention=Heads(projections=_split()),
        norm=Norm.LAYER,
        norm_vectors=0,
        max_positions=2048,
    ),
    "olmo2": Family(norm=Norm.WIDE, attention=Heads(projections=_split(), norm=_ALL_HEADS_NORM), max_positions=2048),
    "olmo3": Family(
        norm=Norm.WIDE,
        attention=Heads(projections=_split(), norm=_ALL_HEADS_NORM),
        max_positions=2048,
        windows=listed(4096, all_but_each(4)),
    ),
    "granite": Family(attention=Heads(projections=_split()), feed_forward=_gated(MLP_BIAS), max_positions=2048),
    "granite_swa": Family(
        attention=Heads(projections=_split(), kv_heads=as_written(4), sinks=True),
        feed_forward=_gated(MLP_BIAS),
        max_positions=8192,
        tied=True,
        windows=listed(128, all_but_first_of(4)),
        sdpa=False,
    ),
    # its norm subtracts the mean, but is computed as Llama's is: in 32 bits by operators of Python
    "cohere": Family(
        attention=Heads(projections=_split(), norm=QueryKeyNorm(present=Switch(key="use_qk_norm"), scope="each")),
        norm=Norm.WIDE,
        norms=_one,
        max_positions=8192,
        tied=True,
    ),
    "cohere2": Family(
        attention=Heads(projections=_split()),
        norm=Norm.WIDE,
        norms=_one,
        max_positions=8192,
        tied=True,
        windows=listed(4096, all_but_each(4, "sliding_window_pattern")),
    ),
    "stablelm": Family(
        attention=Heads(
            projections=_split(Switch(key="use_qkv_bias"), OFF),
            kv_heads=as_written(32),
            head_dim_key=False,
            norm=QueryKeyNorm(present=Switch(key="qk_layernorm"), scope="each"),
        ),
        norm=Norm.LAYER,
        norm_vectors=2,
        norms=_stablelm_norms,
        max_positions=4096,
    ),
    "glm": Family(
        attention=Heads(projections=_split(_QKV_BIAS, OFF), kv_heads=as_written(2), head_dim=128),
        feed_forward=Projections(modules=FUSED_GATED),
        max_positions=131_072,
    ),
    "glm4": Family(
        attention=Heads(projections=_split(_QKV_BIAS, OFF), kv_heads=as_written(2), head_dim=128),
        feed_forward=Projections(modules=FUSED_GATED),
        norms=_four,
        max_positions=131_072,
    ),
    "exaone4": Family(
        attention=Heads(projections=_split(OFF), kv_heads=as_written(32), norm=_HEAD_NORM),
        max_positions=2048,
        windows=listed(4096, all_but_each(4, "sliding_window_pattern")),
    ),
    "smollm3": Family(
        attention=Heads(projections=_split(), kv_heads=as_written(4)),
        feed_forward=_gated(MLP_BIAS),
        max_positions=32_768,
        tied=True,
        windows=listed(None, without_rope, "use_sliding_window"),
    ),
    "ernie4_5": Family(
        attention=Heads(projections=_split(USE_BIAS), kv_heads=as_written(2), head_dim=128),
        feed_forward=_gated(USE_BIAS),
        max_positions=131_072,
        tied=True,
    ),
    "hunyuan_v1_dense": Family(attention=Heads(projections=_split(), norm=_HEAD_NORM), max_positions=2048),
    "hyperclovax": Family(
        attention=Heads(projections=_split()),
        feed_forward=_gated(MLP_BIAS),
        norms=_hyperclovax_norms,
        max_positions=2048,
    ),
    "seed_oss": Family(
        attention=Heads(
            projections=_split(_QKV_BIAS, Switch(key="attention_out_bias")), kv_heads=as_written(8), head_dim=128
        ),
        feed_forward=_gated(MLP_BIAS),
        max_positions=524_288,
    ),
    "arcee": Family(attention=Heads(projections=_split()), feed_forward=_up_down(MLP_BIAS), max_positions=4096),
    "nemotron": Family(
        attention=Heads(projections=_split()),
        feed_forward=_up_down(MLP_BIAS),
        norm=Norm.LAYER,
        norm_vectors=2,
        max_positions=4096,
    ),
    "jais2": Family(
        attention=Heads(projections=_split(_QKV_BIAS), kv_heads=as_written(26)),
        feed_forward=_up_down(Switch(key="mlp_bias", default=True)),
        norm=Norm.LAYER,
        norm_vectors=2,
        max_positions=8192,
    ),
    "helium": Family(
        norm=Norm.WIDE,
        attention=Heads(projections=_split(ATTENTION_BIAS, OFF), kv_heads=as_written(20), head_dim=128),
        feed_forward=_gated(MLP_BIAS),
        max_positions=4096,
    ),
    # two parameters of its activation in each layer
    "apertus": Family(
        activation="xielu",
        attention=Heads(projections=_split(), norm=_HEAD_NORM),
        feed_forward=_up_down(),
        besides=lambda _: 2,
        max_positions=65_536,
    ),
    "cwm": Family(
        attention=Heads(projections=_split(OFF), kv_heads=as_written(8), head_dim=128),
        feed_forward=_gated(MLP_BIAS),
        max_positions=131_072,
        windows=listed(8192, all_but_first_of(4)),
    ),
    "nanochat": Family(
        attention=Heads(projections=_split(), kv_heads=as_written(6), norm=QueryKeyNorm(vectors=0)),
        feed_forward=Projections(modules={"fc1": ("up",), "fc2": ("down",)}),
        norm_vectors=0,
        max_positions=2048,
        softcap=("final_logit_softcapping", True),
    ),
    # a norm before each projection that leads back to the hidden size
    "bitnet": Family(
        attention=Heads(projections=_split(), kv_heads=as_written(5)),
        besides=lambda fields: fields.count("hidden_size") + fields.count("intermediate_size"),
        max_positions=2048,
    ),
    "internlm3": Family(
        attention=Heads(projections=_split(), kv_heads=as_written(2), head_dim=128),
        feed_forward=_gated(MLP_BIAS),
        max_positions=32_768,
        spelled={"attention_bias": "qkv_bias", "mlp_bias": "bias"},
    ),
    "iquestcoder": Family(
        attention=Heads(projections=_split(), kv_heads=as_written(8), head_dim=128),
        feed_forward=_gated(MLP_BIAS),
        max_positions=131_072,
    ),
}
"""By model_type."""
