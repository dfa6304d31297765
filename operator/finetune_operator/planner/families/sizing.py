"""Makes layers of a family's description and one config.json."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from finetune_operator.exceptions import UnsupportedArchitectureError
from finetune_operator.planner.config_fields import Fields
from finetune_operator.planner.families.family import Experts, Family, Heads, Part, Projections
from finetune_operator.planner.families.latent import latent_attention
from finetune_operator.planner.layers import Attention, FeedForward, Layer, Linear

MAX_LAYERS: Final = 4096
"""Far beyond any model; a slip of the hand isn't worth minutes of counting."""

ACTIVATION_KEYS: Final = ("hidden_act", "activation_function", "hidden_activation")
"""What config.json calls the activation function."""

KEPT_BY_ACTIVATION: Final[Mapping[str, int]] = {
    "gelu_new": 4,
    "gelu_fast": 4,
    "gelu_python": 3,
    "gelu_python_tanh": 4,
    "quick_gelu": 2,
    "xielu": 4,
    "relu": 0,
}
"""Tensors that those in Python keep, step by step; torch's own keep their input, relu nothing but its result."""

RESULT_KEPT: Final = frozenset({"relu"})
"""Activation functions that need their result for the backward pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Part of a layer."""

    linears: tuple[Linear, ...]
    other_parameters: int


def size_layers(family: Family, fields: Fields) -> tuple[Layer, ...]:
    """All kinds of layers of one model, in the order in which they first come.

    Raises:
        UnsupportedArchitectureError: a field is missing or wrong.
    """
    layers = fields.count("num_hidden_layers")
    if layers > MAX_LAYERS:
        raise UnsupportedArchitectureError(
            f"config.json: {fields.key('num_hidden_layers')} is {layers}; more than {MAX_LAYERS} layers aren't planned",
        )
    linears, attention, beside = _attention(family, fields)
    norms = family.norms(fields)
    beside += norms * family.norm_vectors * fields.count("hidden_size") + family.besides(fields)
    made: dict[bool, tuple[FeedForward, _Part]] = {}
    found = []
    for (window, sparse), count in _kinds(family, fields, layers).items():
        if sparse not in made:
            made[sparse] = _feed_forward(family, fields, sparse=sparse)
        feed_forward, part = made[sparse]
        found.append(
            Layer(
                count=count,
                linears=(*linears, *part.linears),
                attention=replace(attention, window=window, rotary=family.rotary and family.positions is None),
                feed_forward=feed_forward,
                norms=norms,
                parallel=family.parallel.read(fields),
                other_parameters=beside + part.other_parameters,
            ),
        )
    return tuple(found)


def _kinds(family: Family, fields: Fields, layers: int) -> Counter[tuple[int | None, bool]]:
    windows = family.windows(fields, layers)
    sparse = (False,) * layers if family.experts is None else family.experts.sparse(fields, layers)
    return Counter(zip(windows, sparse, strict=True))


def _attention(family: Family, fields: Fields) -> tuple[tuple[Linear, ...], Attention, int]:
    """Its linear modules, its widths, and its other parameters."""
    if isinstance(family.attention, Heads):
        return _heads(family.attention, fields)
    return latent_attention(family.attention, fields)


def _heads(spec: Heads, fields: Fields) -> tuple[tuple[Linear, ...], Attention, int]:
    hidden, heads = fields.count("hidden_size"), fields.count("num_attention_heads")
    kv_heads = spec.kv_heads(fields, heads)
    if heads % kv_heads:
        raise UnsupportedArchitectureError(
            f"config.json: {fields.key('num_attention_heads')} {heads} isn't a multiple of "
            f"{fields.key('num_key_value_heads')} {kv_heads}",
        )
    head_dim = _head_dim(spec, fields, hidden, heads)
    query, key = heads * head_dim, kv_heads * head_dim
    widths: dict[Part, int] = {"query": query, "key": key, "value": key, "output": query}
    linears = tuple(_projections(spec.projections, fields, widths))
    if spec.gate:
        linears += (Linear(name=spec.gate, inputs=hidden, outputs=query, bias=False),)
    normed, weights = _normed(spec, fields, (query, key, head_dim))
    attention = Attention(
        heads=heads,
        kv_heads=kv_heads,
        query_width=query,
        key_width=key,
        value_width=key,
        output_width=query,
        normed_width=normed,
        narrow=spec.narrow,
        softcapped=spec.softcap is not None and (fields.value(spec.softcap) or not fields.has(spec.softcap)),
    )
    return linears, attention, weights + (heads if spec.sinks else 0)


def _head_dim(spec: Heads, fields: Fields, hidden: int, heads: int) -> int:
    written = spec.head_dim_key and fields.value("head_dim") is not None
    if not written and spec.head_dim is None and hidden % heads:
        raise UnsupportedArchitectureError(
            f"config.json: {fields.key('hidden_size')} {hidden} isn't a multiple of "
            f"{fields.key('num_attention_heads')} {heads}, and head_dim is absent",
        )
    if not spec.head_dim_key:
        return hidden // heads
    # written as null it means: hidden size by heads; left out, it is the family's default
    default = hidden // heads if spec.head_dim is None or fields.has("head_dim") else spec.head_dim
    return fields.count_or("head_dim", default)


def _normed(spec: Heads, fields: Fields, widths: tuple[int, int, int]) -> tuple[int, int]:
    """How much of queries and keys goes through a norm, and the norm's parameters."""
    query, key, head_dim = widths
    if spec.norm is None or not spec.norm.present.read(fields):
        return 0, 0
    weights = 2 * head_dim if spec.norm.scope == "head" else query + key
    return query + key, weights * spec.norm.vectors


def _projections(spec: Projections, fields: Fields, widths: dict[Part, int]) -> Iterator[Linear]:
    """Modules from the hidden size to the widths of their parts; output and down lead back."""
    hidden, bias = fields.count("hidden_size"), spec.bias.read(fields)
    output_bias = bias if spec.output_bias is None else spec.output_bias.read(fields)
    for name, parts in spec.modules.items():
        width = sum(widths[part] for part in parts)
        back = parts[0] in {"output", "down"}
        yield Linear(
            name=name,
            inputs=width if back else hidden,
            outputs=hidden if back else width,
            bias=output_bias if back else bias,
            quantisable=spec.quantisable,
        )


def _feed_forward(family: Family, fields: Fields, *, sparse: bool) -> tuple[FeedForward, _Part]:
    spec = family.feed_forward
    gated = any("gate" in parts for parts in spec.modules.values())
    if sparse and family.experts is not None:
        return _experts(family, family.experts, fields)
    width = _width(family, fields)
    linears = tuple(_projections(spec, fields, {"gate": width, "up": width, "down": width}))
    kept, result = _activation(family, fields)
    feed_forward = FeedForward(width=width, gated=gated, activation=kept, keeps_result=result)
    return feed_forward, _Part(linears=linears, other_parameters=0)


def _activation(family: Family, fields: Fields) -> tuple[int, bool]:
    """Tensors that the activation function keeps, and whether its result is one of them."""
    written = next((fields.value(key) for key in ACTIVATION_KEYS if fields.value(key) is not None), None)
    name = str(written or family.activation)
    return KEPT_BY_ACTIVATION.get(name, 1), name in RESULT_KEPT


def _width(family: Family, fields: Fields) -> int:
    """Of the dense block."""
    default = None if family.width_factor is None else family.width_factor * fields.count("hidden_size")
    if default is not None and family.width is None:
        return default
    return _defaulted(fields, family.width or "intermediate_size", default)


def _experts(family: Family, spec: Experts, fields: Fields) -> tuple[FeedForward, _Part]:
    hidden, width = fields.count("hidden_size"), fields.count(spec.width)
    experts = _defaulted(fields, spec.count, spec.count_default)
    each = 3 * hidden * width + (2 * width + hidden if spec.biased else 0)
    shared = 0 if spec.shared is None else spec.shared(fields)
    linears: list[Linear] = []
    if spec.router is not None:
        quantisable = spec.router_quantisable
        linears.append(Linear(name=spec.router, inputs=hidden, outputs=experts, bias=False, quantisable=quantisable))
    if shared:
        widths: dict[Part, int] = {"gate": shared, "up": shared, "down": shared}
        linears.extend(_projections(replace(family.feed_forward, modules=spec.shared_modules), fields, widths))
    if spec.shared_gate is not None:
        linears.append(Linear(name=spec.shared_gate, inputs=hidden, outputs=1, bias=False))
    routing = experts * (spec.routers * hidden + spec.statistics + (1 if spec.biased else 0))
    active = _defaulted(fields, spec.active, spec.active_default)
    if active > experts:
        raise UnsupportedArchitectureError(
            f"config.json: {fields.key(spec.active)} {active} is more than {fields.key(spec.count)} {experts}",
        )
    feed_forward = FeedForward(
        width=width,
        gated=True,
        experts=experts,
        active=active,
        shared_width=shared,
        expert_parameters=experts * each,
    )
    return feed_forward, _Part(linears=tuple(linears), other_parameters=routing)


def _defaulted(fields: Fields, key: str, default: int | None) -> int:
    return fields.count(key) if default is None else fields.count_or(key, default)
