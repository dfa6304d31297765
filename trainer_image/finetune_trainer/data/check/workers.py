"""Blocks checked by several processes, their results in the order of the blocks."""

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from typing import Final

from finetune_trainer.data.check.block_check import BlockChecker, BlockResult, Settings
from finetune_trainer.data.check.blocks import Block
from finetune_trainer.exit_codes import ExitCode, TrainerError

WORTHWHILE_BYTES: Final = 8 * 1024**2
"""Smallest file for which starting processes, about half a second, is worth it."""

MAX_WORKERS: Final = 8
"""Reading and comparing is done by one process, which has no work for more."""


def check_blocks(blocks: Iterable[Block], settings: Settings, size: int) -> Iterator[tuple[Block, BlockResult]]:
    """Each block with its result.

    Raises:
        TrainerError: the settings can't be used, or a process was killed.
    """
    checker = BlockChecker(settings)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(allowed, MAX_WORKERS) if size >= WORTHWHILE_BYTES else 1
    if workers == 1:
        yield from ((block, checker.check(block)) for block in blocks)
        return
    # fresh processes: a copy of this one would have what it holds
    context = multiprocessing.get_context("spawn")
    team = [_Worker(context, settings) for _ in range(workers)]
    try:
        yield from _round(team, blocks)
    finally:
        for worker in team:
            worker.end()


class _Worker:
    """One process; when this one ends, its pipe breaks and it ends, too."""

    def __init__(self, context: multiprocessing.context.SpawnContext, settings: Settings) -> None:
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, settings), daemon=True)
        self._process.start()
        theirs.close()
        self.block: Block | None = None

    def give(self, block: Block) -> None:
        self.block = block
        try:
            self._pipe.send(block)
        except OSError as e:
            raise _killed() from e

    def take(self) -> tuple[Block, BlockResult]:
        try:
            result = self._pipe.recv()
        except (EOFError, OSError) as e:
            raise _killed() from e
        block, self.block = self.block, None
        if block is None or not isinstance(result, BlockResult):
            raise TypeError("a worker answered without having been asked")
        return block, result

    def end(self) -> None:
        self._pipe.close()
        self._process.terminate()
        self._process.join()


def _round(team: list[_Worker], blocks: Iterable[Block]) -> Iterator[tuple[Block, BlockResult]]:
    """In turns, each worker with one block at a time."""
    turn = 0
    for block in blocks:
        worker = team[turn % len(team)]
        if worker.block is not None:
            yield worker.take()
        worker.give(block)
        turn += 1
    for worker in (team[(turn + i) % len(team)] for i in range(len(team))):
        if worker.block is not None:
            yield worker.take()


def _work(pipe: Connection, settings: Settings) -> None:
    checker = BlockChecker(settings)
    while True:
        try:
            block: Block = pipe.recv()
            pipe.send(checker.check(block))
        except (EOFError, OSError, KeyboardInterrupt):
            # whoever asked is gone
            return


def _killed() -> TrainerError:
    return TrainerError(
        ExitCode.HOST_OUT_OF_MEMORY,
        "a process that checks rows was killed, most likely because the machine's memory was not enough; close other "
        "programs and run the same command again",
    )
