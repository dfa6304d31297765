"""ZeRO's tunable sizes, in elements: one place, since the memory estimate charges what the renderer writes."""

from typing import Final

MAX_BUCKET: Final = 200_000_000
"""Gradients reduced at once by ZeRO 1 and 2 at most: 0.4 GB in 16 bits. DeepSpeed's default of 5e8 allocates 1 GB
whether needed or not."""

MAX_LIVE: Final = 1_000_000_000
"""Parameters that ZeRO-3 keeps gathered at most, and the distance within which one is kept for its next use
(DeepSpeed's defaults)."""

SUB_GROUP: Final = 1_000_000_000
"""Parameters that ZeRO-3 updates at once (DeepSpeed's default)."""


def reduce_bucket(stage: int, trainable: int, hidden_size: int) -> int:
    """Elements of the gradient bucket: never more than there are gradients; for ZeRO-3 as transformers fills "auto"."""
    return hidden_size * hidden_size if stage == 3 else max(1, min(MAX_BUCKET, trainable))


def prefetch_bucket(hidden_size: int) -> int:
    """Elements that ZeRO-3 gathers ahead (transformers' value for "auto")."""
    return hidden_size * hidden_size * 9 // 10


def persistence_threshold(hidden_size: int) -> int:
    """Parameters up to this size stay on every device under ZeRO-3 (transformers' value for "auto")."""
    return 10 * hidden_size


def overlaps(stage: int, world: int) -> bool:
    """Whether gradients are reduced while the backward pass goes on.

    ZeRO 1 and 2 have been reported to lose gradients with it (DeepSpeed issues 5347, 5242, 5294).
    """
    return stage == 3 and world > 1
