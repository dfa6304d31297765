"""Our own tokenised rows as the preference objectives take them, and how a batch is laid out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from datasets import Dataset
from torch.nn.utils.rnn import pad_sequence

from finetune_trainer.answer_head import IGNORED
from finetune_trainer.data.examples import Example
from finetune_trainer.objectives.sequences import Sequences


def dataset(rows: Sequence[tuple[Example, Sequences]], reference: Sequence[float], *, blank: bool) -> Dataset:
    """The rows as columns: sequences, their labels, and what the reference gives them.

    Args:
        rows: as `sequences.laid_out` makes them.
        reference: log-probability of every sequence's answers, in the order of rows; empty where there is none.
        blank: whether to add a row that no loss is on, for ranks to fill up with.
    """
    known = iter(reference)
    columns = [_columns(example, sequences, known) for example, sequences in rows]
    if blank:
        nothing = [([0, 0], [IGNORED, IGNORED], 0.0) for _ in rows[0][1]]
        columns.append((*map(list, zip(*nothing, strict=True)), True, False))
    names = ("ids", "targets", "reference", "wanted", "counted")
    return Dataset.from_dict(dict(zip(names, map(list, zip(*columns, strict=True)), strict=True)))


def _columns(example: Example, sequences: Sequences, known: Iterator[float]) -> tuple[Any, ...]:
    ids = [list(i) for i, _ in sequences]
    targets = [[t if m else IGNORED for t, m in zip(i, mask, strict=True)] for i, mask in sequences]
    return ids, targets, [next(known, 0.0) for _ in sequences], example.wanted, True


def padded(ids: Sequence[Sequence[int]], pad: int = 0) -> dict[str, torch.Tensor]:
    """Sequences as one batch, padded on the right, and a mask of what isn't padding."""
    tensors = [torch.tensor(i) for i in ids]
    return {
        "input_ids": pad_sequence(tensors, batch_first=True, padding_value=pad),
        "attention_mask": pad_sequence([torch.ones_like(i) for i in tensors], batch_first=True),
    }


def collate(rows: Sequence[Mapping[str, Any]], pad: int = 0) -> dict[str, torch.Tensor]:
    """Rows of a dataset as one batch, padded on the right: all first sequences, then all second ones."""
    width = len(rows[0]["ids"])
    labels = [torch.tensor(row["targets"][i]) for i in range(width) for row in rows]
    return {
        **padded([row["ids"][i] for i in range(width) for row in rows], pad),
        "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED),
        "reference": torch.tensor([row["reference"][i] for i in range(width) for row in rows]),
        "wanted": torch.tensor([row["wanted"] for row in rows]),
        "counted": torch.tensor([row["counted"] for row in rows]),
    }
