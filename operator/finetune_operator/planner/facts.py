"""What is known of the model and the data before planning: values, gathered by others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finetune_operator.units import Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The base model."""

    config: Mapping[str, Any]
    """config.json."""
    weight_bytes: Bytes
    """Size of the safetensors files: what a download costs in disk; 0 where unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    """The data, in tokens of the model's own tokenizer."""

    rows: int
    """Usable training rows."""
    tokens: int
    """All training rows together, one epoch."""
    p50: int
    p95: int
    longest: int
    """Tokens of the longest training row, at most maxLength."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Model and data."""

    model: ModelFacts
    dataset: DatasetFacts
