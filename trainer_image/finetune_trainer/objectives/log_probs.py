"""Log-probabilities of answers under a model as it stands: of the reference before training, and for the verdict."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from finetune_trainer.data.examples import Example
from finetune_trainer.evaluation import answer_log_probs, batches
from finetune_trainer.evidence import JudgedAnswers
from finetune_trainer.interrupts import StopFlag
from finetune_trainer.objectives.sequences import Sequences
from finetune_trainer.ranks import Ranks


def log_probs(
    model: Any, sequences: Sequences, pad: int, stop: StopFlag, ranks: Ranks, tick: Callable[[int, int], None]
) -> list[float]:
    """The sum over each answer's tokens, in nats; ranks divide the work, and each ends with all of it."""
    model.eval()
    found: dict[int, float] = {}
    with torch.inference_mode():
        for number, batch in enumerate(batches([len(ids) for ids, _ in sequences])):
            if number % ranks.size != ranks.rank:
                continue
            stop.check()
            found |= zip(batch, answer_log_probs(model, [sequences[i] for i in batch], pad), strict=True)
            # the others are about as far
            tick(min(len(found) * ranks.size, len(sequences)), len(sequences))
    every = {i: value for part in ranks.gather(found) for i, value in part.items()}
    return [every[i] for i in range(len(sequences))]


def judge(
    model: Any,
    rows: Sequence[tuple[Example, Sequences]],
    stop: StopFlag,
    ranks: Ranks,
    tick: Callable[[int, int], None],
) -> tuple[JudgedAnswers, ...]:
    """What a model gives the answers of held-out rows, each with its sequences."""
    found = iter(log_probs(model, [s for _, sequences in rows for s in sequences], 0, stop, ranks, tick))
    return tuple(
        JudgedAnswers(
            file=e.file,
            line=e.line,
            wanted=e.wanted,
            log_probs=tuple(next(found) for _ in sequences),
            # a row's first token is predicted from nothing
            tokens=tuple(sum(mask[1:]) for _, mask in sequences),
        )
        for e, sequences in rows
    )
