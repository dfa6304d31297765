"""One block of rows, checked: what is wrong with each, and what is to be compared with all others."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.data.check.blocks import Block
from finetune_trainer.data.check.labels import Labels
from finetune_trainer.data.check.sensitive import traces
from finetune_trainer.data.check.similarity import BINS, Signatures, signatures
from finetune_trainer.data.contents import (
    Content,
    Conversation,
    PlainText,
    RowError,
    Unpaired,
    answer_of,
    every_answer,
    input_of,
)
from finetune_trainer.data.contract import AnswerContract
from finetune_trainer.data.examples import build_example
from finetune_trainer.data.formats import format_of, understand
from finetune_trainer.data.load import unlearnable
from finetune_trainer.data.raw import RawRow
from finetune_trainer.data.tokenizer import TextTokenizer
from finetune_trainer.events import FlagKind, RowFault
from finetune_trainer.exit_codes import TrainerError
from finetune_trainer.job_config import JsonContractConfig, RowFormat

TOLD: Final = 1000
"""Faults and flags of one kind that are kept; all are counted."""

COMPARED_AT_ONCE: Final = 1000
"""Rows whose signatures are made together: more of them leave the processor's cache."""

CHARACTERS_A_TOKEN: Final = 4
"""Of English prose in the vocabularies of common models; other scripts and code have fewer."""

SHOWN: Final = 60
"""Characters of an instruction that are kept."""

TEXTS_KEPT: Final = 256
"""Different instructions of which the text is kept, of each block."""

COLUMNS: Final = ("line", "row", "input", "instruction", "system", "answer", "length")
"""What is kept of a row as numbers: line, digests, and lengths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What every block of a file is checked by."""

    label: str
    format: RowFormat
    contract: JsonContractConfig | None
    model: str | None
    """A folder with a tokenizer; None: lengths are characters / 4."""


@dataclass(slots=True, kw_only=True)
class BlockResult:
    """What came out of one block."""

    labels: Labels
    columns: NDArray[np.uint64] = field(default_factory=lambda: np.zeros((0, len(COLUMNS)), dtype=np.uint64))
    """A row a usable row, in the order of COLUMNS."""
    signatures: Signatures = field(default_factory=lambda: np.zeros((0, BINS), dtype=np.uint16))
    faults: list[RowFault] = field(default_factory=list)
    bad: int = 0
    formats: Counter[RowFormat] = field(default_factory=Counter)
    first: dict[RowFormat, int] = field(default_factory=dict)
    """Line of the first row of each format."""
    traces: list[tuple[int, FlagKind, str]] = field(default_factory=list)
    trace_counts: Counter[FlagKind] = field(default_factory=Counter)
    texts: dict[int, str] = field(default_factory=dict)
    """Instructions and system prompts by digest."""
    failure: TrainerError | None = None
    """What ended the check: exceptions lose their parts between processes."""

    def fault(self, label: str, line: int, message: str) -> None:
        """Keep a fault, or count it."""
        self.bad += 1
        if len(self.faults) < TOLD:
            self.faults.append(RowFault(file=label, line=line, message=message))


class BlockChecker:
    """Checks blocks of one file."""

    def __init__(self, settings: Settings) -> None:
        """Prepare contract and tokenizer.

        Raises:
            TrainerError: the contract's schema or the model can't be used.
        """
        self._settings = settings
        self._contract = AnswerContract(settings.contract) if settings.contract is not None else None
        self._tokenizer = TextTokenizer.load(Path(settings.model)) if settings.model is not None else None
        self._instructions = _Instructions()

    def check(self, block: Block) -> BlockResult:
        """Everything that can be said of the block by itself."""
        contract = self._settings.contract
        result = BlockResult(labels=Labels(frozenset(contract.values) if contract is not None else frozenset()))
        rows = _Rows()
        try:
            for row in block.rows(self._settings.label):
                if isinstance(row, RawRow):
                    self._row(row, result, rows)
                else:
                    result.fault(self._settings.label, row.line, row.message)
        except TrainerError as e:
            result.failure = e
        result.columns = rows.columns()
        result.signatures = rows.signatures()
        for trace in traces(rows.texts):
            result.trace_counts[trace.kind] += 1
            if len(result.traces) < TOLD:
                result.traces.append((rows.lines[trace.text], trace.kind, trace.what))
        return result

    def _row(self, row: RawRow, result: BlockResult, rows: "_Rows") -> None:
        found = format_of(row.value)
        if found is not None:
            result.formats[found] += 1
            result.first.setdefault(found, row.line)
        try:
            judged = understand(row.value, self._settings.format)
            contents = every_answer(judged)
            content = contents[0]
            answer = answer_of(content)
            parsed = self._contract.check(answer) if self._contract is not None else None
            length = max(self._length(c, row.line) for c in contents)
        except RowError as e:
            result.fault(self._settings.label, row.line, str(e))
            return
        if not isinstance(content, PlainText):
            result.labels.add(answer, parsed)
        instruction = row.value["instruction"] if self._settings.format is RowFormat.ALPACA else ""
        digests = [self._instructions.digest(text, result.texts) for text in (instruction, _system_of(content))]
        more = "".join(answer_of(c) for c in contents[1:])
        label = str(judged.wanted) if isinstance(judged, Unpaired) else ""
        rows.add(row.line, (input_of(content), answer, more, label), digests, length)

    def _length(self, content: Content, line: int) -> int:
        """Tokens, or what stands for them where there is no tokenizer."""
        if self._tokenizer is None:
            return -(-(len(input_of(content)) + len(answer_of(content))) // CHARACTERS_A_TOKEN)
        example = build_example(content, self._tokenizer, self._settings.label, line)
        fault = unlearnable(example, self._tokenizer)
        if fault is not None:
            raise RowError(fault)
        return len(example.input_ids)


class _Rows:
    """Usable rows of a block, as numbers."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: list[tuple[int, ...]] = []
        self._normal: list[bytes] = []
        self._signed: list[Signatures] = []

    def add(self, line: int, parts: tuple[str, str, str, str], digests: Sequence[int], length: int) -> None:
        asked, answer, more, label = parts
        text = f"{asked}\n{answer}\n{more}" if more else f"{asked}\n{answer}"
        key = " ".join(asked.casefold().split())
        row = _digest(f"{len(asked)} {len(answer)} {label}\n{text}")
        self._numbers.append((line, row, _digest(key), *digests, len(answer), length))
        self.texts.append(text)
        self._normal.append(f"{key} {' '.join(answer.casefold().split())}".encode())
        if len(self._normal) == COMPARED_AT_ONCE:
            self._sign()

    @property
    def lines(self) -> Sequence[int]:
        return [numbers[0] for numbers in self._numbers]

    def columns(self) -> NDArray[np.uint64]:
        return np.array(self._numbers, dtype=np.uint64).reshape(-1, len(COLUMNS))

    def signatures(self) -> Signatures:
        self._sign()
        return np.concatenate(self._signed)

    def _sign(self) -> None:
        self._signed.append(signatures(self._normal))
        self._normal = []


def _system_of(content: Content) -> str:
    if isinstance(content, Conversation) and content.messages[0].role == "system":
        return content.messages[0].content
    return ""


class _Instructions:
    """Digests of texts that most rows share."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {"": 0}

    def digest(self, text: str, texts: dict[int, str]) -> int:
        """The text's digest, the text itself kept beside a few others; 0 for none."""
        found = self._known.get(text)
        if found is None:
            found = _digest(text)
            if len(self._known) < TEXTS_KEPT:
                self._known[text] = found
        if found and len(texts) < TEXTS_KEPT and found not in texts:
            texts[found] = " ".join(text[: 4 * SHOWN].split())[:SHOWN]
        return found


def _digest(text: str) -> int:
    # eight bytes: among a million rows two different ones have the same once in 40 million files
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def column(columns: NDArray[np.uint64], name: str) -> NDArray[np.uint64]:
    """One of COLUMNS."""
    return columns[:, COLUMNS.index(name)]
