"""Rows of four formats understood as one: conversations, prompts with completions, texts."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from finetune_trainer.data import strict_json
from finetune_trainer.data.readers import RawRow
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import RowFormat

MAJORITY: Final = 0.8
"""Share of the recognised rows that a file's format has at least; below it the file is a mixture."""

Role = Literal["system", "user", "assistant"]


class RowError(ValueError):
    """What is wrong with one row: the rest of a sentence that begins with its file and line."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns that end with the answer to learn; the model's chat template lays them out."""

    messages: tuple[Message, ...]
    learnt_from: int
    """Index of the first message whose answers are learnt; 0: every assistant turn."""


@dataclass(frozen=True, slots=True)
class Completion:
    """Two strings that are put together as they stand, without any template."""

    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class PlainText:
    """Text learnt as a whole."""

    text: str


Content = Conversation | Completion | PlainText


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
    best, number = counts.most_common(1)[0]
    if number < MAJORITY * counts.total():
        parts = " and ".join(f"{n} {f} rows (first at line {first[f]})" for f, n in counts.most_common())
        raise TrainerError(ExitCode.DATA, f"{label}: mixes formats: {parts}; write one format a file")
    return best


def format_of(value: Mapping[str, Any]) -> RowFormat | None:
    """The format whose keys a row has; the more specific one where it has those of several."""
    if "messages" in value:
        return RowFormat.MESSAGES
    if "instruction" in value:
        return RowFormat.ALPACA
    if "prompt" in value and "completion" in value:
        return RowFormat.PROMPT_COMPLETION
    return RowFormat.TEXT if "text" in value else None


def understand(value: dict[str, Any], fmt: RowFormat) -> Content:
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


def input_of(content: Content) -> str:
    """What the answer is an answer to: everything before it."""
    match content:
        case Conversation(messages):
            return "\n".join(f"{m.role}: {m.content}" for m in messages[:-1])
        case Completion(prompt):
            return prompt
        case PlainText(text):
            return text


def answer_of(content: Content) -> str:
    """The last answer; empty for plain text, which has none."""
    match content:
        case Conversation(messages):
            return messages[-1].content
        case Completion(_, completion):
            return completion
        case PlainText():
            return ""


def prompt_of(content: Content) -> str:
    """What a person would recognise the row by: the last question, as it was written."""
    match content:
        case Conversation(messages):
            return messages[-2].content
        case Completion(prompt):
            return prompt
        case PlainText():
            return ""


def _alpaca(value: dict[str, Any]) -> Conversation:
    instruction = _text(value, "instruction")
    extra = _optional_text(value, "input")
    system = _optional_text(value, "system")
    if "output" in value and "expected" in value:
        raise RowError("has both output and expected; keep one of them")
    answer = _text(value, "expected" if "expected" in value else "output")
    question = f"{instruction}\n\n{extra}" if extra else instruction
    head = (Message("system", system),) if system else ()
    return Conversation((*head, Message("user", question), Message("assistant", answer)), learnt_from=0)


def _messages(value: dict[str, Any]) -> Conversation:
    if value.get("tools"):
        raise RowError("has tools, which aren't learnt here; take the key out or remove the row")
    messages = _turns(value["messages"], "messages")
    _check_order(messages)
    return Conversation(messages, learnt_from=0)


def _prompt_completion(value: dict[str, Any]) -> Conversation | Completion:
    for key in ("prompt", "completion"):
        if key not in value:
            raise RowError(f"{key} is missing; write prompt and completion")
    prompt, completion = value["prompt"], value["completion"]
    if isinstance(prompt, list) and isinstance(completion, list):
        before, after = _turns(prompt, "prompt"), _turns(completion, "completion")
        _check_order((*before, *after))
        if before[-1].role != "user":
            raise RowError(f"prompt ends with a turn of the {before[-1].role}; end it with one of the user")
        return Conversation((*before, *after), learnt_from=len(before))
    if isinstance(prompt, list) or isinstance(completion, list):
        raise RowError("has a list and a string as prompt and completion; write both as strings or both as messages")
    return Completion(_text(value, "prompt"), _text(value, "completion"))


def _plain(value: dict[str, Any]) -> PlainText:
    return PlainText(_text(value, "text"))


def _text(value: dict[str, Any], key: str) -> str:
    if key not in value:
        raise RowError(f"{key} is missing; write it as a string")
    return _checked_text(value[key], key)


def _optional_text(value: dict[str, Any], key: str) -> str:
    text = value.get(key)
    if text is None or text == "":
        return ""
    if not isinstance(text, str):
        raise RowError(f"{key} is {strict_json.kind(text)}; write it as a string")
    return text if text.strip() else ""


def _checked_text(text: Any, name: str) -> str:
    if isinstance(text, dict | list):
        raise RowError(f"{name} is {strict_json.kind(text)}; write it as a string that holds the JSON")
    if not isinstance(text, str):
        raise RowError(f"{name} is {strict_json.kind(text)}; write it as a string")
    if not text.strip():
        raise RowError(f"{name} is empty; write it or remove the row")
    return text


def _turns(value: Any, key: str) -> tuple[Message, ...]:
    if not isinstance(value, list):
        raise RowError(f'{key} is {strict_json.kind(value)}; write a list of {{"role": …, "content": …}}')
    if not value:
        raise RowError(f"{key} is empty; write a turn of the user and one of the assistant")
    return tuple(_turn(turn, f"{key}[{i}]") for i, turn in enumerate(value))


def _turn(value: Any, name: str) -> Message:
    if not isinstance(value, dict):
        raise RowError(f'{name} is {strict_json.kind(value)}; write {{"role": …, "content": …}}')
    role = value.get("role")
    if role not in ("system", "user", "assistant"):
        shown = f'"{role[:40]}"' if isinstance(role, str) else strict_json.kind(role)
        raise RowError(f"{name}.role is {shown}; write system, user or assistant")
    if value.get("tool_calls"):
        raise RowError(f"{name}.tool_calls aren't learnt here; take the key out or remove the row")
    if "content" not in value:
        raise RowError(f"{name}.content is missing; write it as a string")
    return Message(role, _checked_text(value["content"], f"{name}.content"))


def _check_order(messages: Sequence[Message]) -> None:
    turns = messages[1:] if messages[0].role == "system" else messages
    for i, message in enumerate(turns):
        expected = "user" if i % 2 == 0 else "assistant"
        if message.role != expected:
            place = i + len(messages) - len(turns) + 1
            raise RowError(f"turn {place} is of the {message.role} where the {expected}'s belongs; let them alternate")
    if not turns or turns[-1].role != "assistant":
        raise RowError("ends without an answer of the assistant; the last turn has to be one")


def _unknown(value: dict[str, Any]) -> str:
    has = f"has the keys {strict_json.listed_keys(value)}" if value else "is an empty object"
    return f"{has}; write instruction and output, messages, prompt and completion, or text"


_READERS: Final[Mapping[RowFormat, Callable[[dict[str, Any]], Content]]] = {
    RowFormat.ALPACA: _alpaca,
    RowFormat.MESSAGES: _messages,
    RowFormat.PROMPT_COMPLETION: _prompt_completion,
    RowFormat.TEXT: _plain,
}

_MARKS: Final[Mapping[RowFormat, Iterable[str]]] = {
    RowFormat.ALPACA: ("instruction", "output", "expected"),
    RowFormat.MESSAGES: ("messages",),
    RowFormat.PROMPT_COMPLETION: ("prompt", "completion"),
    RowFormat.TEXT: ("text",),
}
