"""What the job asks of every row: its answer's JSON, and that no row is there twice."""

import hashlib
from typing import Any

from finetune_trainer.data import strict_json
from finetune_trainer.data.answer_schema import AnswerSchema
from finetune_trainer.data.contents import Content, RowError, answer_of, input_of
from finetune_trainer.job_config import JsonContractConfig


class AnswerContract:
    """What every answer has to be."""

    def __init__(self, contract: JsonContractConfig) -> None:
        """Prepare the schema.

        Raises:
            TrainerError: CONFIGURATION, it is no JSON schema.
        """
        self._contract = contract
        self._schema = AnswerSchema(contract.json_schema) if contract.json_schema is not None else None

    def check(self, answer: str) -> dict[str, Any]:
        """Hold an answer against its contract; the object that it is.

        Raises:
            RowError: it isn't a JSON object, lacks a key, has a value that isn't allowed, or doesn't meet the schema.
        """
        value = _parse(answer)
        for key in self._contract.required:
            if key not in value:
                raise RowError(f"the answer lacks {key}; write all of {', '.join(self._contract.required)}")
        for key, allowed in self._contract.values.items():
            if key in value and value[key] not in allowed:
                raise RowError(f"{key} {_shown(value[key])} is not allowed; write one of {', '.join(allowed)}")
        if self._schema is not None:
            self._schema.check(value)
        return value


def input_key(content: Content) -> bytes:
    """The same for inputs that differ in case and white space only."""
    return _digest("\0", input_of(content))


class Duplicates:
    """Remembers rows by digest, and where each was first."""

    def __init__(self, *, unique_input: bool) -> None:
        self._unique_input = unique_input
        self._rows: dict[bytes, tuple[str, int]] = {}
        self._inputs: dict[bytes, tuple[str, int]] = {}

    def check(self, content: Content, file: str, line: int, judgement: str = "") -> None:
        """Take a row in; with what else it says where the answer isn't all of it.

        Raises:
            RowError: the row, or with `unique_input` its input, has been there before.
        """
        row = _digest(input_of(content), answer_of(content), judgement, exact=True)
        if row in self._rows:
            raise RowError(f"is the same row as {_place(self._rows[row], file)}; remove one of them")
        key = input_key(content)
        if self._unique_input and key in self._inputs:
            place = _place(self._inputs[key], file)
            raise RowError(f"has the same input as {place}; keep one of them, or drop contract.unique")
        self._rows[row] = (file, line)
        self._inputs.setdefault(key, (file, line))


def _place(row: tuple[str, int], file: str) -> str:
    """Where a row is, told from another file."""
    return f"line {row[1]}" if row[0] == file else f"{row[0]}:{row[1]}"


def _parse(answer: str) -> dict[str, Any]:
    try:
        value = strict_json.parse(answer)
    except ValueError as e:
        raise RowError(f"the answer {e}; the contract asks for a JSON object") from e
    if not isinstance(value, dict):
        raise RowError(f"the answer is {strict_json.kind(value)}; the contract asks for a JSON object")
    return value


def _shown(value: Any) -> str:
    return f'"{value[:40]}"' if isinstance(value, str) else f"({strict_json.kind(value)})"


def _digest(*parts: str, exact: bool = False) -> bytes:
    # sixteen bytes a row instead of its text: millions of rows have to fit
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        text = part if exact else " ".join(part.casefold().split())
        digest.update(len(text).to_bytes(8) + text.encode())
    return digest.digest()
