"""One file, checked from beginning to end."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.data.check.block_check import TOLD, BlockResult, Settings
from finetune_trainer.data.check.blocks import blocks
from finetune_trainer.data.check.labels import Labels
from finetune_trainer.data.check.similarity import Signatures
from finetune_trainer.data.check.workers import check_blocks
from finetune_trainer.data.formats import format_of, mixture_of
from finetune_trainer.data.raw import RawRow
from finetune_trainer.data.readers import read_rows
from finetune_trainer.data.rows import check_contract_applies
from finetune_trainer.events import FlagKind, RowFault
from finetune_trainer.job_config import JsonContractConfig, RowFormat

LOOKED_AT: Final = 1000
"""Rows that a format is taken from at first; all of them are held against it afterwards."""

TEXTS_KEPT: Final = 4096
"""Different instructions of which the text is kept, of a file."""

Role = Literal["train", "evaluation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be checked."""

    path: Path
    label: str
    role: Role
    format: RowFormat
    """Auto: found over all rows."""
    contract: JsonContractConfig | None
    model: str | None


@dataclass(slots=True, kw_only=True)
class FileResult:
    """What came out of a file."""

    task: Task
    format: RowFormat
    columns: NDArray[np.uint64]
    signatures: Signatures
    labels: Labels
    faults: list[RowFault] = field(default_factory=list)
    bad: int = 0
    traces: list[tuple[int, FlagKind, str]] = field(default_factory=list)
    trace_counts: Counter[FlagKind] = field(default_factory=Counter)
    texts: dict[int, str] = field(default_factory=dict)


def check_file(task: Task, tell: Callable[[int], None]) -> FileResult:
    """Check every row; `tell` hears of bytes that are done.

    Raises:
        TrainerError: the file as a whole can't be used.
    """
    row_format = _first_guess(task) if task.format is RowFormat.AUTO else task.format
    check_contract_applies(row_format, task.label, task.contract)
    results = _results(task, row_format, tell)
    counts, first = _formats(results)
    if task.format is RowFormat.AUTO and counts:
        best = counts.most_common(1)[0][0]
        if best is not row_format:
            # the beginning was of another format than most of the file
            return check_file(replace(task, format=best), tell)
    found = _joined(task, row_format, results)
    mixture = mixture_of(counts, first) if counts and task.format is RowFormat.AUTO else None
    if mixture is not None:
        found.faults.insert(0, RowFault(file=task.label, line=0, message=mixture))
        found.bad += 1
    return found


def _first_guess(task: Task) -> RowFormat:
    rows = islice(read_rows(task.path, task.label), LOOKED_AT)
    found = Counter(f for row in rows if isinstance(row, RawRow) and (f := format_of(row.value)) is not None)
    return found.most_common(1)[0][0] if found else RowFormat.ALPACA


def _results(task: Task, row_format: RowFormat, tell: Callable[[int], None]) -> list[BlockResult]:
    settings = Settings(label=task.label, format=row_format, contract=task.contract, model=task.model)
    results: list[BlockResult] = []
    for block, result in check_blocks(blocks(task.path, task.label), settings, task.path.stat().st_size):
        if result.failure is not None:
            raise result.failure
        results.append(result)
        tell(block.size)
    return results


def _formats(results: list[BlockResult]) -> tuple[Counter[RowFormat], dict[RowFormat, int]]:
    counts: Counter[RowFormat] = Counter()
    first: dict[RowFormat, int] = {}
    for result in results:
        counts.update(result.formats)
        first = result.first | first
    return counts, first


def _joined(task: Task, row_format: RowFormat, results: list[BlockResult]) -> FileResult:
    found = FileResult(
        task=task,
        format=row_format,
        columns=np.concatenate([r.columns for r in results]),
        signatures=np.concatenate([r.signatures for r in results]),
        labels=results[0].labels,
    )
    for later in results[1:]:
        found.labels.merge(later.labels)
    for result in results:
        found.faults += result.faults[: TOLD - len(found.faults)]
        found.bad += result.bad
        found.traces += result.traces[: TOLD - len(found.traces)]
        found.trace_counts.update(result.trace_counts)
        for digest, text in result.texts.items():
            if len(found.texts) < TEXTS_KEPT:
                found.texts.setdefault(digest, text)
    return found
