"""What a model is made of, read from its config.json: exact to the parameter, without loading it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from finetune_operator.api.spec import ALL_LINEAR
from finetune_operator.exceptions import InvalidManifestError, UnsupportedArchitectureError


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What one family of models does where its config.json says nothing: transformers' own defaults."""

    kv_heads: int | None = None
    """Key and value heads; None: as many as query heads."""
    head_dim: int | None = None
    """None: hidden size divided by heads."""
    qkv_bias: bool = False
    """Query, key and value projections have biases, and no key can say otherwise."""
    attention_bias: bool = False
    """The key attention_bias counts: biases on all four attention projections."""
    mlp_bias: bool = False
    """The key mlp_bias counts: biases on the three feed-forward projections."""
    qk_norm: bool = False
    """A norm over each head's queries and keys."""
    max_positions: int
    """Longest sequence where max_position_embeddings is absent."""


FAMILIES: Final[Mapping[str, Family]] = {
    "llama": Family(attention_bias=True, mlp_bias=True, max_positions=2048),
    "mistral": Family(kv_heads=8, max_positions=131_072),
    "qwen2": Family(kv_heads=32, qkv_bias=True, max_positions=32_768),
    "qwen3": Family(kv_heads=32, head_dim=128, attention_bias=True, qk_norm=True, max_positions=32_768),
}
"""Families by model_type; defaults as in transformers 5.23's configuration classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """One linear module of a layer."""

    name: str
    inputs: int
    outputs: int
    bias: bool

    @property
    def parameters(self) -> int:
        return self.inputs * self.outputs + (self.outputs if self.bias else 0)


class Norm(StrEnum):
    """How a norm is computed, which decides what it keeps for its backward pass."""

    RMS = "rms"
    """In 32 bits by operators of Python, as Llama's."""
    LAYER = "layer"
    """By torch's own layer_norm, in the arithmetic of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Widths of one layer's attention, in elements a token."""

    heads: int
    kv_heads: int
    query_width: int
    """All query heads side by side, as attention gets them."""
    key_width: int
    """All key heads side by side."""
    value_width: int
    """All value heads side by side; differs from the keys' where heads are compressed (MLA)."""
    output_width: int
    """What the output projection reads."""
    normed_width: int = 0
    """Queries and keys that go through a norm of their own."""
    latent_width: int = 0
    """Compressed queries, keys and values (MLA), kept beside what they are expanded to."""
    window: int | None = None
    """Tokens that a token looks back at most; None: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedForward:
    """Widths of one layer's feed-forward part, in elements a token."""

    width: int
    """Of the dense block, or of one routed expert; 0 where there is neither."""
    gated: bool
    """Two input projections, of which one gates the other (SwiGLU, GeGLU)."""
    experts: int = 0
    """Routed experts; 0: a dense block."""
    active: int = 0
    """Routed experts that a token goes through."""
    shared_width: int = 0
    """Of the experts that every token goes through, side by side; their projections are linear modules."""
    expert_parameters: int = 0
    """Parameters of all routed experts. transformers 5 keeps them in three-dimensional tensors, which neither an
    adapter on linear modules nor 4-bit quantisation reaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """So many equal layers."""

    count: int
    linears: tuple[Linear, ...]
    """A layer's linear modules, in the model's order; without routed experts."""
    attention: Attention
    feed_forward: FeedForward
    norms: int
    """Norms over the hidden size."""
    other_parameters: int
    """A layer's norms, routers, sinks: what is neither a linear module nor a routed expert."""

    @property
    def parameters(self) -> int:
        """Of one layer."""
        linears = sum(m.parameters for m in self.linears)
        return linears + self.feed_forward.expert_parameters + self.other_parameters

    @property
    def linear_weights(self) -> int:
        """Elements of one layer's linear modules' weights, biases not counted."""
        return sum(m.inputs * m.outputs for m in self.linears)

    @property
    def matmul_parameters(self) -> int:
        """Weights of one layer that a token is multiplied with: of the routed experts only the active ones'."""
        ff = self.feed_forward
        routed = ff.expert_parameters * ff.active // ff.experts if ff.experts else 0
        return self.linear_weights + routed


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A decoder; every size is a count of elements."""

    name: str
    """Class in transformers, such as LlamaForCausalLM."""
    family: str
    """model_type of config.json."""
    hidden: int
    vocab: int
    tied: bool
    """The output head is the embedding table."""
    norm: Norm
    softcapped: bool = False
    """Logits go through a tanh, which keeps a copy of them."""
    max_positions: int
    groups: tuple[Layer, ...]
    """Kinds of layers with their counts."""
    other_parameters: int
    """Outside of layers, embedding table and head: the last norm, a table of positions, the head's bias."""

    @property
    def layers(self) -> int:
        """Number of layers."""
        return sum(g.count for g in self.groups)

    @property
    def linears(self) -> tuple[Linear, ...]:
        """Every layer's linear modules of all kinds of layers, each name once, the largest of that name."""
        found: dict[str, Linear] = {}
        for module in (m for g in self.groups for m in g.linears):
            known = found.get(module.name)
            if known is None or known.parameters < module.parameters:
                found[module.name] = module
        return tuple(found.values())

    @property
    def embedding_parameters(self) -> int:
        """The embedding table."""
        return self.vocab * self.hidden

    @property
    def total_parameters(self) -> int:
        """All of them, a tied table once."""
        tables = self.embedding_parameters * (1 if self.tied else 2)
        return tables + self.other_parameters + sum(g.count * g.parameters for g in self.groups)

    @property
    def matmul_parameters(self) -> int:
        """Weights that a token is multiplied with: the layers' and the output head's."""
        return sum(g.count * g.matmul_parameters for g in self.groups) + self.embedding_parameters

    @property
    def largest_tensor(self) -> int:
        """Elements of the largest single tensor."""
        # routed experts lie in two tensors, of which the gate's and the up projection's has two thirds
        experts = max(g.feed_forward.expert_parameters * 2 // 3 for g in self.groups)
        return max(self.embedding_parameters, experts, *(m.inputs * m.outputs for g in self.groups for m in g.linears))


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """The architecture that a config.json describes.

    Raises:
        UnsupportedArchitectureError: the family isn't known, the weights are quantised, or a field is missing or wrong.
    """
    name = _class_name(config)
    rules = FAMILIES[_family(config, name)]
    hidden, ffn = _count(config, "hidden_size", name), _count(config, "intermediate_size", name)
    layers, heads = _count(config, "num_hidden_layers", name), _count(config, "num_attention_heads", name)
    vocab = _count(config, "vocab_size", name)
    kv_heads = _kv_heads(config, rules, heads, name)
    head_dim = _head_dim(config, rules, hidden, heads, name)
    query, key_value = heads * head_dim, kv_heads * head_dim
    normed = query + key_value if rules.qk_norm else 0
    layer = Layer(
        count=layers,
        linears=_linears(config, rules, (hidden, ffn, query, key_value)),
        attention=Attention(
            heads=heads,
            kv_heads=kv_heads,
            query_width=query,
            key_width=key_value,
            value_width=key_value,
            output_width=query,
            normed_width=normed,
        ),
        feed_forward=FeedForward(width=ffn, gated=True),
        norms=2,
        other_parameters=2 * hidden + (2 * head_dim if rules.qk_norm else 0),
    )
    return Architecture(
        name=name,
        family=_family(config, name),
        hidden=hidden,
        vocab=vocab,
        tied=bool(config.get("tie_word_embeddings", False)),
        norm=Norm.RMS,
        max_positions=_count_or(config, "max_position_embeddings", rules.max_positions, name),
        groups=(layer,),
        other_parameters=hidden,
    )


def adapted_modules(architecture: Architecture, targets: tuple[str, ...]) -> tuple[Linear, ...]:
    """The modules of one layer that an adapter is put on.

    Raises:
        InvalidManifestError: a target isn't a linear module of this model; the real ones are listed.
    """
    names = [m.name for m in architecture.linears]
    for target in targets:
        if target != ALL_LINEAR and target not in names:
            raise InvalidManifestError(
                f"spec.adapter.targetModules: {target} is not in {architecture.name}; it has {', '.join(names)} "
                f"(or write {ALL_LINEAR})",
            )
    if ALL_LINEAR in targets:
        return architecture.linears
    return tuple(m for m in architecture.linears if m.name in targets)


def _class_name(config: Mapping[str, Any]) -> str:
    listed = config.get("architectures")
    if isinstance(listed, list | tuple) and listed:
        return str(listed[0])
    return f"a model of type {config.get('model_type', 'unknown')}"


def _family(config: Mapping[str, Any], name: str) -> str:
    """The family, once everything that we can't train has been turned away."""
    for key, what in (("vision_config", "reads images"), ("audio_config", "reads sound")):
        if key in config:
            raise UnsupportedArchitectureError(
                f"config.json: {name} {what}; only text models are trained in this version, {_known()}",
            )
    family = config.get("model_type")
    if not isinstance(family, str):
        raise UnsupportedArchitectureError(f"config.json: model_type is missing; it names the family, {_known()}")
    if family not in FAMILIES:
        raise UnsupportedArchitectureError(f"config.json: the family {family} ({name}) isn't known; {_known()}")
    if "quantization_config" in config:
        raise UnsupportedArchitectureError(
            f"config.json: the weights of {name} are already quantised ({_quantiser(config)}); take the repository "
            "with its 16-bit weights",
        )
    if "architectures" in config and not name.endswith("ForCausalLM"):
        raise UnsupportedArchitectureError(
            f"config.json: {name} isn't a causal language model; take the base or instruct model of that family",
        )
    return family


def _known() -> str:
    return f"known are {', '.join(FAMILIES)}"


def _quantiser(config: Mapping[str, Any]) -> str:
    found = config["quantization_config"]
    return str(found.get("quant_method", "unnamed method")) if isinstance(found, Mapping) else "unnamed method"


def _count(config: Mapping[str, Any], key: str, name: str) -> int:
    value = config.get(key)
    if value is None:
        raise UnsupportedArchitectureError(f"config.json: {key} is missing, and {name} can't be sized without it")
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UnsupportedArchitectureError(f"config.json: {key} is {value!r}; it has to be a whole number above 0")
    return value


def _count_or(config: Mapping[str, Any], key: str, default: int, name: str) -> int:
    return default if config.get(key) is None else _count(config, key, name)


def _kv_heads(config: Mapping[str, Any], rules: Family, heads: int, name: str) -> int:
    # written as null it means: as many as there are heads; left out, it is the family's default
    default = heads if "num_key_value_heads" in config else rules.kv_heads or heads
    found = _count_or(config, "num_key_value_heads", default, name)
    if heads % found:
        raise UnsupportedArchitectureError(
            f"config.json: num_attention_heads {heads} isn't a multiple of num_key_value_heads {found}",
        )
    return found


def _head_dim(config: Mapping[str, Any], rules: Family, hidden: int, heads: int, name: str) -> int:
    if rules.head_dim is not None:
        return _count_or(config, "head_dim", rules.head_dim, name)
    if config.get("head_dim") is None and hidden % heads:
        raise UnsupportedArchitectureError(
            f"config.json: hidden_size {hidden} isn't a multiple of num_attention_heads {heads}, and head_dim is absent"
        )
    return _count_or(config, "head_dim", hidden // heads, name)


def _linears(config: Mapping[str, Any], rules: Family, sizes: tuple[int, int, int, int]) -> tuple[Linear, ...]:
    hidden, ffn, query, key_value = sizes
    attention = rules.attention_bias and bool(config.get("attention_bias", False))
    mlp = rules.mlp_bias and bool(config.get("mlp_bias", False))
    qkv = attention or rules.qkv_bias
    return (
        Linear(name="q_proj", inputs=hidden, outputs=query, bias=qkv),
        Linear(name="k_proj", inputs=hidden, outputs=key_value, bias=qkv),
        Linear(name="v_proj", inputs=hidden, outputs=key_value, bias=qkv),
        Linear(name="o_proj", inputs=query, outputs=hidden, bias=attention),
        Linear(name="gate_proj", inputs=hidden, outputs=ffn, bias=mlp),
        Linear(name="up_proj", inputs=hidden, outputs=ffn, bias=mlp),
        Linear(name="down_proj", inputs=ffn, outputs=hidden, bias=mlp),
    )
