"""What the job asks of every row: its answer's JSON, and that no row is there twice."""

import hashlib
from typing import Any

from finetune_trainer.data import strict_json
from finetune_trainer.data.formats import Content, RowError, answer_of, input_of
from finetune_trainer.job_config import JsonContractConfig


def check_answer(answer: str, contract: JsonContractConfig) -> None:
    """Hold an answer against its contract.

    Raises:
        RowError: it isn't a JSON object, lacks a key, or has a value that isn't allowed.
    """
    value = _parse(answer)
    for key in contract.required:
        if key not in value:
            raise RowError(f"the answer lacks {key}; write all of {', '.join(contract.required)}")
    for key, allowed in contract.values.items():
        if key in value and value[key] not in allowed:
            raise RowError(f"{key} {_shown(value[key])} is not allowed; write one of {', '.join(allowed)}")


def input_key(content: Content) -> bytes:
    """The same for inputs that differ in case and white space only."""
    return _digest("\0", input_of(content))


class Duplicates:
    """Remembers rows by digest, and where each was first."""

    def __init__(self, *, unique_input: bool) -> None:
        self._unique_input = unique_input
        self._rows: dict[bytes, int] = {}
        self._inputs: dict[bytes, int] = {}

    def check(self, content: Content, line: int) -> None:
        """Take a row in.

        Raises:
            RowError: the row, or with `unique_input` its input, has been there before.
        """
        row = _digest(input_of(content), answer_of(content), exact=True)
        if row in self._rows:
            raise RowError(f"is the same row as line {self._rows[row]}; remove one of them")
        key = input_key(content)
        if self._unique_input and key in self._inputs:
            raise RowError(f"has the same input as line {self._inputs[key]}; keep one of them, or drop contract.unique")
        self._rows[row] = line
        self._inputs.setdefault(key, line)


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
