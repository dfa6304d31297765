"""A decoder's layers and their linear modules, as counts of elements."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """One linear module of a layer."""

    name: str
    inputs: int
    outputs: int
    bias: bool
    quantisable: bool = True
    """False: its class derives from nn.Linear, and transformers quantises only modules of that very class."""

    @property
    def parameters(self) -> int:
        return self.inputs * self.outputs + (self.outputs if self.bias else 0)


class Norm(StrEnum):
    """How a norm is computed, which decides what it keeps for its backward pass."""

    RMS = "rms"
    """In 32 bits by operators of Python, as Llama's."""
    WIDE = "wide"
    """The same, and its weight is multiplied in 32 bits too, as Gemma's."""
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
    """Queries and keys that go through a norm of their own; with MLA, the compressed ones."""
    latent_width: int = 0
    """Compressed queries, keys and values (MLA), kept beside what they are expanded to."""
    window: int | None = None
    """Tokens that a token looks back at most; None: all."""
    softcapped: bool = False
    """Scores go through a tanh, which torch's fused kernel can't do."""
    rotary: bool = True
    """Queries and keys are turned by their positions, which makes new tensors of them."""
    narrow: bool = False
    """Without that kernel the softmax is in the run's own arithmetic, not in 32 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedForward:
    """Widths of one layer's feed-forward part, in elements a token."""

    width: int
    """Of the dense block, or of one routed expert; 0 where there is neither."""
    gated: bool
    """Two input projections, of which one gates the other (SwiGLU, GeGLU)."""
    activation: int = 1
    """Tensors that the activation function keeps beside its result: its input, or steps of it in Python."""
    keeps_result: bool = False
    """The activation function needs its result in place of its input, as relu does."""
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
    parallel: bool = False
    """Attention and feed-forward part read the same tensor, each through a norm of its own."""
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
    dequantised: bool = False
    """The repository has 4-bit weights (gpt-oss: MXFP4), which are trained as 16-bit ones; all counts are of these."""
    expert_targets: tuple[str, ...] = ()
    """Names of target modules that PEFT 0.21 takes for routed experts and their router, as transformers 4 named them.

    Where there are any, it takes all-linear for them, too, and then refuses DoRA and dropout: so an adapter is given
    the other modules by name.
    """
    sdpa: bool = True
    """transformers runs its attention on torch's fused kernel; without it, all scores of a layer are kept."""

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
        # all routed experts of a layer lie in two tensors, of which the gate's and the up projection's is the larger
        experts = max(2 * self.hidden * g.feed_forward.width * g.feed_forward.experts for g in self.groups)
        return max(self.embedding_parameters, experts, *(m.inputs * m.outputs for g in self.groups for m in g.linears))
