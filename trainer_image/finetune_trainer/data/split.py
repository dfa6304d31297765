"""Rows for training and rows for evaluation, none of them in both."""

import hashlib
from dataclasses import replace

from finetune_trainer.data.rows import KeyedExample, RowFile, in_order
from finetune_trainer.events import RowFault
from finetune_trainer.exit_codes import ExitCode, TrainerError


def without_leaks(train: RowFile, held_out: RowFile) -> RowFile:
    """The training rows without those whose input is held out: these become faults."""
    asked = {row.key: row.example for row in reversed(held_out.rows)}
    leaks = tuple(
        RowFault(
            file=row.example.file,
            line=row.example.line,
            message=f"has the input of {other.file}:{other.line}, which is held out, and isn't trained on; "
            "take it out of one of the files",
        )
        for row in train.rows
        if (other := asked.get(row.key)) is not None
    )
    kept = tuple(row for row in train.rows if row.key not in asked)
    return replace(train, rows=kept, faults=in_order(train.faults + leaks))


def hold_out(file: RowFile, fraction: float, seed: int) -> tuple[RowFile, RowFile]:
    """Training rows and held-out rows of one file.

    By content and seed: the same rows are held out whatever their order, and rows of the same input stay together.

    Raises:
        TrainerError: DATA, nothing would be left to train on.
    """
    wanted = max(1, round(fraction * len(file.rows)))
    inputs = len({row.key for row in file.rows})
    if wanted >= len(file.rows) or inputs == 1:
        different = "1 input" if inputs == 1 else f"{inputs} different inputs"
        raise TrainerError(
            ExitCode.DATA,
            f"{file.label}: evaluation.fraction {fraction:g} leaves none of its {len(file.rows)} usable rows "
            f"({different}) to train on; add rows, or name a file for evaluation",
        )
    held = _keys_held(file.rows, wanted, seed)
    train = tuple(row for row in file.rows if row.key not in held)
    kept = tuple(row for row in file.rows if row.key in held)
    return replace(file, rows=train), replace(file, rows=kept, faults=())


def _keys_held(rows: tuple[KeyedExample, ...], wanted: int, seed: int) -> set[bytes]:
    numbers: dict[bytes, int] = {}
    for row in rows:
        numbers[row.key] = numbers.get(row.key, 0) + 1
    held: set[bytes] = set()
    total = 0
    # the last of them stays for training, however many rows it has
    for key in sorted(numbers, key=lambda k: hashlib.sha256(f"{seed}:".encode() + k).digest())[:-1]:
        if total < wanted:
            held.add(key)
            total += numbers[key]
    return held
