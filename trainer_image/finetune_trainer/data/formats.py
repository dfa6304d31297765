"""Which format rows are of, and what a row of it says."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from finetune_trainer.data import strict_json
from finetune_trainer.data.contents import (
    Completion,
    Content,
    Conversation,
    Judged,
    Message,
    PlainText,
    RowError,
    Unpaired,
)
from finetune_trainer.data.conversations import check_order, checked_text, read_messages, read_sharegpt, read_turns
from finetune_trainer.data.preferences import read_preference
from finetune_trainer.data.raw import RawRow
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import PAIRED, Objective, RowFormat

MAJORITY: Final = 0.8
"""Share of the recognised rows that a file's format has at least; below it the file is a mixture."""

CONVERSATIONS: Final = ("messages", "conversations")
"""Keys that turns are under; how the first is written tells Messages and ShareGPT apart."""

LEARNT_BY: Final[Mapping[RowFormat, str]] = {
    RowFormat.PREFERENCE: "DPO and ORPO learn from; for SFT write the chosen answer alone, as prompt and completion",
    RowFormat.UNPAIRED: "KTO learns from; for SFT write the rows whose label is true, without it",
}
"""Formats that SFT can't learn from, with what they are for."""


def detect(rows: Sequence[RawRow], label: str) -> RowFormat:
    """The format of a file, over all of its rows.

    Raises:
        TrainerError: DATA, where no row is recognised or no format has the majority.
    """
    first: dict[RowFormat, int] = {}
    counts: Counter[RowFormat] = Counter()
    for row in rows:
        found = format_of(row.value)
        if found is not None:
            first.setdefault(found, row.line)
            counts[found] += 1
    if not counts:
        raise TrainerError(ExitCode.DATA, f"{label}:{rows[0].line}: {_unknown(rows[0].value)}")
    mixture = mixture_of(counts, first)
    if mixture is not None:
        raise TrainerError(ExitCode.DATA, f"{label}: {mixture}")
    return counts.most_common(1)[0][0]


def mixture_of(counts: Counter[RowFormat], first: Mapping[RowFormat, int]) -> str | None:
    """What is wrong with a file that no format has the majority of; None where one has."""
    if counts.most_common(1)[0][1] >= MAJORITY * counts.total():
        return None
    parts = " and ".join(f"{n} {f} rows (first at line {first[f]})" for f, n in counts.most_common())
    return f"mixes formats: {parts}; write one format a file"


def format_of(value: Mapping[str, Any]) -> RowFormat | None:
    """The format whose keys a row has; the more specific one where it has those of several."""
    if "chosen" in value and "rejected" in value:
        return RowFormat.PREFERENCE
    key = next((k for k in CONVERSATIONS if k in value), None)
    if key is not None:
        return RowFormat.SHAREGPT if _is_spoken(value[key], key) else RowFormat.MESSAGES
    if "instruction" in value:
        return RowFormat.ALPACA
    if "prompt" in value and "completion" in value:
        return RowFormat.UNPAIRED if "label" in value else RowFormat.PROMPT_COMPLETION
    return RowFormat.TEXT if "text" in value else None


def understand(value: Mapping[str, Any], fmt: RowFormat) -> Content | Judged:
    """The content of a row of a known format.

    Raises:
        RowError: a key is missing, empty or of the wrong type, or the row is of another format.
    """
    if not any(key in value for key in _MARKS[fmt]):
        other = format_of(value)
        if other is None:
            raise RowError(_unknown(value))
        raise RowError(f"is a row of the format {other} in a file of the format {fmt}; write one format a file")
    return _READERS[fmt](value)


def check_learnt(fmt: RowFormat, label: str, objective: Objective) -> None:
    """Hold a file's format against what the objective learns from.

    Raises:
        TrainerError: DATA, its rows are for another objective.
    """
    if objective == "SFT":
        if fmt in LEARNT_BY:
            raise TrainerError(ExitCode.DATA, f"{label}: has rows of the format {fmt}, which {LEARNT_BY[fmt]}")
        return
    needed, keys = _JUDGED["pairs" if objective in PAIRED else "single"]
    if fmt is needed:
        return
    others = [o for o, kind in _LEARNERS if kind is fmt] or ["SFT"]
    raise TrainerError(
        ExitCode.DATA,
        f"{label}: has rows of the format {fmt}, which {' and '.join(others)} "
        f"{'learn' if len(others) > 1 else 'learns'} from; {objective} learns from {needed} rows: write {keys}, or "
        f"objective: {others[0]}",
    )


def _is_spoken(turns: Any, key: str) -> bool:
    first = turns[0] if isinstance(turns, list) and turns else None
    if not isinstance(first, dict):
        return key == "conversations"
    return "from" in first or ("role" not in first and key == "conversations")


def _alpaca(value: Mapping[str, Any]) -> Conversation:
    instruction = _text(value, "instruction")
    extra = _optional_text(value, "input")
    system = _optional_text(value, "system")
    # a table has every column in every row
    if value.get("output") is not None and value.get("expected") is not None:
        raise RowError("has both output and expected; keep one of them")
    answer = _text(value, "expected" if "expected" in value and value.get("output") is None else "output")
    question = f"{instruction}\n\n{extra}" if extra else instruction
    head = (Message("system", system),) if system else ()
    return Conversation((*head, Message("user", question), Message("assistant", answer)), learnt_from=0)


def _messages(value: Mapping[str, Any]) -> Conversation:
    return read_messages(value, _key(value))


def _sharegpt(value: Mapping[str, Any]) -> Conversation:
    return read_sharegpt(value, _key(value))


def _key(value: Mapping[str, Any]) -> str:
    return next(k for k in CONVERSATIONS if k in value)


def _prompt_completion(value: Mapping[str, Any]) -> Conversation | Completion:
    for key in ("prompt", "completion"):
        if key not in value:
            raise RowError(f"{key} is missing; write prompt and completion")
    prompt, completion = value["prompt"], value["completion"]
    if isinstance(prompt, list) and isinstance(completion, list):
        before, after = read_turns(prompt, "prompt"), read_turns(completion, "completion")
        check_order((*before, *after))
        if before[-1].role not in ("user", "tool"):
            raise RowError(f"prompt ends with a turn of the {before[-1].role}; end it with one of the user")
        return Conversation((*before, *after), learnt_from=len(before))
    if isinstance(prompt, list) or isinstance(completion, list):
        raise RowError("has a list and a string as prompt and completion; write both as strings or both as messages")
    return Completion(_text(value, "prompt"), _text(value, "completion"))


def _unpaired(value: Mapping[str, Any]) -> Unpaired:
    if "label" not in value:
        raise RowError("label is missing; write true for a wanted answer, false for another")
    label = value["label"]
    if not isinstance(label, bool):
        raise RowError(f"label is {strict_json.kind(label)}; write true for a wanted answer, false for another")
    return Unpaired(_prompt_completion(value), label)


def _plain(value: Mapping[str, Any]) -> PlainText:
    return PlainText(_text(value, "text"))


def _text(value: Mapping[str, Any], key: str) -> str:
    if key not in value:
        raise RowError(f"{key} is missing; write it as a string")
    return checked_text(value[key], key)


def _optional_text(value: Mapping[str, Any], key: str) -> str:
    text = value.get(key)
    if text is None or text == "":
        return ""
    if not isinstance(text, str):
        raise RowError(f"{key} is {strict_json.kind(text)}; write it as a string")
    return text if text.strip() else ""


def _unknown(value: Mapping[str, Any]) -> str:
    has = f"has the keys {strict_json.listed_keys(value)}" if value else "is an empty object"
    return f"{has}; write instruction and output, messages, conversations, prompt and completion, or text"


_JUDGED: Final[Mapping[str, tuple[RowFormat, str]]] = {
    "pairs": (RowFormat.PREFERENCE, "prompt, chosen and rejected"),
    "single": (RowFormat.UNPAIRED, "prompt, completion and label"),
}

_LEARNERS: Final[tuple[tuple[Objective, RowFormat], ...]] = (
    ("DPO", RowFormat.PREFERENCE),
    ("ORPO", RowFormat.PREFERENCE),
    ("KTO", RowFormat.UNPAIRED),
)

_READERS: Final[Mapping[RowFormat, Callable[[Mapping[str, Any]], Content | Judged]]] = {
    RowFormat.ALPACA: _alpaca,
    RowFormat.SHAREGPT: _sharegpt,
    RowFormat.MESSAGES: _messages,
    RowFormat.PROMPT_COMPLETION: _prompt_completion,
    RowFormat.TEXT: _plain,
    RowFormat.PREFERENCE: read_preference,
    RowFormat.UNPAIRED: _unpaired,
}

_MARKS: Final[Mapping[RowFormat, Iterable[str]]] = {
    RowFormat.ALPACA: ("instruction", "output", "expected"),
    RowFormat.SHAREGPT: CONVERSATIONS,
    RowFormat.MESSAGES: CONVERSATIONS,
    RowFormat.PROMPT_COMPLETION: ("prompt", "completion"),
    RowFormat.TEXT: ("text",),
    RowFormat.PREFERENCE: ("chosen", "rejected"),
    RowFormat.UNPAIRED: ("prompt", "completion", "label"),
}
