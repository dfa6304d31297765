"""What a model is made of, read from its config.json: exact to the parameter, without loading it."""

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A decoder of equal layers; every size is a count of elements."""

    name: str
    """Class in transformers, such as LlamaForCausalLM."""
    hidden: int
    ffn: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool
    """The output head is the embedding table."""
    qk_norm: bool
    max_positions: int
    linears: tuple[Linear, ...]
    """A layer's linear modules, in the model's order."""
    total_parameters: int

    @property
    def query_width(self) -> int:
        """All query heads side by side."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """All key heads side by side; values have as many."""
        return self.kv_heads * self.head_dim

    @property
    def embedding_parameters(self) -> int:
        """The embedding table, which is also the model's largest tensor or as large as it."""
        return self.vocab * self.hidden

    @property
    def matmul_parameters(self) -> int:
        """Weights that every token is multiplied with: the layers' linear modules and the output head."""
        return self.layers * sum(m.inputs * m.outputs for m in self.linears) + self.embedding_parameters

    @property
    def largest_tensor(self) -> int:
        """Elements of the largest single tensor."""
        return max(self.embedding_parameters, *(m.inputs * m.outputs for m in self.linears))


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
    linears = _linears(config, rules, (hidden, ffn, heads * head_dim, kv_heads * head_dim))
    layer = sum(m.parameters for m in linears) + 2 * hidden + (2 * head_dim if rules.qk_norm else 0)
    tied = bool(config.get("tie_word_embeddings", False))
    return Architecture(
        name=name,
        hidden=hidden,
        ffn=ffn,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocab=vocab,
        tied=tied,
        qk_norm=rules.qk_norm,
        max_positions=_count_or(config, "max_position_embeddings", rules.max_positions, name),
        linears=linears,
        total_parameters=vocab * hidden * (1 if tied else 2) + layers * layer + hidden,
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
