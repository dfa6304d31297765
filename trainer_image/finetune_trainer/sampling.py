"""The order of rows: the same rows in the same step whatever the number of ranks, each counted once."""

import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import RandomSampler, Sampler

from finetune_trainer.grouping import by_length


class StepSampler(Sampler[int]):
    """An epoch's rows, step by step in a random order, and within a step by length.

    Micro-batches then hold rows of similar length, and little is padded; a step still learns from the rows that it
    would learn from in any order. Over several ranks rows are filled up so that every rank gets as many: what fills up
    is a row that no loss is on, since rows taken twice, as accelerate does it, would count twice.
    """

    def __init__(self, lengths: Sequence[int], together: int, per_step: int, seed: int) -> None:
        """Make it.

        Args:
            lengths: tokens of the rows to be learnt from; the one after them has no loss.
            together: rows of one forward pass on all ranks; 1 where nothing is to be filled up.
            per_step: rows of an optimizer step, on all ranks.
            seed: of the order.
        """
        self._lengths = lengths
        self._per_step = per_step
        self._seed = seed
        self._epoch = 0
        self._missing = -len(lengths) % together

    def set_epoch(self, epoch: int) -> None:
        """Take that epoch's order."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """The rows with what fills up."""
        # as accelerate seeds the order of one rank
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        order = list(RandomSampler(range(len(self._lengths)), generator=generator))
        yield from by_length(order, self._lengths, self._per_step)
        yield from [len(self._lengths)] * self._missing

    def __len__(self) -> int:
        """Rows with what fills up."""
        return len(self._lengths) + self._missing


def seed_of(seed: int, step: int, rank: int) -> int:
    """What a rank draws from after that step, where there is no state to go on with."""
    return int.from_bytes(hashlib.sha256(f"{seed} {step} {rank}".encode()).digest()[:4])
