"""Token lengths without a tokenizer: for planning a model that is known and not here."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from finetune_operator.exceptions import DatasetInvalidError
from finetune_operator.planner.facts import DatasetFacts, evaluated_at_most

CHARACTERS_A_TOKEN: Final = 4
"""English prose in byte-pair vocabularies of 30 to 150 thousand entries; code and other scripts take fewer, so that a
plan from this is too small for them."""

TEMPLATE_TOKENS: Final = 16
"""What a chat template adds to a row of one question and one answer: role marks, ends of turn."""

LINES: Final = (".jsonl", ".ndjson", ".json")
"""Suffixes of files that may be one object a line."""

ANSWERS: Final = ("completion", "output", "expected", "chosen", "rejected")
"""Keys of answers."""

TURNS: Final = ("messages", "conversations")
"""Keys of conversations."""

ANSWERING: Final = frozenset({"assistant", "gpt"})
"""Who answers in them."""

PAIR: Final = frozenset({"chosen", "rejected"})
"""Keys of a row with two answers of which one is preferred."""


def estimate_dataset(
    train: Sequence[tuple[Path, float]], evaluation: Path | None, fraction: float | None, max_length: int
) -> DatasetFacts:
    """The data's size from its characters, each file of training rows as often as its weight says.

    Raises:
        DatasetInvalidError: a file can't be read, a line isn't a JSON object, or no row is left.
    """
    usable = [(_usable_rows(path, max_length), weight) for path, weight in train]
    lengths = sorted(n for found, weight in usable for n, _ in _weighted(found, weight))
    held_out = [row for found, _ in usable for row in found]
    if evaluation is not None:
        held_out = _usable_rows(evaluation, max_length)
    held = max(1, round(len(lengths) * fraction)) if fraction is not None else 0
    if held == len(lengths):
        raise DatasetInvalidError(
            f"{train[0][0]}: evaluation.fraction {fraction:g} holds out all of its {held} rows; write a smaller one",
        )
    rows = len(lengths) - held
    return DatasetFacts(
        rows=rows,
        tokens=round(sum(lengths) * rows / len(lengths)),
        p50=lengths[len(lengths) // 2],
        p95=lengths[min(len(lengths) - 1, len(lengths) * 95 // 100)],
        longest=lengths[-1],
        evaluated=evaluated_at_most(max(n for n, _ in held_out), max(answer for _, answer in held_out)),
    )


_Row = tuple[int, int]
"""Tokens of a row, and of its answer."""


def _weighted(rows: Sequence[_Row], weight: float) -> Iterator[_Row]:
    """As many of them as training goes through, spread over short and long ones."""
    count = round(len(rows) * weight)
    return (rows[i * len(rows) // count] for i in range(count))


def _usable_rows(path: Path, max_length: int) -> list[_Row]:
    """Those that training would not skip, in order of length; of a folder from the hub, of all its files."""
    files = sorted(p for p in path.rglob("[!.]*") if p.is_file()) if path.is_dir() else [path]
    found = [row for file in files for row in _rows(file)]
    if not found:
        raise DatasetInvalidError(f"{path}: is empty; write one JSON object a line")
    rows = sorted((length, answer) for length, answer in found if length <= max_length)
    if not rows:
        raise DatasetInvalidError(
            f"{path}: all {len(found)} rows are over dataset.maxLength {max_length}, the shortest has about "
            f"{min(found)[0]} tokens; write a larger maxLength",
        )
    return rows


def _rows(path: Path) -> Iterator[_Row]:
    if path.suffix.lower() not in LINES:
        raise DatasetInvalidError(
            f"{path}: row lengths are estimated from JSON Lines alone while the model isn't here; write its rows into "
            "a .jsonl file, or name a folder with the model"
        )
    try:
        with path.open(encoding="utf-8-sig") as f:
            for number, line in enumerate(f, start=1):
                if line.strip():
                    row = _row(path, number, line)
                    yield _tokens(_longest(row)), _tokens(_answer(row))
    except OSError as e:
        raise DatasetInvalidError(f"{path}: can't be read: {e.strerror}; write the path of a .jsonl file") from e
    except UnicodeDecodeError as e:
        raise DatasetInvalidError(f"{path}: is not UTF-8; save it as UTF-8") from e


def _tokens(characters: int) -> int:
    return TEMPLATE_TOKENS + characters // CHARACTERS_A_TOKEN


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line.rstrip())
    except json.JSONDecodeError as e:
        sentence = f"is not JSON ({e.msg}, column {e.colno}); write one object a line"
        raise DatasetInvalidError(f"{path}:{number}: {sentence}") from e
    except RecursionError as e:
        raise DatasetInvalidError(f"{path}:{number}: is nested too deeply; write one object a line") from e
    if not isinstance(row, dict):
        raise DatasetInvalidError(f"{path}:{number}: is not a JSON object; write one object a line")
    return row


def _longest(row: dict[str, Any]) -> int:
    """Characters of a row; of a pair of answers those with the longer one, since each goes through with the prompt."""
    if not row.keys() >= PAIR:
        return _characters(row)
    shared = {key: value for key, value in row.items() if key not in PAIR}
    return _characters(shared) + max(_characters(row[key]) for key in PAIR)


def _answer(row: dict[str, Any]) -> int:
    """Characters of a row's answer: from the first that an assistant gives; all of a row whose shape isn't known."""
    found = [_characters(row[key]) for key in ANSWERS if key in row]
    if found:
        return max(found)
    turns = next((row[key] for key in TURNS if isinstance(row.get(key), list)), ())
    said = [i for i, t in enumerate(turns) if isinstance(t, dict) and ANSWERING & {t.get("role"), t.get("from")}]
    return _characters(turns[said[0] :]) if said else _longest(row)


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(_characters(child) for child in children)
