"""What a model as it stands gives answers: the reference's word before training, and what the verdict rests on."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from finetune_trainer.data.batches import batches
from finetune_trainer.data.examples import Example
from finetune_trainer.division import dealt_out
from finetune_trainer.evaluation import answer_log_probs
from finetune_trainer.evidence import JudgedAnswers
from finetune_trainer.interrupts import StopFlag
from finetune_trainer.objectives.rows import padded
from finetune_trainer.objectives.sequences import Sequences
from finetune_trainer.ranks import Ranks


def log_probs(
    model: Any, sequences: Sequences, pad: int, stop: StopFlag, ranks: Ranks, tick: Callable[[int, int], None]
) -> list[float]:
    """The sum over each answer's tokens, in nats; ranks divide the work, and each ends with all of it."""
    return _of_each(model, sequences, lambda some: answer_log_probs(model, some, pad), stop, ranks, tick)


def scores(
    model: Any, sequences: Sequences, stop: StopFlag, ranks: Ranks, tick: Callable[[int, int], None]
) -> list[float]:
    """A reward model's score of each answer; ranks divide the work likewise."""
    pad = model.config.get_text_config().pad_token_id
    return _of_each(model, sequences, lambda some: answer_scores(model, some, pad), stop, ranks, tick)


def answer_scores(model: Any, sequences: Sequences, pad: int) -> list[float]:
    """A reward model's score of each sequence of one batch."""
    batch = padded([ids for ids, _ in sequences], pad)
    found: list[float] = model(**{k: v.to(model.device) for k, v in batch.items()}, use_cache=False)[0][:, 0].tolist()
    return found


def _of_each(
    model: Any,
    sequences: Sequences,
    of: Callable[[Sequences], list[float]],
    stop: StopFlag,
    ranks: Ranks,
    tick: Callable[[int, int], None],
) -> list[float]:
    model.eval()
    found: dict[int, float] = {}
    every_batch = list(batches([len(ids) for ids, _ in sequences]))
    with torch.no_grad():
        for _, batch in dealt_out(every_batch, model, stop, ranks):
            found |= zip(batch, of([sequences[i] for i in batch]), strict=True)
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
    return tuple(_judged("log_probs", rows, log_probs(model, _all_of(rows), 0, stop, ranks, tick)))


def judge_scores(
    model: Any,
    rows: Sequence[tuple[Example, Sequences]],
    stop: StopFlag,
    ranks: Ranks,
    tick: Callable[[int, int], None],
) -> tuple[JudgedAnswers, ...]:
    """How a reward model scores the answers of held-out rows."""
    return tuple(_judged("scores", rows, scores(model, _all_of(rows), stop, ranks, tick)))


def _all_of(rows: Sequence[tuple[Example, Sequences]]) -> Sequences:
    return [s for _, sequences in rows for s in sequences]


def _judged(name: str, rows: Sequence[tuple[Example, Sequences]], found: Sequence[float]) -> Iterator[JudgedAnswers]:
    known = iter(found)
    for e, sequences in rows:
        # a row's first token is predicted from nothing
        tokens = tuple(sum(mask[1:]) for _, mask in sequences)
        values: dict[str, Any] = {name: tuple(next(known) for _ in sequences)}
        yield JudgedAnswers(file=e.file, line=e.line, wanted=e.wanted, tokens=tokens, **values)
