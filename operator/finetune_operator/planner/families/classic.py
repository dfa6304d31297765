"""Families of the kind of GPT-2: two-layer feed-forward blocks, layer norms with biases, queries and keys fused."""

from collections.abc import Mapping
from typing import Final

from finetune_operator.planner.config_fields import Fields
from finetune_operator.planner.families.family import (
    ON,
    Family,
    Heads,
    Part,
    Projections,
    QueryKeyNorm,
    Switch,
    as_written,
    every_head,
)
from finetune_operator.planner.families.patterns import everywhere, gpt_neo_windows
from finetune_operator.planner.layers import Norm

_QKV: Final[tuple[Part, ...]] = ("query", "key", "value")
_GPT_SPELLED: Final = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "max_position_embeddings": "n_positions",
}
_DENSE_H: Final[Mapping[str, tuple[Part, ...]]] = {"dense_h_to_4h": ("up",), "dense_4h_to_h": ("down",)}
_C_PROJ: Final[Mapping[str, tuple[Part, ...]]] = {"c_fc": ("up",), "c_proj": ("down",)}
_FC: Final[Mapping[str, tuple[Part, ...]]] = {"fc1": ("up",), "fc2": ("down",)}
_FC_IN_OUT: Final[Mapping[str, tuple[Part, ...]]] = {"fc_in": ("up",), "fc_out": ("down",)}
_SPLIT_OUT: Final[Mapping[str, tuple[Part, ...]]] = {
    "k_proj": ("key",),
    "v_proj": ("value",),
    "q_proj": ("query",),
    "out_proj": ("output",),
}


def _one(_: Fields) -> int:
    return 1


def _bigcode_kv_heads(fields: Fields, heads: int) -> int:
    return 1 if fields.flag("multi_query", default=True) else heads


def _falcon_kv_heads(fields: Fields, heads: int) -> int:
    """All heads of one group share keys and values in the new architecture; in the old one, all heads or none."""
    if fields.flag("new_decoder_architecture", default=False):
        return fields.count_or("num_kv_heads", heads)
    return 1 if fields.flag("multi_query", default=True) else heads


def _falcon_norms(fields: Fields) -> int:
    if not fields.flag("parallel_attn", default=True):
        return 2
    new = fields.flag("new_decoder_architecture", default=False)
    return 2 if fields.number("num_ln_in_parallel_attn", 2 if new else 1) == 2 else 1


_FALCON_BIAS: Final = Switch(key="bias")
_ENABLE_BIAS: Final = Switch(key="enable_bias", default=True)

CLASSIC: Final[Mapping[str, Family]] = {
    # Conv1D modules: linear ones with the weights transposed, adapted and quantised as those are
    "gpt2": Family(
        activation="gelu_new",
        attention=Heads(
            projections=Projections(modules={"c_attn": _QKV, "c_proj": ("output",)}, bias=ON),
            kv_heads=every_head,
            head_dim_key=False,
        ),
        feed_forward=Projections(modules=_C_PROJ, bias=ON),
        width="n_inner",
        width_factor=4,
        norm=Norm.LAYER,
        norm_vectors=2,
        tied=True,
        positions=0,
        max_positions=1024,
        spelled=_GPT_SPELLED,
        only={"add_cross_attention": False},
    ),
    "gpt_bigcode": Family(
        attention=Heads(
            projections=Projections(modules={"c_attn": _QKV, "c_proj": ("output",)}, bias=ON),
            kv_heads=_bigcode_kv_heads,
            head_dim_key=False,
        ),
        feed_forward=Projections(modules=_C_PROJ, bias=ON),
        width="n_inner",
        width_factor=4,
        norm=Norm.LAYER,
        norm_vectors=2,
        tied=True,
        positions=0,
        max_positions=1024,
        spelled=_GPT_SPELLED,
        only={"add_cross_attention": False},
    ),
    "gpt_neo": Family(
        activation="gelu_new",
        attention=Heads(
            projections=Projections(modules=_SPLIT_OUT, output_bias=ON),
            kv_heads=every_head,
            head_dim_key=False,
        ),
        feed_forward=Projections(modules=_C_PROJ, bias=ON),
        width_factor=4,
        norm=Norm.LAYER,
        norm_vectors=2,
        tied=True,
        positions=0,
        max_positions=2048,
        windows=gpt_neo_windows,
        spelled={"num_hidden_layers": "num_layers", "num_attention_heads": "num_heads"},
        sdpa=False,
    ),
    "gptj": Family(
        activation="gelu_new",
        attention=Heads(projections=Projections(modules=_SPLIT_OUT), kv_heads=every_head, head_dim_key=False),
        feed_forward=Projections(modules=_FC_IN_OUT, bias=ON),
        width="n_inner",
        width_factor=4,
        norm=Norm.LAYER,
        norm_vectors=2,
        norms=_one,
        head_bias=ON,
        max_positions=2048,
        spelled=_GPT_SPELLED,
        sdpa=False,
    ),
    "codegen": Family(
        activation="gelu_new",
        attention=Heads(
            projections=Projections(modules={"qkv_proj": _QKV, "out_proj": ("output",)}),
            kv_heads=every_head,
            head_dim_key=False,
        ),
        feed_forward=Projections(modules=_FC_IN_OUT, bias=ON),
        width="n_inner",
        width_factor=4,
        norm=Norm.LAYER,
        norm_vectors=2,
        norms=_one,
        head_bias=ON,
        max_positions=2048,
        spelled=_GPT_SPELLED,
        sdpa=False,
    ),
    "gpt_neox": Family(
        parallel=Switch(key="use_parallel_residual", default=True),
        attention=Heads(
            projections=Projections(
                modules={"query_key_value": _QKV, "dense": ("output",)},
                bias=Switch(key="attention_bias", default=True),
            ),
            kv_heads=every_head,
            head_dim_key=False,
        ),
        feed_forward=Projections(modules=_DENSE_H, bias=ON),
        norm=Norm.LAYER,
        norm_vectors=2,
        max_positions=2048,
    ),
    "starcoder2": Family(
        attention=Heads(
            projections=Projections(
                modules={"q_proj": ("query",), "k_proj": ("key",), "v_proj": ("value",), "o_proj": ("output",)},
                bias=Switch(key="use_bias", default=True),
            ),
            kv_heads=as_written(2),
        ),
        feed_forward=Projections(modules=_C_PROJ, bias=Switch(key="use_bias", default=True)),
        norm=Norm.LAYER,
        norm_vectors=2,
        tied=True,
        max_positions=4096,
        windows=everywhere(),
    ),
    "phi": Family(
        activation="gelu_new",
        attention=Heads(
            projections=Projections(
                modules={"q_proj": ("query",), "k_proj": ("key",), "v_proj": ("value",), "dense": ("output",)},
                bias=ON,
            ),
            norm=QueryKeyNorm(present=Switch(key="qk_layernorm"), vectors=2),
        ),
        feed_forward=Projections(modules=_FC, bias=ON),
        norm=Norm.LAYER,
        norm_vectors=2,
        norms=_one,
        head_bias=ON,
        max_positions=2048,
    ),
    "persimmon": Family(
        attention=Heads(
            projections=Projections(modules={"query_key_value": _QKV, "dense": ("output",)}, bias=ON),
            kv_heads=every_head,
            head_dim_key=False,
            norm=QueryKeyNorm(present=Switch(key="qk_layernorm", default=True), vectors=2),
        ),
        feed_forward=Projections(modules=_DENSE_H, bias=ON),
        norm=Norm.LAYER,
        norm_vectors=2,
        max_positions=16_384,
    ),
    "falcon": Family(
        parallel=Switch(key="parallel_attn", default=True),
        attention=Heads(
            projections=Projections(
                modules={"query_key_value": _QKV, "dense": ("output",)}, bias=_FALCON_BIAS, quantisable=False
            ),
            kv_heads=_falcon_kv_heads,
            head_dim_key=False,
        ),
        feed_forward=Projections(modules=_DENSE_H, bias=_FALCON_BIAS, quantisable=False),
        width="ffn_hidden_size",
        width_factor=4,
        norm=Norm.LAYER,
        norm_vectors=2,
        norms=_falcon_norms,
        tied=True,
        max_positions=2048,
        spelled={"hidden_size": "n_embed"},
    ),
    "bloom": Family(
        rotary=False,
        attention=Heads(
            projections=Projections(modules={"query_key_value": _QKV, "dense": ("output",)}, bias=ON),
            kv_heads=every_head,
            head_dim_key=False,
        ),
        feed_forward=Projections(modules=_DENSE_H, bias=ON),
        width=None,
        width_factor=4,
        norm=Norm.LAYER,
        norm_vectors=2,
        embedding_norm=True,
        tied=True,
        max_positions=2048,
        spelled={"num_hidden_layers": "n_layer", "num_attention_heads": "n_head"},
        sdpa=False,
    ),
    "opt": Family(
        activation="relu",
        attention=Heads(
            projections=Projections(modules=_SPLIT_OUT, bias=_ENABLE_BIAS), kv_heads=every_head, head_dim_key=False
        ),
        feed_forward=Projections(modules=_FC, bias=_ENABLE_BIAS),
        width="ffn_dim",
        norm=Norm.LAYER,
        norm_vectors=2,
        tied=True,
        positions=2,
        max_positions=2048,
        only={
            "do_layer_norm_before": True,
            "_remove_final_layer_norm": False,
            "layer_norm_elementwise_affine": True,
            "word_embed_proj_dim": "hidden_size",
        },
    ),
    "biogpt": Family(
        attention=Heads(projections=Projections(modules=_SPLIT_OUT, bias=ON), kv_heads=every_head, head_dim_key=False),
        feed_forward=Projections(modules=_FC, bias=ON),
        norm=Norm.LAYER,
        norm_vectors=2,
        tied=True,
        positions=2,
        max_positions=1024,
    ),
    "xglm": Family(
        attention=Heads(projections=Projections(modules=_SPLIT_OUT, bias=ON), kv_heads=every_head, head_dim_key=False),
        feed_forward=Projections(modules=_FC, bias=ON),
        width="ffn_dim",
        norm=Norm.LAYER,
        norm_vectors=2,
        tied=True,
        max_positions=2048,
        spelled={"hidden_size": "d_model", "num_hidden_layers": "num_layers", "num_attention_heads": "attention_heads"},
        only={"add_cross_attention": False},
        sdpa=False,
    ),
    "mpt": Family(
        rotary=False,
        attention=Heads(
            projections=Projections(modules={"Wqkv": _QKV, "out_proj": ("output",)}),
            kv_heads=every_head,
            head_dim_key=False,
        ),
        feed_forward=Projections(modules={"up_proj": ("up",), "down_proj": ("down",)}),
        width=None,
        width_factor=4,
        norm=Norm.LAYER,
        tied=True,
        max_positions=2048,
        spelled={
            "hidden_size": "d_model",
            "num_hidden_layers": "n_layers",
            "num_attention_heads": "n_heads",
            "max_position_embeddings": "max_seq_len",
        },
        sdpa=False,
    ),
}
"""By model_type."""
