"""Rows that are nearly the same: signatures of their texts, compared without comparing every pair.

A text's shingles are all its runs of eight bytes. Each is hashed into one of 64 bins, and a bin keeps its least hash
(MinHash by one permutation; an empty bin takes over its neighbour's, moved by a constant). The share of bins in which
two signatures agree estimates the share of shingles that two texts have in common. Pairs are looked for among rows that
agree in one of 8 bands of 4 bins: of texts that share 80 % of their shingles, 98 in 100 do.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

SHINGLE: Final = 8
"""Bytes of a shingle: what one 64-bit number holds."""

BINS: Final = 64
"""Hashes of a signature."""

BAND: Final = 4
"""Hashes of a band: four of 16 bits are one number to sort by."""

BANDS: Final = 8
"""Bands that pairs are looked for in."""

AGREEING: Final = 52
"""Bins that agree in rows that are nearly the same: about 80 % of the shingles."""

MIN_BYTES: Final = 48
"""Shortest text that is compared: of shorter ones chance decides."""

MAX_BYTES: Final = 65536
"""Bytes of a text that are looked at, from its beginning."""

Signatures = NDArray[np.uint16]
"""One row of 64 a text."""

_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_EMPTY: Final = np.uint32(0xFFFFFFFF)
_GREATEST: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_MOVED: Final = np.uint32(0x632BE5AB)


def signatures(texts: Sequence[bytes]) -> Signatures:
    """Of each text; all zeros for one that is too short."""
    found = np.full((len(texts), BINS), _EMPTY, dtype=np.uint32)
    sizes = np.array([min(len(t), MAX_BYTES) if len(t) >= MIN_BYTES else 0 for t in texts], dtype=np.int64)
    if not sizes.any():
        return np.zeros((len(texts), BINS), dtype=np.uint16)
    whole = np.frombuffer(b"".join(t[:n] for t, n in zip(texts, sizes, strict=True)), dtype=np.uint8)
    hashes = _mixed(_shingles(whole))
    # a shingle that reaches into the next text is none: the greatest hash changes no bin
    ends = np.cumsum(sizes[sizes > 0])[:-1]
    hashes[(ends[:, None] - np.arange(1, SHINGLE)).ravel()] = _GREATEST
    bins = np.repeat(np.arange(len(texts), dtype=np.int64) * BINS, sizes)[: len(hashes)]
    bins += (hashes >> np.uint64(58)).view(np.int64)
    np.minimum.at(found.reshape(-1), bins, hashes.astype(np.uint32))
    _fill(found, sizes > 0)
    short = found.astype(np.uint16)
    short[sizes == 0] = 0
    return short


def earlier_likes(found: Signatures) -> NDArray[np.int64]:
    """For each row the first earlier one that it is nearly the same as; -1 where there is none."""
    count = len(found)
    likes = np.full(count, count, dtype=np.int64)
    usable = np.flatnonzero(found.any(axis=1))
    for band in range(BANDS):
        part = np.ascontiguousarray(found[usable, band * BAND : (band + 1) * BAND]).view(np.uint64).ravel()
        order = np.argsort(part, kind="stable")
        ranked, rows = part[order], usable[order]
        begins = np.concatenate(([True], ranked[1:] != ranked[:-1]))
        first = rows[np.maximum.accumulate(np.where(begins, np.arange(len(rows)), 0))]
        before = np.concatenate((rows[:1], rows[:-1]))
        # of a band's rows each is compared with the first and with the one before it: never all pairs
        for other in (first, before):
            later = np.flatnonzero(~begins)
            _keep(likes, found, rows[later], other[later])
    likes[likes == count] = -1
    return likes


def _keep(likes: NDArray[np.int64], found: Signatures, rows: NDArray[np.int64], others: NDArray[np.int64]) -> None:
    for begin in range(0, len(rows), 65536):
        a, b = rows[begin : begin + 65536], others[begin : begin + 65536]
        alike = (found[a] == found[b]).sum(axis=1) >= AGREEING
        np.minimum.at(likes, a[alike], b[alike])


def _shingles(whole: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The number at every place: eight copies of the text, each begun a byte later."""
    count = max(len(whole) - SHINGLE + 1, 0)
    found = np.empty(count, dtype=np.uint64)
    for offset in range(min(SHINGLE, count)):
        part = whole[offset : offset + (len(whole) - offset) // SHINGLE * SHINGLE]
        found[offset::SHINGLE] = np.frombuffer(part.tobytes(), dtype="<u8")
    return found


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for shift in (32, 29):
        numbers ^= numbers >> np.uint64(shift)
        numbers *= _ODD
    return numbers


def _fill(found: NDArray[np.uint32], usable: NDArray[np.bool_]) -> None:
    while True:
        empty = (found == _EMPTY) & usable[:, None]
        if not empty.any():
            return
        neighbours = np.roll(found, -1, axis=1)
        moved = np.where(neighbours == _EMPTY, _EMPTY, neighbours + _MOVED)
        found[empty] = moved[empty]
