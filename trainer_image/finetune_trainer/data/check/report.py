"""Files of rows, checked and compared: everything that is to be said of them."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from finetune_trainer.data.check.block_check import TOLD, column
from finetune_trainer.data.check.checked_file import FileResult, Task, check_file
from finetune_trainer.data.check.comparison import Comparison
from finetune_trainer.data.check.figures import balances_of, spread_of, variety_of
from finetune_trainer.events import CheckedFile, DataReport, FlagKind, RowFlag
from finetune_trainer.job_config import RowFormat


def report_on(
    tasks: Sequence[Task], max_length: int | None, tell: Callable[[Task, int], None], *, unique_input: bool = False
) -> DataReport:
    """Check the files one after the other, those to learn from first, and compare their rows.

    Raises:
        TrainerError: a file, the model or the contract can't be used.
    """
    files = [check_file(task, partial(tell, task)) for task in tasks]
    compared = Comparison(files, unique_input=unique_input)
    whole = np.concatenate([f.columns for f in files])
    asked = np.concatenate([f.columns for f in files if f.format is not RowFormat.TEXT] or [whole[:0]])
    texts = {digest: text for f in reversed(files) for digest, text in f.texts.items()}
    exact = tasks[0].model is not None
    counts: Counter[FlagKind] = Counter(compared.counts)
    for file in files:
        counts.update(file.trace_counts)
    long_flags = [] if max_length is None else list(_too_long(files, max_length, exact=exact))
    bad = compared.bad
    if max_length is not None:
        over = column(whole, "length") > max_length
        counts["too-long"] = int(over.sum())
        bad = bad | (over & exact)
    flags = (*compared.flags, *long_flags, *_traces(files))
    return DataReport(
        files=tuple(_file(f) for f in files),
        faults=tuple(fault for f in files for fault in f.faults),
        fault_count=sum(f.bad for f in files),
        left_out=sum(f.bad for f in files) + int(bad.sum()),
        flags=flags,
        flag_counts={kind: n for kind, n in sorted(counts.items()) if n},
        answers=spread_of(column(asked, "answer")),
        lengths=spread_of(column(whole, "length")),
        measure="tokens" if exact else "characters / 4",
        max_length=max_length,
        balances=balances_of([f.labels for f in files]),
        instructions=variety_of(column(whole, "instruction"), texts),
        systems=variety_of(column(whole, "system"), texts),
    )


def _file(file: FileResult) -> CheckedFile:
    return CheckedFile(
        file=file.task.label, role=file.task.role, format=file.format.value, rows=len(file.columns), bad=file.bad
    )


def _too_long(files: Sequence[FileResult], max_length: int, *, exact: bool) -> Iterator[RowFlag]:
    room = TOLD
    for file in files:
        lengths, lines = column(file.columns, "length"), column(file.columns, "line")
        rows = np.flatnonzero(lengths > max_length)[:room]
        room -= len(rows)
        for row in rows.tolist():
            need = f"{lengths[row]} tokens" if exact else f"about {lengths[row]} tokens (characters / 4)"
            message = f"has {need}, the greatest length is {max_length}; shorten the row or allow more"
            yield RowFlag(kind="too-long", file=file.task.label, line=int(lines[row]), message=message)


def _traces(files: Sequence[FileResult]) -> Iterator[RowFlag]:
    for file in files:
        for line, kind, what in file.traces:
            message = f"holds what looks like {what}; take it out, or be sure that everybody may learn it"
            yield RowFlag(kind=kind, file=file.task.label, line=line, message=message)
