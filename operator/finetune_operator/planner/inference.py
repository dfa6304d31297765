"""What one layer takes of a token in a forward pass that keeps nothing for a backward one.

Counted tensor by tensor as transformers 5.23's layers and PEFT 0.21's adapters make and let go of them; a test holds
it against what torch counts in the trainer's own evaluation.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from finetune_operator.api.spec import Method
from finetune_operator.planner.activations import (
    ATTENTION_INPUTS,
    FEED_FORWARD_INPUTS,
    LATENT_INPUTS,
    WIDE,
    Trained,
)
from finetune_operator.planner.architecture import Layer, Linear, Norm

ROWS_HELD: Final = 4
"""Rows of the hidden size while the feed-forward part runs: the embeddings, the layer's input, attention's result
added to it, and its norm."""

GATED_HELD: Final = 3
"""Tensors as wide as a gated feed-forward part at once: the gate's activation, the up part, their product."""

ADAPTER_BYTES: Final = 2 * WIDE
"""Of each output of a module with an adapter: its own result and the same, scaled, in 32 bits, since an adapter that is
loaded for use has 32-bit weights."""

DORA_OUTPUTS: Final = 2 * WIDE
"""More with DoRA: the module's own result, scaled, and the sum, in 32 bits."""

DORA_WEIGHTS: Final = 2 * WIDE
"""Bytes of each weight with DoRA: a 32-bit copy and the adapter's product, until the module's result is there."""

DORA_COPIES: Final = 3
"""Copies of a weight that DoRA makes to measure its rows: the adapter's product, scaled, and added to the weight."""

NORM_COPIES: Final = 2 * WIDE
"""Bytes of each element that a norm of Python computes with, in 32 bits."""


class Way(NamedTuple):
    """One moment of a layer's forward pass."""

    elements: int
    """Of a token, in the arithmetic of the run."""
    wide: int = 0
    """More bytes of a token, in 32 bits."""
    cast: int = 0
    """Elements of a token that are copied to 32 bits where the run has fewer."""
    fixed: int = 0
    """Bytes, however many tokens."""
    attends: bool = False
    """Attention's turn: it has a mask, or scores."""


class LayerPass(NamedTuple):
    """Forward passes of one kind of layer."""

    layers: int
    window: int | None
    keys: int
    """Elements of a token that stay where the model answers by itself: keys and values."""
    largest: int
    """The larger of the two, which is copied when a token is added to it."""
    ways: tuple[Way, ...]
    scores: int
    """Attention heads whose scores are all there; 0 with a fused kernel."""
    narrow: bool
    """Their softmax is in the run's arithmetic."""


def pass_through(trained: Trained) -> LayerPass:
    """What one kind of layer takes."""
    attention, eager = trained.layer.attention, trained.recipe.eager
    return LayerPass(
        layers=trained.layer.count,
        window=attention.window,
        keys=attention.key_width + attention.value_width,
        largest=max(attention.key_width, attention.value_width),
        ways=tuple(dict.fromkeys(_ways(trained))),
        scores=attention.heads if eager else 0,
        narrow=attention.narrow,
    )


def _ways(trained: Trained) -> Iterator[Way]:
    layer, hidden = trained.layer, trained.architecture.hidden
    ff = layer.feed_forward
    yield _attended(layer, hidden)
    if trained.architecture.norm is not Norm.LAYER:
        yield Way(3 * hidden, NORM_COPIES * hidden)
    held = (ROWS_HELD + layer.parallel) * hidden
    if ff.experts:
        # the rows' copies for their experts, both input projections' result, its activation, the product; or these
        # copies, the results, weighted, and back in their places
        yield Way(held + ff.active * (hidden + max(4 * ff.width, 3 * hidden)), NORM_COPIES * ff.experts)
    inner = ff.shared_width if ff.experts else ff.width
    if inner:
        yield Way(held + (hidden if ff.experts else 0) + _between(layer, inner) * inner)
    if trained.method is not Method.FULL:
        for module in trained.modules:
            yield from _adapted(trained, module, held)


def _between(layer: Layer, inner: int) -> int:
    """Tensors between a dense block's projections, as wide as it is."""
    ff = layer.feed_forward
    if not ff.gated:
        return max(2, ff.activation)
    return max(GATED_HELD + _joined(layer, inner), ff.activation)


def _joined(layer: Layer, inner: int) -> bool:
    """Gate and up part are views of one projection's result, which stays until both are used."""
    return any(m.outputs == 2 * inner and m.name in FEED_FORWARD_INPUTS for m in layer.linears)


def _attended(layer: Layer, hidden: int) -> Way:
    a = layer.attention
    widths = a.query_width + a.key_width + a.value_width
    # keys and values are repeated for every query head where there is a mask; turning queries takes three more
    repeated = max(0, 2 * a.query_width - a.key_width - a.value_width)
    # only a part of compressed ones is turned
    more = max(a.output_width + repeated, 3 * a.query_width if a.rotary and not a.latent_width else 0)
    joined = any(m.outputs == widths and m.name in ATTENTION_INPUTS for m in layer.linears)
    if joined:
        more += a.query_width + a.key_width
    if a.latent_width:
        # keys and queries are put together of two parts each
        more += a.query_width + a.key_width + a.latent_width
    return Way(3 * hidden + widths + more, attends=True)


def _adapted(trained: Trained, module: Linear, held: int) -> Iterator[Way]:
    """A module with an adapter, when its result is put together; with DoRA, when its weight's rows are measured too."""
    ff, attention = trained.layer.feed_forward, trained.layer.attention
    inner = ff.shared_width if ff.experts else ff.width
    if module.name in ATTENTION_INPUTS | LATENT_INPUTS:
        held += attention.query_width
    elif module.name not in FEED_FORWARD_INPUTS:
        held += module.inputs
    elif ff.gated and module.outputs == inner:
        # the gate's activation waits for the up part
        held += inner
    token, wide = held + module.outputs, ADAPTER_BYTES * module.outputs
    if trained.method is not Method.DORA:
        yield Way(token, wide, module.inputs)
        return
    weights = module.inputs * module.outputs
    yield Way(token, wide + DORA_OUTPUTS * module.outputs, module.inputs, DORA_WEIGHTS * weights)
    yield Way(token, 0, module.inputs, WIDE * (module.inputs**2 + DORA_COPIES * weights))
