"""Counts and spreads over all rows of files."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.data.check.labels import Labels
from finetune_trainer.events import Balance, Share, Spread, Variety

SHORTEST: Final = 16
"""End of a histogram's first class; each further class is twice as wide."""

MOST: Final = 5
"""Instructions that are shown."""


def spread_of(lengths: NDArray[np.uint64]) -> Spread | None:
    """Lengths as a histogram with its percentiles; None where there are none."""
    if not len(lengths):
        return None
    ranked = np.sort(lengths)
    ends = list(_ends(int(ranked[-1])))
    upto = np.searchsorted(ranked, np.array(ends, dtype=np.uint64), side="left")
    return Spread(
        p50=int(ranked[len(ranked) // 2]),
        p95=int(ranked[min(len(ranked) - 1, len(ranked) * 95 // 100)]),
        max=int(ranked[-1]),
        below=tuple(ends),
        rows=tuple(int(n) for n in np.diff(upto, prepend=0)),
    )


def variety_of(digests: NDArray[np.uint64], texts: Mapping[int, str]) -> Variety:
    """How many different ones there are; those of which the text was kept are shown."""
    found, counts = np.unique(digests[digests != 0], return_counts=True)
    order = np.lexsort((found, -counts))
    shown = [i for i in order[: 20 * MOST].tolist() if int(found[i]) in texts][:MOST]
    return Variety(
        rows=int(counts.sum()),
        distinct=len(found),
        most=tuple(Share(value=texts[int(found[i])], rows=int(counts[i])) for i in shown),
    )


def balances_of(labels: Sequence[Labels]) -> tuple[Balance, ...]:
    """Values of fields that are labels: a few values for many rows."""
    whole = Labels(frozenset())
    for counted in labels:
        whole.merge(counted)
    return tuple(
        Balance(field=field, values=tuple(Share(value=v, rows=n) for v, n in sorted(c.items(), key=_by_number)))
        for field, c in sorted(whole.counts.items())
        if c and c.total() >= 2 * len(c)
    )


def _by_number(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _ends(longest: int) -> Iterator[int]:
    end = SHORTEST
    while end <= longest:
        yield end
        end *= 2
    yield end
