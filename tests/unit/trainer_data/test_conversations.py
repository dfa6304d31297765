"""Turns with tools, and ShareGPT's: what they say, and what is wrong with them."""

import json
from typing import Any, Final

import pytest

from finetune_trainer.data.contents import (
    Completion,
    Conversation,
    Message,
    Preference,
    RowError,
    ToolCall,
    Unpaired,
    answer_of,
    input_of,
    prompt_of,
)
from finetune_trainer.data.formats import format_of, understand
from finetune_trainer.job_config import RowFormat
from tests.unit.trainer_data.test_formats import A, S, U, turns

TOOL: Final = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL: Final = {"type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
CALLING: Final = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT: Final = {"role": "tool", "name": "weather", "content": "sunny"}
H: Final = {"from": "human", "value": "q"}
G: Final = {"from": "gpt", "value": "a"}


def test_messages_may_call_tools() -> None:
    content = understand({"messages": [U, CALLING, RESULT, A], "tools": [TOOL]}, RowFormat.MESSAGES)
    assert content == Conversation(
        (
            Message("user", "q"),
            Message("assistant", "", (ToolCall("weather", {"city": "Rome"}),)),
            Message("tool", "sunny", (), "weather"),
            Message("assistant", "a"),
        ),
        0,
        (TOOL,),
    )
    assert isinstance(content, Conversation)
    asked = 'user: q\nassistant: [{"name": "weather", "arguments": {"city": "Rome"}}]\ntool: sunny\ntools: '
    assert input_of(content) == asked + json.dumps([TOOL])
    assert (prompt_of(content), answer_of(content)) == ("q", "a")


def test_a_call_may_be_the_answer() -> None:
    content = understand({"messages": [U, CALLING], "tools": json.dumps([TOOL])}, RowFormat.MESSAGES)
    assert isinstance(content, Conversation)
    assert answer_of(content) == '[{"name": "weather", "arguments": {"city": "Rome"}}]'
    assert content.tools == (TOOL,)


@pytest.mark.parametrize(
    ("row", "content"),
    [
        pytest.param({"conversations": [H, G]}, turns(("user", "q"), ("assistant", "a")), id="human-and-gpt"),
        pytest.param({"messages": [H, G]}, turns(("user", "q"), ("assistant", "a")), id="under-messages"),
        pytest.param(
            {"conversations": [{"from": "system", "value": "s"}, H, G, H, G]},
            turns(("system", "s"), ("user", "q"), ("assistant", "a"), ("user", "q"), ("assistant", "a")),
            id="system",
        ),
        pytest.param(
            {"conversations": [H, G], "system": "s"},
            turns(("system", "s"), ("user", "q"), ("assistant", "a")),
            id="system-beside",
        ),
        pytest.param(
            {
                "conversations": [
                    H,
                    {"from": "function_call", "value": '{"name": "f", "arguments": {}}'},
                    {"from": "observation", "value": "1"},
                    G,
                ]
            },
            Conversation(
                (
                    Message("user", "q"),
                    Message("assistant", "", (ToolCall("f", {}),)),
                    Message("tool", "1"),
                    Message("assistant", "a"),
                ),
                0,
            ),
            id="calls",
        ),
    ],
)
def test_sharegpt_is_understood(row: dict[str, Any], content: Conversation) -> None:
    assert format_of(row) is RowFormat.SHAREGPT
    assert understand(row, RowFormat.SHAREGPT) == content


def test_roles_under_conversations_are_messages() -> None:
    row = {"conversations": [U, A]}
    assert format_of(row) is RowFormat.MESSAGES
    assert understand(row, RowFormat.MESSAGES) == turns(("user", "q"), ("assistant", "a"))


M, G_, P, K = RowFormat.MESSAGES, RowFormat.SHAREGPT, RowFormat.PREFERENCE, RowFormat.UNPAIRED


@pytest.mark.parametrize(
    ("row", "row_format", "sentence"),
    [
        pytest.param({"messages": [U, A], "tools": 3}, M, "tools is a number; write a list of JSON sch", id="tools"),
        pytest.param({"messages": [U, A], "tools": "[{"}, M, "tools is not JSON: ", id="tools-no-json"),
        pytest.param({"messages": [U, A], "tools": [{"type": "x"}]}, M, "tools[0] has no name; ", id="tool-no-name"),
        pytest.param(
            {"messages": [U | {"tool_calls": [CALL]}, A]},
            M,
            "messages[0].tool_calls are of the user; only the assistant calls tools",
            id="user-calls",
        ),
        pytest.param(
            {"messages": [U, A | {"tool_calls": [{}]}]},
            M,
            "messages[1].tool_calls[0] names no function; ",
            id="call-without-name",
        ),
        pytest.param(
            {"messages": [U, A | {"tool_calls": [{"name": "f", "arguments": "{"}]}]},
            M,
            "messages[1].tool_calls[0].arguments is not JSON: ",
            id="arguments-no-json",
        ),
        pytest.param(
            {"messages": [U, A | {"tool_calls": [{"name": "f", "arguments": [1]}]}]},
            M,
            "messages[1].tool_calls[0].arguments is a list; write an object",
            id="arguments-no-object",
        ),
        pytest.param(
            {"messages": [U, RESULT, A]},
            M,
            "turn 2 is of the tool where the assistant's belongs; let them alternate",
            id="result-without-call",
        ),
        pytest.param(
            {"messages": [U, CALLING, U, A]},
            M,
            "turn 3 is of the user where a tool's result belongs; write it with the role tool",
            id="call-without-result",
        ),
        pytest.param(
            {"messages": [U, CALLING, RESULT]},
            M,
            "ends without an answer of the assistant; the last turn has to be one",
            id="ends-with-a-result",
        ),
        pytest.param({"conversations": {}}, G_, "conversations is an object; write a list of ", id="no-list"),
        pytest.param({"conversations": []}, G_, "conversations is empty; write a turn", id="no-turn"),
        pytest.param(
            {"conversations": [{"from": "bot", "value": "q"}, G]},
            G_,
            'conversations[0].from is "bot"; write one of system, human, user, gpt',
            id="unknown-speaker",
        ),
        pytest.param({"conversations": [{"from": "human"}, G]}, G_, "conversations[0].value is missing; ", id="value"),
        pytest.param({"conversations": [H, "a"]}, G_, "conversations[1] is a string; write {", id="turn-is-a-string"),
        pytest.param(
            {"conversations": [{"from": "system", "value": "s"}, H, G], "system": "t"},
            G_,
            "has system beside conversations[0], which is one, too; keep one of them",
            id="two-systems",
        ),
        pytest.param({"chosen": "a", "prompt": "q"}, P, "rejected is missing; ", id="no-rejected"),
        pytest.param({"chosen": "a", "rejected": "b"}, P, "prompt is missing; ", id="no-prompt"),
        pytest.param({"prompt": "q", "chosen": "a", "rejected": "a"}, P, "chosen and rejected are the same", id="same"),
        pytest.param({"prompt": "q", "chosen": [A], "rejected": "b"}, P, "has a list and a string", id="list-string"),
        pytest.param({"prompt": [U], "chosen": "a", "rejected": "b"}, P, "has a list as prompt and", id="list-prompt"),
        pytest.param(
            {"chosen": [A], "rejected": [A]}, P, "chosen begins with an answer and there is", id="no-prompt-2"
        ),
        pytest.param({"prompt": 3, "chosen": [A], "rejected": [A]}, P, "prompt is a number; ", id="number-prompt"),
        pytest.param(
            {"chosen": [U, A], "rejected": [{"role": "user", "content": "other"}, A]},
            P,
            "chosen and rejected answer different conversations; only their last turns may differ",
            id="different-prompts",
        ),
        pytest.param({"prompt": "q", "completion": "a"}, K, "label is missing; write true for", id="no-label"),
        pytest.param(
            {"prompt": "q", "completion": "a", "label": "yes"}, K, "label is a string; write true", id="label"
        ),
    ],
)
def test_what_is_malformed_is_told(row: dict[str, Any], row_format: RowFormat, sentence: str) -> None:
    with pytest.raises(RowError) as e:
        understand(row, row_format)
    assert str(e.value).startswith(sentence)


B: Final = {"role": "assistant", "content": "b"}


@pytest.mark.parametrize(
    ("row", "chosen", "rejected"),
    [
        pytest.param(
            {"prompt": "q", "chosen": "a", "rejected": "b"}, Completion("q", "a"), Completion("q", "b"), id="strings"
        ),
        pytest.param(
            {"prompt": [S, U], "chosen": [A], "rejected": [B]},
            turns(("system", "s"), ("user", "q"), ("assistant", "a"), learnt_from=2),
            turns(("system", "s"), ("user", "q"), ("assistant", "b"), learnt_from=2),
            id="messages",
        ),
        pytest.param(
            {"chosen": [U, A], "rejected": [U, B]},
            turns(("user", "q"), ("assistant", "a"), learnt_from=1),
            turns(("user", "q"), ("assistant", "b"), learnt_from=1),
            id="whole-conversations",
        ),
        pytest.param(
            {"prompt": "q", "chosen": [A], "rejected": [B]},
            turns(("user", "q"), ("assistant", "a"), learnt_from=1),
            turns(("user", "q"), ("assistant", "b"), learnt_from=1),
            id="prompt-and-answers",
        ),
    ],
)
def test_preferences_are_understood(row: dict[str, Any], chosen: Any, rejected: Any) -> None:
    assert format_of(row) is P
    assert understand(row, P) == Preference(chosen, rejected)


@pytest.mark.parametrize("wanted", [True, False])
def test_unpaired_answers_are_understood(*, wanted: bool) -> None:
    row = {"prompt": "q", "completion": "a", "label": wanted}
    assert format_of(row) is K
    assert understand(row, K) == Unpaired(Completion("q", "a"), wanted)
