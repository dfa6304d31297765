"""Attention that keeps compressed queries, keys and values and expands them (MLA)."""

from finetune_operator.planner.config_fields import Fields
from finetune_operator.planner.families.family import Latent
from finetune_operator.planner.layers import Attention, Linear


def latent_attention(spec: Latent, fields: Fields) -> tuple[tuple[Linear, ...], Attention, int]:
    """Its linear modules, its widths, and the parameters of the norms over what is compressed."""
    hidden, heads, bias = fields.count("hidden_size"), fields.count("num_attention_heads"), spec.bias.read(fields)
    rank, rope = fields.count_or("kv_lora_rank", spec.kv_rank), fields.count_or("qk_rope_head_dim", spec.rope)
    no_rope = fields.count_or("qk_nope_head_dim", spec.no_rope)
    value = fields.count_or("v_head_dim", hidden // heads if spec.value is None else spec.value)
    query = heads * (no_rope + rope)
    query_rank = _query_rank(spec, fields)
    queries: tuple[Linear, ...]
    if query_rank:
        queries = (
            Linear(name="q_a_proj", inputs=hidden, outputs=query_rank, bias=bias),
            Linear(name="q_b_proj", inputs=query_rank, outputs=query, bias=False),
        )
    else:
        queries = (Linear(name="q_proj", inputs=hidden, outputs=query, bias=False),)
    linears = (
        *queries,
        Linear(name="kv_a_proj_with_mqa", inputs=hidden, outputs=rank + rope, bias=bias),
        Linear(name="kv_b_proj", inputs=rank, outputs=heads * (no_rope + value), bias=False),
        Linear(name="o_proj", inputs=heads * value, outputs=hidden, bias=bias),
    )
    attention = Attention(
        heads=heads,
        kv_heads=heads,
        query_width=query,
        key_width=query,
        value_width=heads * value,
        output_width=heads * value,
        normed_width=query_rank + rank,
        latent_width=query_rank + rank + rope,
    )
    return linears, attention, query_rank + rank


def _query_rank(spec: Latent, fields: Fields) -> int:
    """0: queries aren't compressed."""
    if fields.has("q_lora_rank") and fields.value("q_lora_rank") is None:
        return 0
    return fields.number("q_lora_rank", spec.query_rank or 0)
