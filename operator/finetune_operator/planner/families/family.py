"""The words in which a family of models is described: its modules' names, and what config.json may leave out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from finetune_operator.planner.config_fields import Fields
from finetune_operator.planner.families.patterns import Pattern, nowhere
from finetune_operator.planner.layers import Norm

Part: TypeAlias = Literal["query", "key", "value", "output", "gate", "up", "down"]
"""What a projection computes; a fused module computes several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """Something that a key of config.json switches."""

    key: str | None = None
    """None: no key can change it."""
    default: bool = False

    def read(self, fields: Fields) -> bool:
        return self.default if self.key is None else fields.flag(self.key, default=self.default)


OFF: Final = Switch()
ON: Final = Switch(default=True)
ATTENTION_BIAS: Final = Switch(key="attention_bias")
MLP_BIAS: Final = Switch(key="mlp_bias")
USE_BIAS: Final = Switch(key="use_bias")


@dataclass(frozen=True, slots=True, kw_only=True)
class Projections:
    """Linear modules by name, in the model's order, each with the parts it computes."""

    modules: Mapping[str, tuple[Part, ...]]
    bias: Switch = OFF
    output_bias: Switch | None = None
    """Of the modules that lead back to the hidden size; None: as the others."""
    quantisable: bool = True
    """False: a class derived from nn.Linear, which transformers doesn't replace when it quantises."""


SPLIT_ATTENTION: Final[Mapping[str, tuple[Part, ...]]] = {
    "q_proj": ("query",),
    "k_proj": ("key",),
    "v_proj": ("value",),
    "o_proj": ("output",),
}
GATED: Final[Mapping[str, tuple[Part, ...]]] = {"gate_proj": ("gate",), "up_proj": ("up",), "down_proj": ("down",)}
FUSED_GATED: Final[Mapping[str, tuple[Part, ...]]] = {"gate_up_proj": ("gate", "up"), "down_proj": ("down",)}
UP_DOWN: Final[Mapping[str, tuple[Part, ...]]] = {"up_proj": ("up",), "down_proj": ("down",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryKeyNorm:
    """A norm over queries and keys."""

    present: Switch = ON
    scope: Literal["head", "each", "all"] = "head"
    """head: one set of weights for all heads; each: one for every head; all: over all heads side by side."""
    vectors: int = 1
    """Parameters for each element of its width: 2 with a bias, 0 without weights."""


def as_written(default: int | None = None) -> Callable[[Fields, int], int]:
    """Key and value heads by num_key_value_heads; left out, they are the default, and as null as many as heads."""

    def read(fields: Fields, heads: int) -> int:
        left_out = heads if default is None or fields.has("num_key_value_heads") else default
        return fields.count_or("num_key_value_heads", left_out)

    return read


AS_WRITTEN: Final = as_written()


def every_head(_: Fields, heads: int) -> int:
    """No key can give several heads one key and value."""
    return heads


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """Attention of heads that share keys and values in groups, or don't."""

    projections: Projections = field(default_factory=lambda: Projections(modules=SPLIT_ATTENTION))
    kv_heads: Callable[[Fields, int], int] = AS_WRITTEN
    """From the fields and the number of query heads."""
    head_dim: int | None = None
    """Where head_dim is absent; None: hidden size divided by heads."""
    head_dim_key: bool = True
    """False: whatever head_dim says, it's hidden size divided by heads."""
    norm: QueryKeyNorm | None = None
    sinks: bool = False
    """One parameter a head, which attention can fall back on."""
    gate: str | None = None
    """Name of a linear module as wide as all heads, which gates the output."""
    softcap: str | None = None
    """Key of a cap on the scores, which takes a tanh between the products."""
    narrow: bool = False
    """Its softmax is in the run's arithmetic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """Attention whose queries, keys and values are expanded from compressed ones (MLA)."""

    bias: Switch = ATTENTION_BIAS
    """On the compressing projections and the output."""
    query_rank: int | None = None
    """Where q_lora_rank is absent; written as null, queries aren't compressed."""
    kv_rank: int = 512
    rope: int = 64
    no_rope: int = 128
    value: int | None = 128
    """Where v_head_dim is absent; None: hidden size divided by heads."""


def own_width(key: str, default: int) -> Callable[[Fields], int]:
    """A width that one key gives; 0: there are none."""
    return lambda fields: fields.number(key, default)


def times_width(key: str, default: int) -> Callable[[Fields], int]:
    """So many experts as wide as a routed one."""

    def read(fields: Fields) -> int:
        return fields.number(key, default) * fields.count("moe_intermediate_size")

    return read


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """Routed experts instead of a dense block, in all layers or some."""

    count: str = "num_local_experts"
    count_default: int | None = None
    """None: the key has to be there."""
    active: str = "num_experts_per_tok"
    active_default: int | None = None
    width: str = "moe_intermediate_size"
    biased: bool = False
    """A bias on each expert's projections and on the router."""
    routers: int = 1
    """Parameters of the router for each expert and element of the hidden size; 0: it's a linear module."""
    router: str | None = None
    """Name of the router where it is a linear module."""
    router_quantisable: bool = True
    """False: the router's class only derives from nn.Linear."""
    statistics: int = 0
    """Parameters for each expert besides."""
    shared: Callable[[Fields], int] | None = None
    """Width of the experts that every token goes through."""
    shared_modules: Mapping[str, tuple[Part, ...]] = field(default_factory=lambda: GATED)
    shared_gate: str | None = None
    """Name of a linear module with one output, which weighs the shared experts."""
    targets: tuple[str, ...] = ()
    """Names that PEFT takes for these experts and their router; see Architecture.expert_targets."""
    sparse: Callable[[Fields, int], tuple[bool, ...]] = lambda _, layers: (True,) * layers
    """Which layers have routed experts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One family of models, with the defaults of its configuration class in transformers 5.23."""

    attention: Heads | Latent = field(default_factory=Heads)
    feed_forward: Projections = field(default_factory=lambda: Projections(modules=GATED))
    width: str | None = "intermediate_size"
    """Key of the dense block's width; None: no key says it."""
    width_factor: int | None = None
    """Hidden sizes that it is wide where that key is absent; None: it has to be there."""
    rotary: bool = True
    """Queries and keys are turned by their positions, where there is no table of these."""
    activation: str = "silu"
    """Where hidden_act is absent."""
    parallel: Switch = OFF
    """Attention and feed-forward part read the same tensor."""
    experts: Experts | None = None
    norm: Norm = Norm.RMS
    norm_vectors: int = 1
    """Parameters for each element of a norm: 2 with a bias, 0 without weights."""
    norms: Callable[[Fields], int] = lambda _: 2
    """Norms over the hidden size in one layer."""
    embedding_norm: bool = False
    """A norm straight after the embedding table."""
    besides: Callable[[Fields], int] = lambda _: 0
    """A layer's parameters that are neither in linear modules nor in norms over the hidden size."""
    tied: bool = False
    """Where tie_word_embeddings is absent."""
    head_bias: Switch = OFF
    positions: int | None = None
    """A table of positions, with so many rows more than there are positions; None: there is none."""
    max_positions: int
    """Longest sequence where max_position_embeddings is absent."""
    softcap: tuple[str, bool] | None = None
    """Key of a cap on the logits, and whether there is one where the key is absent."""
    windows: Pattern = nowhere
    """How far each layer looks back."""
    spelled: Mapping[str, str] = field(default_factory=dict)
    """What config.json calls a field, where it isn't what transformers calls it in memory."""
    only: Mapping[str, bool | str] = field(default_factory=dict)
    """Keys that have to be what they are here, or be absent; a text names the key they have to equal."""
    sdpa: bool = True
    """transformers runs its attention on torch's fused kernel."""
