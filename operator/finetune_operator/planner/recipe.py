"""How a training stack runs a method: what memory depends on beside the sizes of model, batch and hardware."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from finetune_operator.api.spec import OptimizerChoice

NF4_BYTES: Final = 0.5 + 4 / 64
"""Bytes of a weight in bitsandbytes' NF4: four bits, and a 32-bit scale for each block of 64."""

NF4_DOUBLE_BYTES: Final = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Likewise with double quantisation: the scales in eight bits, and a 32-bit scale for each 256 of them."""


class Engine(StrEnum):
    """What keeps weights, gradients and optimizer state."""

    DEEPSPEED = "DeepSpeed"
    """16-bit weights, and a 32-bit copy of the trainable ones that is stepped on."""
    TORCH = "torch"
    """The trainable weights themselves are stepped on; data parallel copies on several devices."""
    FSDP = "FSDP"
    """The same, everything in equal parts on all devices and gathered layer by layer."""


class Optimizer(StrEnum):
    """How the weights are stepped on."""

    ADAMW = "AdamW"
    """Fused: no temporary tensors."""
    ADAMW_FOREACH = "AdamW foreach"
    """One temporary tensor as large as all gradients."""
    ADAMW_8BIT = "AdamW 8 bit"
    PAGED_ADAMW_8BIT = "paged AdamW 8 bit"
    """State in memory that the driver moves to RAM under pressure."""


class Head(StrEnum):
    """How the loss over the vocabulary is computed."""

    TILED = "tiled"
    """TRL 1.16's: a tile of logits at a time, log-probabilities alone are kept."""
    CHUNKED = "chunked"
    """Liger's and cut cross-entropy: a few rows at a time, gradients made in the forward pass."""
    WHOLE = "whole"
    """All logits at once, in as many copies as the recipe's logit_bytes say."""


class Kernels(StrEnum):
    """What norms, rotary embedding, gates and adapters are computed by."""

    PLAIN = "plain"
    """The model's own Python: norms keep a 32-bit copy of their input."""
    FUSED = "fused"
    """One kernel each (Liger, unsloth's, torch.compile): norms keep their input as it is, adapters share theirs."""


class Adapters(StrEnum):
    """Arithmetic of adapters."""

    RUN = "run"
    """The run's own, which DeepSpeed casts them to."""
    AUTOCAST = "autocast"
    """32-bit weights, computed in 16 bits: each keeps a 16-bit copy of its input."""
    WIDE = "wide"
    """32-bit weights and 32-bit arithmetic: each keeps a 32-bit copy of its input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One stack. The defaults are what our trainer runs; others are for measurements of other stacks."""

    engine: Engine = Engine.DEEPSPEED
    optimizer: Optimizer = Optimizer.ADAMW
    head: Head = Head.TILED
    logit_bytes: int = 0
    """Of each logit where all are there at once: the copies in their widths, at the moment of the most."""
    kernels: Kernels = Kernels.PLAIN
    adapters: Adapters = Adapters.RUN
    eager: bool = False
    """Attention by plain operators, which keeps a score for each pair of tokens."""
    state_bytes: int | None = None
    """Bytes of a trainable weight, its gradient and each of its moments where no engine decides; None: the run's."""
    reduce_bucket: int | None = None
    """Elements of ZeRO's gradient bucket; None: as many as we write into its configuration."""
    quantised_bytes: float = NF4_DOUBLE_BYTES
    """Of a weight in four bits, scales included."""
    wide_residual: bool = False
    """Norms in 32 bits hand 32-bit tensors from layer to layer, as PEFT's preparation for 4-bit training makes them."""
    wide_frozen: bool = False
    """That preparation has also cast embeddings, head and norms to 32 bits."""
    experts_apart: bool = False
    """Routed experts are linear modules of their own, one after the other (transformers before 5): quantisation
    reaches them, and modules whose class only derives from a linear one."""
    packed: bool = False
    """Rows of a step are laid end to end, and a mask keeps them apart; see Setting.packed for kernels without one."""
    repeats_keys: bool = False
    """Keys and values are repeated for every query head before attention."""
    joined_projections: bool = False
    """Queries, keys and values come from one projection, of which the values stay a view."""
    keeps_quantised_inputs: bool = False
    """4-bit modules keep their input though their weights are frozen (bitsandbytes before 0.43)."""


OURS: Final = Recipe()
"""Our trainer: TRL on DeepSpeed."""

EIGHT_BIT: Final = replace(OURS, optimizer=Optimizer.ADAMW_8BIT)
"""The same with bitsandbytes' optimizer."""

PACKED: Final = replace(OURS, packed=True)
"""The same where rows of a step lie end to end."""

_PACKED_EIGHT_BIT: Final = replace(EIGHT_BIT, packed=True)


def our_recipe(optimizer: OptimizerChoice, *, packed: bool = False) -> Recipe:
    """What our trainer runs for a job."""
    if optimizer is OptimizerChoice.ADAMW_8BIT:
        return _PACKED_EIGHT_BIT if packed else EIGHT_BIT
    return PACKED if packed else OURS
