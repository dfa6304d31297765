"""Held-out rows in batches, and how large these get: what evaluating takes is planned by it. No torch here."""

from collections.abc import Iterator, Sequence
from typing import Final

from finetune_trainer.data.examples import Example
from finetune_trainer.events import EvaluationShape

TOKENS_A_BATCH: Final = 2048
"""Padded tokens of one evaluation batch: bounds its memory whatever the rows' lengths."""

ROWS_A_BATCH: Final = 16
"""Rows of one evaluation batch at most."""


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices, longest first, in batches bounded by rows and by padded tokens."""
    batch: list[int] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        longest = max(longest, lengths[index])
        if batch and (len(batch) == ROWS_A_BATCH or (len(batch) + 1) * longest > TOKENS_A_BATCH):
            yield batch
            batch, longest = [], lengths[index]
        batch.append(index)
    if batch:
        yield batch


def answer_limit(examples: Sequence[Example]) -> int:
    """Tokens after which a model's own answer is cut off."""
    # room for an answer half as long again as the longest right one: what runs on beyond is wrong anyway
    longest = max((len(e.input_ids) - len(e.prompt_ids) for e in examples if e.prompt_ids), default=0)
    return longest + longest // 2 + 8


def asked_of(examples: Sequence[Example]) -> list[int]:
    """Numbers of the rows that ask for an answer: not those of plain text."""
    return [i for i, e in enumerate(examples) if e.prompt_ids]


def predicted_from(mask: Sequence[bool]) -> int:
    """Positions at a row's end that the output head runs for: from the one before the first answer token on."""
    return min(len(mask) - mask.index(True) + 1, len(mask))


def shape_of(examples: Sequence[Example]) -> EvaluationShape:
    """The largest batches that evaluating these rows makes."""
    sequences = [s for e in examples for s in e.sequences]
    read = [[sequences[i] for i in batch] for batch in batches([len(ids) for ids, _ in sequences])]
    wanted = [e for e in examples if e.wanted]
    asked, limit = [wanted[i].prompt_ids for i in asked_of(wanted)], answer_limit(wanted)
    written = [[len(asked[i]) for i in batch] for batch in batches([len(ids) + limit for ids in asked])]
    widths = [(len(batch), max(len(ids) for ids, _ in batch)) for batch in read]
    prompts = [(len(batch), max(batch)) for batch in written]
    rows, reach = max(((r, w + limit) for r, w in prompts), key=lambda b: b[0] * b[1], default=(0, 0))
    return EvaluationShape(
        tokens=max(r * w for r, w in widths),
        pairs=max(r * w * w for r, w in widths),
        positions=max(len(batch) * max(predicted_from(mask) for _, mask in batch) for batch in read),
        targets=max(sum(sum(mask[1:]) for _, mask in batch) for batch in read),
        prompt_tokens=max((r * w for r, w in prompts), default=0),
        prompt_pairs=max((r * w * w for r, w in prompts), default=0),
        answering=rows,
        reach=reach,
    )
