"""What rows say, whatever their format: conversations, prompts with completions, texts, answers that are judged."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]


class RowError(ValueError):
    """What is wrong with one row: the rest of a sentence that begins with its file and line."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that an answer calls."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn."""

    role: Role
    content: str
    """Empty only where tools are called instead."""
    tool_calls: tuple[ToolCall, ...] = ()
    name: str | None = None
    """Of a tool's turn: which tool it is the result of, where the row says so."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns that end with the answer to learn; the model's chat template lays them out."""

    messages: tuple[Message, ...]
    learnt_from: int
    """Index of the first message whose answers are learnt; 0: every assistant turn."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """JSON schemas of the functions that answers may call."""


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
"""What supervised fine-tuning learns from."""


@dataclass(frozen=True, slots=True)
class Preference:
    """Two answers to one prompt."""

    chosen: Conversation | Completion
    rejected: Conversation | Completion


@dataclass(frozen=True, slots=True)
class Unpaired:
    """One answer that is wanted or not."""

    answer: Conversation | Completion
    wanted: bool


Judged = Preference | Unpaired
"""What preference objectives learn from, and SFT doesn't."""


def learnable(content: Content | Judged) -> Content:
    """The content itself; of judged answers the one that is chosen or judged."""
    match content:
        case Preference(chosen):
            return chosen
        case Unpaired(answer):
            return answer
        case _:
            return content


def every_answer(content: Content | Judged) -> tuple[Content, ...]:
    """The content; of a preference that with the chosen answer, then that with the rejected one."""
    return (content.chosen, content.rejected) if isinstance(content, Preference) else (learnable(content),)


def input_of(content: Content) -> str:
    """What the answer is an answer to: everything before it."""
    match content:
        case Conversation(messages, _, tools):
            before = "\n".join(f"{m.role}: {_said(m)}" for m in messages[:-1])
            return f"{before}\ntools: {_json(list(tools))}" if tools else before
        case Completion(prompt):
            return prompt
        case PlainText(text):
            return text


def answer_of(content: Content) -> str:
    """The last answer, tool calls as JSON; empty for plain text, which has none."""
    match content:
        case Conversation(messages):
            return _said(messages[-1])
        case Completion(_, completion):
            return completion
        case PlainText():
            return ""


def prompt_of(content: Content) -> str:
    """What a person would recognise the row by: the last question, as it was written."""
    match content:
        case Conversation(messages):
            return next((m.content for m in reversed(messages) if m.role == "user"), "")
        case Completion(prompt):
            return prompt
        case PlainText():
            return ""


def calls_text(message: Message) -> str:
    """Its tool calls as JSON."""
    return _json([{"name": call.name, "arguments": call.arguments} for call in message.tool_calls])


def _said(message: Message) -> str:
    if not message.tool_calls:
        return message.content
    return f"{message.content}\n{calls_text(message)}" if message.content else calls_text(message)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
