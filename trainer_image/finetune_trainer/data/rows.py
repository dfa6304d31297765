"""One file of rows: read, understood, held against the contract, tokenised; every bad row a fault with its place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer.data.contents import Content, Judged, Preference, RowError, Unpaired, answer_of, learnable
from finetune_trainer.data.contract import AnswerContract, Duplicates, input_key
from finetune_trainer.data.examples import Example, build_judged
from finetune_trainer.data.formats import check_learnt, detect, understand
from finetune_trainer.data.raw import RawRow
from finetune_trainer.data.readers import read_rows
from finetune_trainer.data.tokenizer import TextTokenizer
from finetune_trainer.events import RowFault
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import DataConfig, DataFileConfig, JsonContractConfig, RowFormat

Check = Callable[[], None]
"""Ends a long loop by raising, where something asks for that."""


def go_on() -> None:
    """Nothing asks."""


class BadRowsError(TrainerError):
    """More bad rows than are allowed, and which."""

    def __init__(self, message: str, faults: Sequence[RowFault]) -> None:
        super().__init__(ExitCode.DATA, message)
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedExample:
    """An example with what tells its input apart."""

    example: Example
    key: bytes
    """The same for inputs that differ in case and white space only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFile:
    """What became of a file's rows; usable ones and faults in the order of their lines."""

    label: str
    """What faults call the file."""
    format: str
    """The name of it; of several files all names."""
    rows: tuple[KeyedExample, ...]
    faults: tuple[RowFault, ...]


def load_file(
    source: DataFileConfig,
    label: str,
    config: DataConfig,
    tokenizer: TextTokenizer,
    seen: Duplicates | None = None,
    check: Check = go_on,
) -> RowFile:
    """Read a file; `seen` knows the rows of those before it.

    Raises:
        TrainerError: DATA, where the file as a whole can't be used, or not one line holds an object; or what `check`
            raises, which is called before each row.
    """
    read = []
    for found in read_rows(Path(source.path), label):
        check()
        read.append(found)
    raw = [row for row in read if isinstance(row, RawRow)]
    faults = [row for row in read if not isinstance(row, RawRow)]
    if not raw:
        refuse_all(label, faults)
    row_format = detect(raw, label) if source.format is RowFormat.AUTO else source.format
    check_learnt(row_format, label, config.objective)
    check_contract_applies(row_format, label, config.contract.answer_json)
    duplicates = seen or Duplicates(unique_input=config.contract.unique_input)
    reader = _RowReader(row_format, label, config, tokenizer, duplicates)
    rows: list[KeyedExample] = []
    for row in raw:
        check()
        try:
            rows.append(reader.read(row))
        except RowError as e:
            faults.append(RowFault(file=label, line=row.line, message=str(e)))
    return RowFile(label=label, format=row_format.value, rows=tuple(rows), faults=in_order(faults))


def refuse_all(label: str, faults: Sequence[RowFault]) -> None:
    """End where no row is left.

    Raises:
        BadRowsError: with the first fault.
    """
    first = faults[0]
    others = f" (all {len(faults)} rows are bad)" if len(faults) > 1 else ""
    raise BadRowsError(f"{label}:{first.line}: {first.message}{others}", faults)


def in_order(faults: Sequence[RowFault]) -> tuple[RowFault, ...]:
    """Faults by line."""
    return tuple(sorted(faults, key=lambda f: f.line))


def check_contract_applies(row_format: RowFormat, label: str, contract: JsonContractConfig | None) -> None:
    """Hold a file's format against the contract.

    Raises:
        TrainerError: DATA, there is a contract for answers, and the rows have none.
    """
    if row_format is RowFormat.TEXT and contract is not None:
        raise TrainerError(
            ExitCode.DATA,
            f"{label}: its rows are plain texts, which have no answers that contract.output could hold for; take it "
            "out of the job, or write rows with answers",
        )


class _RowReader:
    """Reads one file's rows and remembers which there have been."""

    def __init__(
        self, row_format: RowFormat, label: str, config: DataConfig, tokenizer: TextTokenizer, duplicates: Duplicates
    ) -> None:
        self._format = row_format
        self._label = label
        self._config = config
        self._tokenizer = tokenizer
        answer = config.contract.answer_json
        self._contract = AnswerContract(answer) if answer is not None else None
        self._duplicates = duplicates

    def read(self, row: RawRow) -> KeyedExample:
        """The row as an example.

        Raises:
            RowError: what is wrong with it.
        """
        judged = understand(row.value, self._format)
        content = learnable(judged)
        # an answer that is to be unlearnt may break it
        if self._contract is not None and not (isinstance(judged, Unpaired) and not judged.wanted):
            self._contract.check(answer_of(content))
        self._duplicates.check(content, self._label, row.line, _judgement(judged))
        example = build_judged(judged, self._tokenizer, self._label, row.line)
        _check_length(example, self._config.max_length)
        return KeyedExample(example=example, key=input_key(content))


def _judgement(content: Content | Judged) -> str:
    """What tells rows with the same prompt and first answer apart."""
    match content:
        case Preference(_, rejected):
            return answer_of(rejected)
        case Unpaired(_, wanted):
            return str(wanted)
        case _:
            return ""


def _check_length(example: Example, max_length: int) -> None:
    ids, mask = max(example.sequences, key=lambda s: len(s[0]))
    need, answer = len(ids), sum(mask)
    if need > max_length:
        raise RowError(
            f"has {need} tokens ({answer} in its answer), dataset.maxLength is {max_length}; shorten the row or write "
            f"maxLength: {need}"
        )
