"""What one layer keeps of a token for its backward pass, operator by operator.

Equal to the tensors that autograd saves in transformers 5.23's layers (tests hold it against them), and, with another
recipe, to what published measurements of older stacks show.
"""

from dataclasses import dataclass
from typing import Final

from finetune_operator.api.spec import Method
from finetune_operator.planner.architecture import Architecture, Layer, Linear, Norm
from finetune_operator.planner.recipe import Adapters, Kernels, Recipe

WIDE: Final = 4
"""Bytes of a 32-bit element."""

HALF: Final = 2
"""Bytes of a 16-bit element, whatever the run's arithmetic: of what autocast makes."""

ATTENTION_INPUTS: Final = frozenset(
    {"q_proj", "k_proj", "v_proj", "qkv_proj", "query_key_value", "c_attn", "Wqkv", "W_pack", "q_a_proj"}
    | {"kv_a_proj_with_mqa"}
)
"""Modules that read what the layer's first norm has made, by their names in transformers."""

FEED_FORWARD_INPUTS: Final = frozenset(
    {"gate_proj", "up_proj", "gate_up_proj", "c_fc", "fc1", "fc_in", "dense_h_to_4h", "w1", "w3"}
)
"""Modules that read what the feed-forward part gets."""

ATTENTION_OUTPUTS: Final = frozenset({"o_proj", "dense", "out_proj"})
"""Modules that read what attention has made, where their inputs are as wide as the feed-forward part."""

LATENT_INPUTS: Final = frozenset({"q_b_proj", "kv_b_proj"})
"""Modules that read compressed queries, or keys and values (MLA)."""

SCORES_KEPT: Final = 6
"""Bytes kept of each attention score where attention is made of plain operators: 32-bit softmax, 16-bit weights."""

SOFTCAP_KEPT: Final = 2
"""More where scores go through a tanh."""

SCORES_WORKING: Final = 13
"""More bytes of each score while attention's backward pass runs; fitted on T4 measurements of four models."""

NARROW_KEPT: Final = 3
"""The same where the softmax is in 16 bits: its result, and what finds its largest."""

NARROW_WORKING: Final = 4
"""More bytes of each such score in attention's backward pass."""

SOFTCAP_WORKING: Final = 6
"""The same where scores go through a tanh, whose backward pass goes on in the same places."""

DORA_OUTPUTS: Final = 2
"""Elements that DoRA keeps for each output of an adapted module: the module's own output and the adapter's."""

AUTOCAST_WORKING: Final = 9
"""Bytes of each element of the hidden size that a layer's backward pass adds with 32-bit adapters under autocast."""

AUTOCAST_FUSED_WORKING: Final = 11
"""Likewise with fused kernels."""

WIDE_WORKING: Final = 8
"""Likewise with adapters in 32-bit arithmetic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCost:
    """What a token costs in each of so many equal layers."""

    layers: int
    fixed_bytes: int
    """Kept, whatever the arithmetic: 32-bit copies made by norms, their scales, attention's log-sums."""
    elements: int
    """Kept, in the arithmetic of the run."""
    dropped: int
    """Kept inputs that an adapter's dropout copies, each with its mask."""
    masked: int
    """More elements where rows are padded: attention with a mask repeats keys and values for every query head."""
    scores: int = 0
    """Kept bytes for each token of the row's length."""
    working_bytes: int = 0
    """More while the layer's own backward pass runs, whatever the arithmetic."""
    working: int = 0
    """More elements while the layer's own backward pass runs."""
    working_scores: int = 0
    """More bytes for each token of the row's length when attention's own turn comes."""
    passed: int = 0
    """Kept elements that are gone by then: the feed-forward part's."""
    multiplied: int = 0
    """More elements when the feed-forward part's last matrix is multiplied, which is when a 4-bit one is unpacked."""
    fused_attention: bool = True
    """Attention runs as one kernel, which keeps a mask of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One kind of layer, and how it is trained."""

    architecture: Architecture
    layer: Layer
    method: Method
    modules: tuple[Linear, ...]
    """Linear modules whose inputs are needed for gradients: all for Full, else those that an adapter is put on."""
    rank: int
    """The adapter's; 0 for Full."""
    dropout: bool
    """The adapter's input goes through dropout."""
    recipe: Recipe

    @property
    def full(self) -> bool:
        """All weights are trained."""
        return self.method is Method.FULL

    @property
    def inner(self) -> int:
        """Elements of a token between the feed-forward part's projections, over all experts that it goes through."""
        ff = self.layer.feed_forward
        return ff.width * (ff.active if ff.experts else 1) + ff.shared_width

    def reads(self, name: str) -> bool:
        """Whether one of the modules reads that tensor, which is then kept for it."""
        return any(_reads(self.layer, m) == name for m in self.modules)


def token_cost(trained: Trained) -> TokenCost:
    """The cost in one kind of layer."""
    layer, recipe, modules = trained.layer, trained.recipe, trained.modules
    norm_bytes, norms = _norms(trained)
    gate_bytes, gates = _gates(trained)
    # with dropout every module keeps a copy of its own; without, modules that read the same tensor share it
    input_bytes, inputs = (0, 0) if trained.dropout else _inputs(trained)
    attended, masked = _attended(trained)
    adapted = () if trained.full else modules
    outputs = DORA_OUTPUTS * sum(m.outputs for m in adapted) if trained.method is Method.DORA else 0
    heads = layer.attention.heads
    score_kept, score_working = _score_bytes(layer) if recipe.eager else (0, 0)
    working_bytes, working = _working(trained)
    return TokenCost(
        layers=layer.count,
        fixed_bytes=norm_bytes + gate_bytes + input_bytes + (0 if recipe.eager else WIDE * heads),
        elements=norms + attended + gates + inputs + outputs + trained.rank * len(adapted),
        dropped=sum(m.inputs for m in adapted) if trained.dropout else 0,
        masked=masked,
        fused_attention=not recipe.eager,
        scores=heads * score_kept,
        working_bytes=working_bytes,
        working=working,
        working_scores=heads * score_working,
        passed=gates,
        multiplied=trained.architecture.hidden + trained.inner,
    )


def _score_bytes(layer: Layer) -> tuple[int, int]:
    """Kept, and more in attention's own backward pass, of each score by plain operators."""
    if layer.attention.narrow:
        return NARROW_KEPT, NARROW_WORKING
    if layer.attention.softcapped:
        return SCORES_KEPT + SOFTCAP_KEPT, SOFTCAP_WORKING
    return SCORES_KEPT, SCORES_WORKING


def _attended(trained: Trained) -> tuple[int, int]:
    """Elements that attention keeps, and those more where rows are padded: each key for every query head."""
    attention, recipe = trained.layer.attention, trained.recipe
    repeated = max(0, 2 * attention.query_width - attention.key_width - attention.value_width)
    elements = attention.query_width + attention.key_width + attention.value_width
    if not recipe.eager or (trained.reads("output") and not trained.dropout):
        elements += attention.output_width
    joined = _is_joined(trained.layer)
    if recipe.joined_projections or joined:
        # the values are a view of what one projection made, which stays as a whole
        elements += attention.query_width + attention.key_width
    if recipe.keeps_quantised_inputs:
        elements += 3 * attention.query_width + trained.inner
    if recipe.repeats_keys or recipe.eager:
        return elements + repeated, 0
    if joined and trained.reads("output") and not trained.dropout:
        # without a mask the result lies in memory as the joined queries do, and is copied for the output projection
        return elements + attention.output_width, repeated - attention.output_width
    return elements, repeated


def _is_joined(layer: Layer) -> bool:
    """Queries and keys are made anew from one projection's result, of which the values stay a view."""
    attention = layer.attention
    width = attention.query_width + attention.key_width + attention.value_width
    return attention.rotary and any(m.outputs == width and m.name in ATTENTION_INPUTS for m in layer.linears)


def _norms(trained: Trained) -> tuple[int, int]:
    """Bytes and elements: a norm of Python keeps a 32-bit copy of its input, another one the input itself."""
    a, layer, recipe = trained.architecture, trained.layer, trained.recipe
    attention = layer.attention
    # norms of parallel branches read the same tensor; only torch's own keeps it as it is
    distinct = 1 if layer.parallel and a.norm is Norm.LAYER else layer.norms
    width = distinct * a.hidden
    if a.norm is Norm.LAYER or (recipe.kernels is Kernels.FUSED and not recipe.wide_residual):
        return WIDE * (2 * layer.norms) + WIDE * attention.normed_width, width
    scales = layer.norms + (attention.heads + attention.kv_heads if attention.normed_width else 0)
    fixed = WIDE * (width + attention.normed_width + attention.latent_width + scales)
    if not trained.full:
        return fixed, 0
    if a.norm is Norm.WIDE:
        return fixed + WIDE * (width + attention.normed_width), 0
    return fixed, width + attention.normed_width


def _gates(trained: Trained) -> tuple[int, int]:
    """The feed-forward part: gate, the gate's activation and up part; or what an ungated activation reads."""
    ff, recipe = trained.layer.feed_forward, trained.recipe
    # a gate's activation is a tensor beside what it is made of, and so is the part that it is multiplied with
    kept = ff.activation + (2 if ff.gated else 0)
    if ff.keeps_result and not ff.gated and (trained.dropout or not trained.reads("inner")):
        kept += 1
    count = kept * trained.inner
    # routed tokens' results are kept for the gradient of the routing weights
    routed = ff.active * trained.architecture.hidden if ff.experts else 0
    if recipe.experts_apart:
        routed *= 2
    if recipe.wide_residual:
        return WIDE * count, routed
    return 0, count + routed


def _reads(layer: Layer, module: Linear) -> str:
    """Which tensor a module reads: modules that read the same one share what is kept of it."""
    if module.name in ATTENTION_INPUTS:
        return "attention"
    if module.name in LATENT_INPUTS:
        return module.name
    if module.name in FEED_FORWARD_INPUTS:
        return "feed-forward"
    if module.inputs == layer.attention.output_width and not _is_inner(layer, module):
        return "output"
    return "inner"


def _is_inner(layer: Layer, module: Linear) -> bool:
    ff = layer.feed_forward
    return module.inputs in {ff.width, ff.shared_width} and module.name not in ATTENTION_OUTPUTS


def _inputs(trained: Trained) -> tuple[int, int]:
    """What the modules' weights need of their inputs, in bytes and elements."""
    hidden, ff, recipe = trained.architecture.hidden, trained.layer.feed_forward, trained.recipe
    read = {_reads(trained.layer, m): m.inputs for m in trained.modules}
    # the output projection's input is what attention keeps anyway
    shared = sum(width for name, width in read.items() if name != "output")
    if trained.full:
        # the router's input, and each expert's two
        return 0, shared + (hidden + ff.active * (hidden + ff.width) if ff.experts else 0)
    if recipe.adapters is Adapters.RUN:
        return 0, shared
    fused, every = recipe.kernels is Kernels.FUSED, sum(m.inputs for m in trained.modules)
    if recipe.adapters is Adapters.AUTOCAST:
        return HALF * (shared if fused else every), 0
    if recipe.wide_residual:
        return WIDE * shared, 0
    return WIDE * (sum(read.values()) if fused else every), 0


def _working(trained: Trained) -> tuple[int, int]:
    """Bytes and elements that the backward pass of the feed-forward part adds."""
    hidden, ff, recipe, inner = trained.architecture.hidden, trained.layer.feed_forward, trained.recipe, trained.inner
    if recipe.experts_apart and ff.experts:
        inner = inner // ff.experts
    # gradients of product, gate and up; the product's place is taken where it was kept
    gated = 3 * inner - (inner if trained.reads("inner") else 0)
    elements = gated if ff.gated else inner + hidden
    if ff.experts and not recipe.experts_apart:
        # routed tokens' gradients on their way back to their places
        elements = max(elements, inner + 3 * ff.active * hidden)
    fixed = 0
    if recipe.wide_residual:
        fixed, elements = WIDE * elements, 0
    if trained.full or recipe.adapters is Adapters.RUN:
        return fixed, elements + 2 * hidden
    autocast = AUTOCAST_FUSED_WORKING if recipe.kernels is Kernels.FUSED else AUTOCAST_WORKING
    return fixed + (WIDE_WORKING if recipe.adapters is Adapters.WIDE else autocast) * hidden, elements
