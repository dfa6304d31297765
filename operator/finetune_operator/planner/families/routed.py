"""Families with routed experts, and those whose queries, keys and values are compressed (MLA)."""

from collections.abc import Mapping
from typing import Final

from finetune_operator.planner.config_fields import Fields
from finetune_operator.planner.families.family import (
    ATTENTION_BIAS,
    GATED,
    MLP_BIAS,
    OFF,
    SPLIT_ATTENTION,
    USE_BIAS,
    Experts,
    Family,
    Heads,
    Latent,
    Projections,
    QueryKeyNorm,
    Switch,
    as_written,
    own_width,
    times_width,
)
from finetune_operator.planner.families.patterns import (
    after_first,
    all_but_each,
    all_but_first_of,
    each_step,
    ernie_sparse,
    everywhere,
    from_max_window_layers,
    listed,
    listed_sparse,
    never,
    odd_below_max_window_layers,
)
from finetune_operator.planner.layers import Norm


def _split(bias: Switch = ATTENTION_BIAS, output_bias: Switch | None = None) -> Projections:
    return Projections(modules=SPLIT_ATTENTION, bias=bias, output_bias=output_bias)


def _four(_: Fields) -> int:
    return 4


_ALL_HEADS_NORM: Final = QueryKeyNorm(scope="all")
_HEAD_NORM: Final = QueryKeyNorm()
_MIXTRAL_TARGETS: Final = ("gate", "w1", "w2", "w3")
_QWEN_TARGETS: Final = ("gate", "gate_proj", "up_proj", "down_proj")
_GRANITE_SHARED: Final = Experts(
    width="intermediate_size",
    count_default=8,
    active_default=2,
    shared=own_width("shared_intermediate_size", 0),
    shared_modules={"input_linear": ("gate", "up"), "output_linear": ("down",)},
)

ROUTED: Final[Mapping[str, Family]] = {
    "mixtral": Family(
        attention=Heads(kv_heads=as_written(8)),
        experts=Experts(targets=_MIXTRAL_TARGETS, width="intermediate_size", count_default=8, active_default=2),
        max_positions=131_072,
        windows=everywhere(),
    ),
    # its router derives from nn.Linear
    "phimoe": Family(
        attention=Heads(projections=_split(), kv_heads=as_written(8)),
        experts=Experts(
            width="intermediate_size",
            count_default=16,
            active_default=2,
            routers=0,
            router="router",
            router_quantisable=False,
        ),
        norm=Norm.LAYER,
        norm_vectors=2,
        head_bias=Switch(key="lm_head_bias"),
        max_positions=131_072,
        windows=everywhere(),
    ),
    "qwen2_moe": Family(
        attention=Heads(projections=_split(Switch(key="qkv_bias", default=True), OFF), kv_heads=as_written(16)),
        experts=Experts(
            count="num_experts",
            count_default=60,
            active_default=4,
            shared=own_width("shared_expert_intermediate_size", 5632),
            shared_gate="shared_expert_gate",
            sparse=each_step,
        ),
        max_positions=32_768,
        windows=listed(4096, odd_below_max_window_layers, "use_sliding_window"),
    ),
    "qwen3_moe": Family(
        attention=Heads(projections=_split(), kv_heads=as_written(4), norm=_HEAD_NORM),
        experts=Experts(targets=_QWEN_TARGETS, count_default=128, active_default=8, sparse=each_step),
        max_positions=32_768,
        windows=everywhere(4096, "use_sliding_window"),
        spelled={"num_local_experts": "num_experts"},
    ),
    "gpt_oss": Family(
        norm=Norm.WIDE,
        attention=Heads(
            projections=_split(Switch(key="attention_bias", default=True)),
            kv_heads=as_written(8),
            head_dim=64,
            sinks=True,
            narrow=True,
        ),
        experts=Experts(width="intermediate_size", count_default=128, active_default=4, biased=True),
        max_positions=131_072,
        windows=listed(128, all_but_each(2)),
        spelled={"num_local_experts": "num_experts"},
        sdpa=False,
    ),
    "olmoe": Family(
        attention=Heads(projections=_split(), norm=_ALL_HEADS_NORM),
        experts=Experts(
            targets=_QWEN_TARGETS, width="intermediate_size", count="num_experts", count_default=64, active_default=8
        ),
        max_positions=4096,
    ),
    "flex_olmo": Family(
        norm=Norm.WIDE,
        attention=Heads(projections=_split(), norm=_ALL_HEADS_NORM),
        experts=Experts(
            targets=_QWEN_TARGETS, width="intermediate_size", count="num_experts", count_default=7, active_default=5
        ),
        max_positions=4096,
    ),
    "granitemoe": Family(
        attention=Heads(projections=_split()),
        experts=Experts(width="intermediate_size", count_default=8, active_default=2),
        max_positions=2048,
    ),
    "granitemoeshared": Family(attention=Heads(projections=_split()), experts=_GRANITE_SHARED, max_positions=2048),
    "granitemoe_swa": Family(
        attention=Heads(projections=_split(), sinks=True),
        experts=_GRANITE_SHARED,
        max_positions=2048,
        windows=listed(128, all_but_first_of(4)),
        sdpa=False,
    ),
    "glm4_moe": Family(
        attention=Heads(
            projections=_split(ATTENTION_BIAS, OFF),
            kv_heads=as_written(8),
            norm=QueryKeyNorm(present=Switch(key="use_qk_norm")),
        ),
        experts=Experts(
            targets=_QWEN_TARGETS,
            count="n_routed_experts",
            count_default=128,
            active_default=8,
            shared=times_width("n_shared_experts", 1),
            sparse=after_first("first_k_dense_replace", 1),
        ),
        max_positions=131_072,
    ),
    "dots1": Family(
        attention=Heads(projections=_split(), kv_heads=as_written(32), norm=_HEAD_NORM),
        experts=Experts(
            targets=_QWEN_TARGETS,
            count="n_routed_experts",
            shared=times_width("n_shared_experts", 1),
            sparse=after_first("first_k_dense_replace", 0),
        ),
        max_positions=2048,
        windows=listed(4096, from_max_window_layers(62)),
    ),
    "solar_open": Family(
        attention=Heads(projections=_split(ATTENTION_BIAS, OFF), kv_heads=as_written(8), head_dim=128),
        experts=Experts(
            targets=_QWEN_TARGETS,
            count="n_routed_experts",
            count_default=128,
            active_default=8,
            shared=times_width("n_shared_experts", 1),
        ),
        max_positions=131_072,
    ),
    "minimax_m2": Family(
        attention=Heads(kv_heads=as_written(8), head_dim=128, norm=_ALL_HEADS_NORM),
        experts=Experts(targets=_MIXTRAL_TARGETS, width="intermediate_size", count_default=256, active_default=8),
        max_positions=196_608,
    ),
    "mellum": Family(
        attention=Heads(projections=_split(), kv_heads=as_written(4), head_dim=128, norm=_HEAD_NORM),
        experts=Experts(
            targets=_QWEN_TARGETS,
            count_default=64,
            active_default=8,
            sparse=listed_sparse(lambda _, layers: (True,) * layers),
        ),
        max_positions=131_072,
        windows=listed(1024, never),
        spelled={"num_local_experts": "num_experts"},
    ),
    "exaone_moe": Family(
        attention=Heads(projections=_split(OFF), kv_heads=as_written(32), norm=_HEAD_NORM),
        experts=Experts(
            targets=_QWEN_TARGETS,
            count="num_experts",
            count_default=64,
            active_default=8,
            shared=times_width("num_shared_experts", 1),
            sparse=listed_sparse(after_first("first_k_dense_replace", 1)),
        ),
        max_positions=2048,
        windows=listed(4096, all_but_each(4, "sliding_window_pattern")),
    ),
    # a bias for each expert that balances them, which here is a parameter
    "ernie4_5_moe": Family(
        attention=Heads(projections=_split(USE_BIAS), kv_heads=as_written(4)),
        feed_forward=Projections(modules=GATED, bias=USE_BIAS),
        experts=Experts(
            targets=_QWEN_TARGETS,
            count="moe_num_experts",
            count_default=64,
            active="moe_k",
            active_default=6,
            statistics=1,
            shared=times_width("moe_num_shared_experts", 2),
            sparse=ernie_sparse,
        ),
        tied=True,
        head_bias=USE_BIAS,
        max_positions=131_072,
    ),
    "afmoe": Family(
        norm=Norm.WIDE,
        attention=Heads(projections=_split(), kv_heads=as_written(), head_dim=128, norm=_HEAD_NORM, gate="gate_proj"),
        experts=Experts(
            targets=_QWEN_TARGETS,
            count="num_experts",
            count_default=64,
            active_default=6,
            routers=0,
            router="gate",
            statistics=1,
            shared=times_width("num_shared_experts", 2),
            sparse=after_first("num_dense_layers", 1),
        ),
        norms=_four,
        max_positions=16_384,
        windows=listed(1024, all_but_each(4, "global_attn_every_n_layers")),
    ),
    "deepseek_v2": Family(
        attention=Latent(query_rank=1536),
        feed_forward=Projections(modules=GATED, bias=MLP_BIAS),
        experts=Experts(
            targets=_QWEN_TARGETS,
            count="n_routed_experts",
            count_default=64,
            shared=times_width("n_shared_experts", 2),
            sparse=after_first("first_k_dense_replace", 0),
        ),
        max_positions=2048,
    ),
    "deepseek_v3": Family(
        attention=Latent(query_rank=1536),
        experts=Experts(
            targets=_QWEN_TARGETS,
            count="n_routed_experts",
            count_default=256,
            active_default=8,
            shared=times_width("n_shared_experts", 1),
            sparse=after_first("first_k_dense_replace", 3),
        ),
        max_positions=4096,
    ),
    "glm4_moe_lite": Family(
        attention=Latent(query_rank=768, no_rope=192, value=256),
        experts=Experts(
            targets=_QWEN_TARGETS,
            count="n_routed_experts",
            count_default=64,
            active_default=4,
            shared=times_width("n_shared_experts", 1),
            sparse=listed_sparse(lambda _, layers: (False,) + (True,) * (layers - 1)),
        ),
        max_positions=202_752,
        spelled={"qk_rope_head_dim": "head_dim"},
    ),
    "minicpm3": Family(
        attention=Latent(query_rank=768, kv_rank=256, rope=32, no_rope=64, value=None),
        feed_forward=Projections(modules=GATED, bias=MLP_BIAS),
        max_positions=32_768,
        tied=True,
    ),
    "youtu": Family(attention=Latent(query_rank=1536), max_positions=131_072, tied=True),
}
"""By model_type."""
