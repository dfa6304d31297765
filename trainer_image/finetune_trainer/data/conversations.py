"""Turns of conversations, in the two ways in which they are written: role and content, from and value."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from finetune_trainer.data import strict_json
from finetune_trainer.data.contents import Conversation, Message, Role, RowError, ToolCall

SPEAKERS: Final[Mapping[str, Role]] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "tool": "tool",
}
"""Who speaks in ShareGPT's rows, by our roles."""

CALLS: Final = frozenset({"function_call", "tool_call"})
"""Of these the values that are tool calls, as JSON."""

_ROLES: Final[Mapping[str, Role]] = {"system": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_FOLLOWS: Final[Mapping[str, str]] = {"user": "assistant", "tool": "assistant", "assistant": "user"}


def read_messages(value: Mapping[str, Any], key: str) -> Conversation:
    """The conversation under a key, with the row's tools.

    Raises:
        RowError: a turn is malformed or out of order.
    """
    messages = read_turns(value[key], key)
    check_order(messages)
    return Conversation(messages, 0, read_tools(value.get("tools")))


def read_sharegpt(value: Mapping[str, Any], key: str) -> Conversation:
    """The conversation of a ShareGPT row; a system prompt may stand beside it.

    Raises:
        RowError: a turn is malformed or out of order.
    """
    written = _as_list(value[key], key, '{"from": …, "value": …}')
    messages = tuple(_spoken(turn, f"{key}[{i}]") for i, turn in enumerate(written))
    system = value.get("system")
    if system is not None and system != "":
        if messages[0].role == "system":
            raise RowError(f"has system beside {key}[0], which is one, too; keep one of them")
        messages = (Message("system", checked_text(system, "system")), *messages)
    check_order(messages)
    return Conversation(messages, 0, read_tools(value.get("tools")))


def read_turns(value: Any, key: str) -> tuple[Message, ...]:
    """Turns of role and content.

    Raises:
        RowError: one is malformed.
    """
    written = _as_list(value, key, '{"role": …, "content": …}')
    return tuple(_turn(turn, f"{key}[{i}]") for i, turn in enumerate(written))


def read_tools(value: Any) -> tuple[Mapping[str, Any], ...]:
    """The row's tools: a list of JSON schemas, or a string that holds one.

    Raises:
        RowError: they are anything else.
    """
    if value is None or value in ("", []):
        return ()
    tools = _from_json(value, "tools")
    if not isinstance(tools, list) or not all(isinstance(t, dict) for t in tools):
        raise RowError(f"tools is {strict_json.kind(value)}; write a list of JSON schemas of functions")
    for i, tool in enumerate(tools):
        function = tool.get("function", tool)
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise RowError(f"tools[{i}] has no name; write the JSON schema of a function")
    return tuple(tools)


def check_order(messages: Sequence[Message]) -> None:
    """Hold turns against the order in which they can be learnt: the user's and the assistant's, tools' between.

    Raises:
        RowError: one is where another belongs, or the last isn't the assistant's.
    """
    begin = 1 if messages[0].role == "system" else 0
    expected, last = "user", None
    for place, message in enumerate(messages[begin:], start=begin + 1):
        fits = message.role == expected or (message.role == "tool" and last is not None and _awaits(last))
        if last is not None and last.tool_calls and message.role == "user":
            raise RowError(f"turn {place} is of the user where a tool's result belongs; write it with the role tool")
        if not fits:
            raise RowError(f"turn {place} is of the {message.role} where the {expected}'s belongs; let them alternate")
        expected, last = _FOLLOWS[message.role], message
    if last is None or last.role != "assistant":
        raise RowError("ends without an answer of the assistant; the last turn has to be one")


def checked_text(text: Any, name: str) -> str:
    """A string with something in it.

    Raises:
        RowError: it is another value, or blank.
    """
    if isinstance(text, dict | list):
        raise RowError(f"{name} is {strict_json.kind(text)}; write it as a string that holds the JSON")
    if not isinstance(text, str):
        raise RowError(f"{name} is {strict_json.kind(text)}; write it as a string")
    if not text.strip():
        raise RowError(f"{name} is empty; write it or remove the row")
    return text


def _awaits(message: Message) -> bool:
    """Whether a tool's result may follow."""
    return message.role == "tool" or bool(message.tool_calls)


def _as_list(value: Any, key: str, shape: str) -> list[Any]:
    if not isinstance(value, list):
        raise RowError(f"{key} is {strict_json.kind(value)}; write a list of {shape}")
    if not value:
        raise RowError(f"{key} is empty; write a turn of the user and one of the assistant")
    return value


def _turn(value: Any, name: str) -> Message:
    if not isinstance(value, dict):
        raise RowError(f'{name} is {strict_json.kind(value)}; write {{"role": …, "content": …}}')
    written = value.get("role")
    role = _ROLES.get(written) if isinstance(written, str) else None
    if role is None:
        raise RowError(f"{name}.role is {_shown(written)}; write system, user, assistant or tool")
    calls = value.get("tool_calls")
    if calls:
        if role != "assistant":
            raise RowError(f"{name}.tool_calls are of the {role}; only the assistant calls tools")
        content = value.get("content")
        text = "" if content is None or content == "" else checked_text(content, f"{name}.content")
        return Message(role, text, _calls(calls, f"{name}.tool_calls"))
    if "content" not in value:
        raise RowError(f"{name}.content is missing; write it as a string")
    tool = value.get("name") if role == "tool" else None
    return Message(role, checked_text(value["content"], f"{name}.content"), (), tool if isinstance(tool, str) else None)


def _spoken(value: Any, name: str) -> Message:
    if not isinstance(value, dict):
        raise RowError(f'{name} is {strict_json.kind(value)}; write {{"from": …, "value": …}}')
    speaker = value.get("from")
    role = SPEAKERS.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise RowError(f"{name}.from is {_shown(speaker)}; write one of {', '.join(SPEAKERS)}")
    if "value" not in value:
        raise RowError(f"{name}.value is missing; write it as a string")
    text = checked_text(value["value"], f"{name}.value")
    if speaker in CALLS:
        return Message(role, "", _calls(text, f"{name}.value"))
    return Message(role, text)


def _calls(value: Any, name: str) -> tuple[ToolCall, ...]:
    calls = _from_json(value, name)
    listed = calls if isinstance(calls, list) else [calls]
    return tuple(_call(call, f"{name}[{i}]") for i, call in enumerate(listed))


def _call(value: Any, name: str) -> ToolCall:
    function = value.get("function", value) if isinstance(value, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RowError(f'{name} names no function; write {{"function": {{"name": …, "arguments": …}}}}')
    arguments = function.get("arguments")
    # some write no arguments as null or an empty string
    arguments = {} if arguments is None or arguments == "" else _from_json(arguments, f"{name}.arguments")
    if not isinstance(arguments, dict):
        raise RowError(f"{name}.arguments is {strict_json.kind(arguments)}; write an object")
    return ToolCall(function["name"], arguments)


def _from_json(value: Any, name: str) -> Any:
    """What a string holds as JSON; any other value is what it is."""
    if not isinstance(value, str):
        return value
    try:
        return strict_json.parse(value)
    except ValueError as e:
        raise RowError(f"{name} {e}") from e


def _shown(value: Any) -> str:
    return f'"{value[:40]}"' if isinstance(value, str) else strict_json.kind(value)
