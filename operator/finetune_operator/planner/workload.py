"""What is trained, as counts: one model and one method, before any choice of hardware."""

from dataclasses import dataclass
from typing import Final

from finetune_operator.api.spec import Adapter, Method
from finetune_operator.planner.architecture import Architecture, Linear, adapted_modules

NORM_BYTES: Final = 4
"""Every norm computes in 32 bits and keeps its input so, whatever the arithmetic of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activations:
    """What one layer keeps of one token for its backward pass.

    Equal to the byte to the tensors that autograd saves in transformers 5.23's Llama, Qwen2 and Qwen3 layers with SDPA.
    """

    fixed_bytes: int
    """Whatever the arithmetic: 32-bit copies made by norms, their scales, and attention's log-sums."""
    elements: int
    """In the arithmetic of the run."""
    dropped: int
    """Inputs that an adapter's dropout copies, each with its mask."""
    masked: int
    """More elements where rows are padded: attention with a mask repeats keys and values for every query head."""
    transient: int
    """More elements while the layer's own backward pass runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A model and a method."""

    architecture: Architecture
    method: Method
    trainable: int
    """Parameters that get gradients and optimizer state."""
    frozen: int
    activations: Activations

    @property
    def parameters(self) -> int:
        """All parameters on the device, the adapter's included."""
        return self.trainable + self.frozen


def read_workload(architecture: Architecture, method: Method, adapter: Adapter) -> Workload:
    """The counts of one method.

    Raises:
        InvalidManifestError: a target of the adapter isn't a linear module of this model.
    """
    if method is Method.FULL:
        return Workload(
            architecture=architecture,
            method=method,
            trainable=architecture.total_parameters,
            frozen=0,
            activations=_activations(architecture, _full_inputs(architecture), 0),
        )
    modules = adapted_modules(architecture, adapter.target_modules)
    dropout = float(adapter.dropout) > 0
    # with dropout every module keeps a copy of its own; without, modules that read the same tensor share it
    inputs = 0 if dropout else _shared_inputs(architecture, modules)
    return Workload(
        architecture=architecture,
        method=method,
        trainable=architecture.layers * adapter.rank * sum(m.inputs + m.outputs for m in modules),
        frozen=architecture.total_parameters,
        activations=_activations(
            architecture,
            inputs + adapter.rank * len(modules),
            sum(m.inputs for m in modules) if dropout else 0,
        ),
    )


def _full_inputs(a: Architecture) -> int:
    """Inputs of all linear modules, and what every norm's own weight needs for its gradient."""
    return _shared_inputs(a, a.linears) + 2 * a.hidden + a.groups[0].attention.normed_width


def _shared_inputs(a: Architecture, modules: tuple[Linear, ...]) -> int:
    """Elements a token that these modules' weights need for their gradients, tensors shared between them once.

    The output projection's input is what attention keeps anyway.
    """
    names = {m.name for m in modules}
    attention = a.hidden if names & {"q_proj", "k_proj", "v_proj"} else 0
    mlp = a.hidden if names & {"gate_proj", "up_proj"} else 0
    return attention + mlp + (a.groups[0].feed_forward.width if "down_proj" in names else 0)


def _activations(a: Architecture, inputs: int, dropped: int) -> Activations:
    attention, ffn = a.groups[0].attention, a.groups[0].feed_forward.width
    q, kv = attention.query_width, attention.key_width
    norms, scales = 2 * a.hidden, 2
    if attention.normed_width:
        norms, scales = norms + attention.normed_width, scales + attention.heads + attention.kv_heads
    return Activations(
        # attention keeps one 32-bit log-sum a head
        fixed_bytes=NORM_BYTES * (norms + scales + attention.heads),
        # attention keeps q, k, v and its output; the feed-forward part its gate, the gate's activation, and its up part
        elements=2 * q + 2 * kv + 3 * ffn + inputs,
        dropped=dropped,
        masked=2 * (q - kv),
        # gradients of the layer's input and residual, of gate and up; fitted on real layers
        transient=2 * a.hidden + 2 * ffn,
    )
