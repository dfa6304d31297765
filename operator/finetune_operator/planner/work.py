"""What one micro-batch costs a device, as counts: operations and bytes a token and bytes a micro-step."""

from dataclasses import dataclass
from typing import Final

from finetune_operator.api.spec import Method
from finetune_operator.planner.architecture import Architecture, Layer, Norm

NORM_BYTES: Final = {Norm.RMS: 36, Norm.WIDE: 36, Norm.LAYER: 14}
"""Bytes that a norm of 16-bit rows moves an element. RMS as transformers computes it, in 32 bits by six operators: cast
6, square 8, mean 4, scale 8, cast back 6, weight 4. LAYER is one kernel of torch's and the casts around it."""

RESIDUAL_BYTES: Final = 6
"""Two 16-bit rows read and one written, an element: twice a layer."""

ROTARY_BYTES: Final = 20
"""Rotary positions of queries and keys, an element: rotated, multiplied twice, added."""

ACTIVATION_BYTES: Final = 10
"""The feed-forward part's activation and gate, an element of its width: 4 and 6."""

ROUTED_BYTES: Final = 8
"""Rows copied to an expert and added back, an element of the hidden size and active expert."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One model and method, before any choice of batch and hardware."""

    method: Method
    layers: int
    matmul: float
    """Multiply-accumulates a token in the layers' linear modules, forward: weights, of routed experts the active."""
    head: float
    """Likewise in the output head."""
    trainable: int
    """Parameters that are trained."""
    parameters: int
    """All parameters."""
    quantized: int
    """Weights held in 4 bits, unpacked whenever they are multiplied with; 0 but for QLoRA."""
    normed_by: int
    """Weights whose norms DoRA computes anew in every forward pass; 0 but for DoRA."""
    spans: tuple[tuple[int, int | None], ...]
    """Attention: elements of all queries and values a token, summed over layers with the same window."""
    elementwise: float
    """Bytes a token that the layers move between their matrix multiplications, forward, in 16 bits."""
    adapted: int
    """Inputs and outputs, in elements a token, of all modules with an adapter."""
    vocab: int

    @property
    def full(self) -> bool:
        """All weights are trained."""
        return self.method is Method.FULL

    def attended(self, length: float) -> float:
        """Multiply-accumulates a token of attention, forward, in rows of that length."""
        return sum(width * _span(length, window) for width, window in self.spans)


def count_work(architecture: Architecture, method: Method, trainable: int, parameters: int, *, quantized: int) -> Work:
    """The counts of a model and method with so many parameters, the adapter's among them, and so many in 4 bits."""
    a = architecture
    linear = sum(g.count * g.linear_weights for g in a.groups)
    return Work(
        method=method,
        layers=a.layers,
        matmul=a.matmul_parameters - a.embedding_parameters,
        head=a.embedding_parameters,
        trainable=trainable,
        parameters=parameters,
        quantized=quantized,
        normed_by=linear if method is Method.DORA else 0,
        spans=_spans(a),
        elementwise=sum(g.count * _elementwise(a, g) for g in a.groups),
        adapted=0 if method is Method.FULL else adapted_width(a),
        vocab=a.vocab,
    )


def adapted_width(architecture: Architecture) -> int:
    """Inputs and outputs of every linear module: where an adapter is on fewer, it costs a little less than that."""
    return sum(g.count * sum(m.inputs + m.outputs for m in g.linears) for g in architecture.groups)


def _span(length: float, window: int | None) -> float:
    """Tokens that a token looks back on, on average: causal, so half of them without a window."""
    if window is None or length <= window:
        return length / 2
    return window - window * window / (2 * length)


def _spans(a: Architecture) -> tuple[tuple[int, int | None], ...]:
    found: dict[int | None, int] = {}
    for group in a.groups:
        attention = group.attention
        width = group.count * (attention.query_width + attention.output_width)
        found[attention.window] = found.get(attention.window, 0) + width
    return tuple((width, window) for window, width in found.items())


def _elementwise(a: Architecture, layer: Layer) -> int:
    attention, ff, norm = layer.attention, layer.feed_forward, NORM_BYTES[a.norm]
    normed = norm * (layer.norms * a.hidden + attention.normed_width + attention.latent_width)
    width = ff.width * (ff.active if ff.experts else 1) + ff.shared_width
    return (
        normed
        + 2 * RESIDUAL_BYTES * a.hidden
        + ROTARY_BYTES * (attention.query_width + attention.key_width)
        + ACTIVATION_BYTES * width
        + ROUTED_BYTES * ff.active * a.hidden
    )
