"""Several files to learn from as one: each as often as its weight says."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import floor

from finetune_trainer.data.rows import KeyedExample, RowFile


def joined(files: Sequence[RowFile]) -> RowFile:
    """All rows and faults, one file after the other."""
    if len(files) == 1:
        return files[0]
    return RowFile(
        label=" and ".join(f.label for f in files),
        format=" and ".join(dict.fromkeys(f.format for f in files)),
        rows=tuple(row for f in files for row in f.rows),
        faults=tuple(fault for f in files for fault in f.faults),
    )


def weighted(file: RowFile, weights: dict[str, float], seed: int) -> RowFile:
    """The rows as often as the weights of their files say.

    A whole weight is as many copies of the file's rows, one copy after the other; of what is left of the weight, as
    many rows once more, those whose digest of seed, file, line and input is least, in the file's order.
    """
    if all(weight == 1 for weight in weights.values()):
        return file
    rows = [row for label, weight in weights.items() for row in _repeated(file.rows, label, weight, seed)]
    return replace(file, rows=tuple(rows))


def _repeated(rows: Sequence[KeyedExample], label: str, weight: float, seed: int) -> Iterator[KeyedExample]:
    own = [row for row in rows if row.example.file == label]
    copies = floor(weight)
    for _ in range(copies):
        yield from own
    # at least one of a file that somebody named
    rest = max(round(len(own) * (weight - copies)), 0 if copies else 1)
    chosen = {id(row) for row in sorted(own, key=lambda row: _place(row, seed))[:rest]}
    yield from (row for row in own if id(row) in chosen)


def _place(row: KeyedExample, seed: int) -> bytes:
    text = f"{seed}:{row.example.file}:{row.example.line}:".encode()
    return hashlib.sha256(text + row.key).digest()
