"""The order of rows over several ranks: the same rows in the same step as on one, each counted once."""

from collections.abc import Iterator

import torch
from torch.utils.data import RandomSampler, Sampler


class EvenSampler(Sampler[int]):
    """An epoch's rows in the order that one rank takes, filled up so that every rank gets as many.

    What fills up is a row that no loss is on: rows taken twice, as accelerate does it, would count twice.
    """

    def __init__(self, rows: int, together: int, seed: int) -> None:
        """Make it.

        Args:
            rows: to be learnt from; the one after them has no loss.
            together: rows of one forward pass on all ranks.
            seed: of the order.
        """
        self._rows = rows
        self._seed = seed
        self._epoch = 0
        self._missing = -rows % together

    def set_epoch(self, epoch: int) -> None:
        """Take that epoch's order."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """The rows, and then what fills up."""
        # as accelerate seeds the order of one rank
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        yield from RandomSampler(range(self._rows), generator=generator)
        yield from [self._rows] * self._missing

    def __len__(self) -> int:
        """Rows with what fills up."""
        return self._rows + self._missing
