"""What is known of the model and the data before planning: values, gathered by others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from finetune_operator.units import Bytes

EVALUATED_TOKENS: Final = 2048
"""Padded tokens of a batch in which the trainer evaluates, where one row alone hasn't more."""

EVALUATED_ROWS: Final = 16
"""Rows of such a batch at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The base model."""

    config: Mapping[str, Any]
    """config.json."""
    weight_bytes: Bytes
    """Size of the safetensors files: what a download costs in disk; 0 where unknown."""


class Evaluated(NamedTuple):
    """The largest of the batches in which held-out rows go through a model, in tokens, padding included."""

    tokens: int
    pairs: int
    """Tokens times the longest row of their batch."""
    positions: int
    """Positions that the output head runs for at once: those from the first of an answer on."""
    targets: int
    """Of them those whose token is an answer's."""
    prompt_tokens: int
    """Of prompts that the model answers by itself; 0, as are all below, where none does."""
    prompt_pairs: int
    answering: int
    """Rows of the batch that is largest with the answers that the model may write."""
    reach: int
    """Tokens of each of these in the end."""

    def within(self, length: int) -> "Evaluated":
        """The same, at most, without the rows that are longer."""
        longest = max(length, EVALUATED_TOKENS)
        return Evaluated(
            tokens=min(self.tokens, longest),
            pairs=min(self.pairs, longest * length),
            positions=min(self.positions, longest),
            targets=min(self.targets, longest),
            prompt_tokens=min(self.prompt_tokens, longest),
            prompt_pairs=min(self.prompt_pairs, longest * length),
            answering=self.answering,
            reach=self.reach,
        )


def evaluated_at_most(longest: int, answer: int) -> Evaluated:
    """Of rows that have so many tokens at most, of which so many are their answer's at most."""
    limit = answer + answer // 2 + 8
    rows = min(EVALUATED_ROWS, max(1, EVALUATED_TOKENS // (longest + limit)))
    tokens = max(longest, min(EVALUATED_TOKENS, EVALUATED_ROWS * longest))
    return Evaluated(
        tokens=tokens,
        pairs=tokens * longest,
        positions=min(tokens, EVALUATED_ROWS * (answer + 1)),
        targets=min(tokens, EVALUATED_ROWS * answer),
        prompt_tokens=tokens,
        prompt_pairs=tokens * longest,
        answering=rows,
        reach=longest + limit,
    )


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
    evaluated: Evaluated
    """How held-out rows are gone through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Model and data."""

    model: ModelFacts
    dataset: DatasetFacts
