"""Rows of all files held against one another: the same, the same input, nearly the same, held out and trained on."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.data.check.block_check import TOLD, column
from finetune_trainer.data.check.checked_file import FileResult
from finetune_trainer.data.check.similarity import earlier_likes
from finetune_trainer.events import FlagKind, RowFlag
from finetune_trainer.job_config import RowFormat

_SENTENCES: Final[dict[FlagKind, str]] = {
    "duplicate": "is the same row as {place}; remove one of them",
    "same-input": "has the same input as {place}, and another answer; keep the right one",
    "near-duplicate": "is nearly the same as {place}; keep one of them unless both are meant",
    "leak": "has the input of {place}, which is held out; take it out of one of the files",
    "near-leak": "is nearly the same as {place}, which is trained on; it tells little about new inputs",
}

_MANY_ANSWERS: Final = (RowFormat.TEXT, RowFormat.PREFERENCE, RowFormat.UNPAIRED)
"""Formats in which an input is there several times, or is all there is."""

Rows = NDArray[np.int64]


class Comparison:
    """Flags of rows that are like others."""

    def __init__(self, files: Sequence[FileResult], *, unique_input: bool) -> None:
        """Compare; files to learn from come before those that are held out.

        With `unique_input` a row with an earlier one's input is a bad one.
        """
        self._files = files
        self._owner = np.repeat(np.arange(len(files)), [len(f.columns) for f in files])
        whole = np.concatenate([f.columns for f in files])
        self._line, self._row, self._input = (column(whole, name) for name in ("line", "row", "input"))
        self._held = np.array([f.task.role == "evaluation" for f in files])[self._owner]
        self._asks = np.array([f.format not in _MANY_ANSWERS for f in files])[self._owner]
        self._likes = earlier_likes(np.concatenate([f.signatures for f in files]))
        self.counts: dict[FlagKind, int] = {}
        self.flags: list[RowFlag] = []
        self.bad = np.zeros(len(self._owner), dtype=bool)
        """Rows that a run would leave out."""
        self._bad_kinds = {"duplicate", "leak", *(("same-input",) if unique_input else ())}
        self._compare()

    def _compare(self) -> None:
        told = np.zeros(len(self._owner), dtype=bool)
        for held in (False, True):
            rows = np.flatnonzero(self._held == held)
            told[self._tell("duplicate", *_repeated(rows, self._row))] = True
            rows = rows[~told[rows] & self._asks[rows]]
            told[self._tell("same-input", *_repeated(rows, self._input))] = True
        told[self._tell("leak", *self._leaks())] = True
        rows = np.flatnonzero((self._likes >= 0) & ~told)
        others = self._likes[rows]
        apart = self._held[rows] != self._held[others]
        # an input on both sides has been told of already
        known = apart & (self._input[rows] == self._input[others])
        self._tell("near-duplicate", rows[~apart], others[~apart])
        self._tell("near-leak", rows[apart & ~known], others[apart & ~known])

    def _leaks(self) -> tuple[Rows, Rows]:
        trained, held = np.flatnonzero(~self._held), np.flatnonzero(self._held)
        if not len(held):
            return held, held
        inputs, first = np.unique(self._input[held], return_index=True)
        at = np.minimum(np.searchsorted(inputs, self._input[trained]), len(inputs) - 1)
        shared = inputs[at] == self._input[trained]
        return trained[shared], held[first[at[shared]]]

    def _tell(self, kind: FlagKind, rows: Rows, others: Rows) -> Rows:
        if len(rows):
            self.counts[kind] = self.counts.get(kind, 0) + len(rows)
            self.bad[rows] |= kind in self._bad_kinds
            room = TOLD - sum(flag.kind == kind for flag in self.flags)
            self.flags += self._flags(kind, rows[:room], others[:room])
        return rows

    def _flags(self, kind: FlagKind, rows: Rows, others: Rows) -> Iterator[RowFlag]:
        for row, other in zip(rows.tolist(), others.tolist(), strict=True):
            file, its = self._label(row), self._label(other)
            line = int(self._line[other])
            place = f"line {line}" if file == its else f"{its}:{line}"
            message = _SENTENCES[kind].format(place=place)
            yield RowFlag(kind=kind, file=file, line=int(self._line[row]), message=message)

    def _label(self, row: int) -> str:
        return self._files[int(self._owner[row])].task.label


def _repeated(rows: Rows, digests: NDArray[np.uint64]) -> tuple[Rows, Rows]:
    """Rows whose digest is an earlier one's, and the first row of each."""
    _, first, inverse = np.unique(digests[rows], return_index=True, return_inverse=True)
    earlier = first[inverse.reshape(-1)]
    later = np.flatnonzero(earlier != np.arange(len(rows)))
    return rows[later], rows[earlier[later]]
