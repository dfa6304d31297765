"""Rows of four formats: which it is, what it says, and what is wrong with it."""

from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_trainer.data.contents import (
    Completion,
    Content,
    Conversation,
    Message,
    PlainText,
    RowError,
    answer_of,
    input_of,
    learnable,
    prompt_of,
)
from finetune_trainer.data.formats import format_of, understand
from finetune_trainer.job_config import RowFormat

U: Final = {"role": "user", "content": "q"}
A: Final = {"role": "assistant", "content": "a"}
S: Final = {"role": "system", "content": "s"}
WRITE: Final = "write instruction and output, messages, conversations, prompt and completion, or text"


def turns(*messages: tuple[str, str], learnt_from: int = 0) -> Conversation:
    return Conversation(tuple(Message(role, text) for role, text in messages), learnt_from)  # type: ignore[arg-type] # roles are literals below


@pytest.mark.parametrize(
    ("row", "row_format", "content"),
    [
        pytest.param(
            {"instruction": "q", "output": "a"},
            RowFormat.ALPACA,
            turns(("user", "q"), ("assistant", "a")),
            id="alpaca",
        ),
        pytest.param(
            {"instruction": "q", "input": "more", "output": "a"},
            RowFormat.ALPACA,
            turns(("user", "q\n\nmore"), ("assistant", "a")),
            id="alpaca-input",
        ),
        pytest.param(
            {"instruction": "q", "input": None, "system": "s", "output": "a"},
            RowFormat.ALPACA,
            turns(("system", "s"), ("user", "q"), ("assistant", "a")),
            id="alpaca-system",
        ),
        pytest.param(
            {"instruction": "q", "input": " \n", "system": "", "expected": "a"},
            RowFormat.ALPACA,
            turns(("user", "q"), ("assistant", "a")),
            id="alpaca-expected-and-blank-input",
        ),
        pytest.param(
            {"messages": [S, U, A, U, A]},
            RowFormat.MESSAGES,
            turns(("system", "s"), ("user", "q"), ("assistant", "a"), ("user", "q"), ("assistant", "a")),
            id="messages",
        ),
        pytest.param(
            {"messages": [U, A], "id": 7}, RowFormat.MESSAGES, turns(("user", "q"), ("assistant", "a")), id="id"
        ),
        pytest.param(
            {"prompt": "q ", "completion": " a"}, RowFormat.PROMPT_COMPLETION, Completion("q ", " a"), id="strings"
        ),
        pytest.param(
            {"prompt": [U, A, U], "completion": [A]},
            RowFormat.PROMPT_COMPLETION,
            turns(("user", "q"), ("assistant", "a"), ("user", "q"), ("assistant", "a"), learnt_from=3),
            id="lists",
        ),
        pytest.param({"text": " t\n"}, RowFormat.TEXT, PlainText(" t\n"), id="text"),
        pytest.param(
            {"text": "t", "instruction": "q", "output": "a"},
            RowFormat.ALPACA,
            turns(("user", "q"), ("assistant", "a")),
            id="text-beside-alpaca",
        ),
    ],
)
def test_a_row_is_understood_in_its_format(row: dict[str, Any], row_format: RowFormat, content: Content) -> None:
    assert format_of(row) is row_format
    assert understand(row, row_format) == content


ALPACA, MESSAGES, PAIR, TEXT = RowFormat.ALPACA, RowFormat.MESSAGES, RowFormat.PROMPT_COMPLETION, RowFormat.TEXT
ALTERNATE: Final = "let them alternate"


@pytest.mark.parametrize(
    ("row", "row_format", "sentence"),
    [
        pytest.param({}, ALPACA, f"is an empty object; {WRITE}", id="empty-object"),
        pytest.param(
            {"question": "q", "answer": "a"}, ALPACA, f"has the keys answer, question; {WRITE}", id="unknown-keys"
        ),
        pytest.param(
            {f"k{i}": i for i in range(10)},
            TEXT,
            f"has the keys k0, k1, k2, k3, k4, k5, k6, k7 and 2 more; {WRITE}",
            id="many-unknown-keys",
        ),
        pytest.param(
            {"text": "t"},
            ALPACA,
            "is a row of the format Text in a file of the format Alpaca; write one format a file",
            id="other-format",
        ),
        pytest.param({"instruction": "q"}, ALPACA, "output is missing; write it as a string", id="no-output"),
        pytest.param({"output": "a"}, ALPACA, "instruction is missing; write it as a string", id="no-instruction"),
        pytest.param(
            {"instruction": "q", "output": ""}, ALPACA, "output is empty; write it or remove the row", id="empty-output"
        ),
        pytest.param(
            {"instruction": "q", "output": " \n"},
            ALPACA,
            "output is empty; write it or remove the row",
            id="blank-output",
        ),
        pytest.param(
            {"instruction": "q", "expected": ""},
            ALPACA,
            "expected is empty; write it or remove the row",
            id="empty-expected",
        ),
        pytest.param(
            {"instruction": "", "output": "a"},
            ALPACA,
            "instruction is empty; write it or remove the row",
            id="empty-question",
        ),
        pytest.param(
            {"instruction": "q", "output": None}, ALPACA, "output is null; write it as a string", id="null-output"
        ),
        pytest.param(
            {"instruction": "q", "output": 3}, ALPACA, "output is a number; write it as a string", id="number-output"
        ),
        pytest.param(
            {"instruction": "q", "output": {"priority": "high"}},
            ALPACA,
            "output is an object; write it as a string that holds the JSON",
            id="object-output",
        ),
        pytest.param(
            {"instruction": ["q"], "output": "a"},
            ALPACA,
            "instruction is a list; write it as a string that holds the JSON",
            id="list-instruction",
        ),
        pytest.param(
            {"instruction": "q", "input": 3, "output": "a"},
            ALPACA,
            "input is a number; write it as a string",
            id="input",
        ),
        pytest.param(
            {"instruction": "q", "system": True, "output": "a"},
            ALPACA,
            "system is a boolean; write it as a string",
            id="system",
        ),
        pytest.param(
            {"instruction": "q", "output": "a", "expected": "a"},
            ALPACA,
            "has both output and expected; keep one of them",
            id="output-and-expected",
        ),
        pytest.param(
            {"messages": "hi"},
            MESSAGES,
            'messages is a string; write a list of {"role": …, "content": …}',
            id="no-list",
        ),
        pytest.param(
            {"messages": None},
            MESSAGES,
            'messages is null; write a list of {"role": …, "content": …}',
            id="null-messages",
        ),
        pytest.param(
            {"messages": []},
            MESSAGES,
            "messages is empty; write a turn of the user and one of the assistant",
            id="no-turn",
        ),
        pytest.param(
            {"messages": [U, "a"]},
            MESSAGES,
            'messages[1] is a string; write {"role": …, "content": …}',
            id="turn-is-a-string",
        ),
        pytest.param(
            {"messages": [{"role": "human", "content": "q"}, A]},
            MESSAGES,
            'messages[0].role is "human"; write system, user, assistant or tool',
            id="unknown-role",
        ),
        pytest.param(
            {"messages": [{"content": "q"}, A]},
            MESSAGES,
            "messages[0].role is null; write system, user, assistant or tool",
            id="no-role",
        ),
        pytest.param(
            {"messages": [{"role": ["user"], "content": "q"}, A]},
            MESSAGES,
            "messages[0].role is a list; write system, user, assistant or tool",
            id="role-is-a-list",
        ),
        pytest.param(
            {"messages": [U, {"role": "assistant"}]},
            MESSAGES,
            "messages[1].content is missing; write it as a string",
            id="no-content",
        ),
        pytest.param(
            {"messages": [U, {"role": "assistant", "content": ""}]},
            MESSAGES,
            "messages[1].content is empty; write it or remove the row",
            id="empty-answer",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, A]},
            MESSAGES,
            "messages[0].content is a list; write it as a string that holds the JSON",
            id="content-in-parts",
        ),
        pytest.param(
            {"messages": [U, U, A]},
            MESSAGES,
            f"turn 2 is of the user where the assistant's belongs; {ALTERNATE}",
            id="two-users",
        ),
        pytest.param(
            {"messages": [S, A]},
            MESSAGES,
            f"turn 2 is of the assistant where the user's belongs; {ALTERNATE}",
            id="answer-first",
        ),
        pytest.param(
            {"messages": [U, A, S, U, A]},
            MESSAGES,
            f"turn 3 is of the system where the user's belongs; {ALTERNATE}",
            id="system-in-the-middle",
        ),
        pytest.param(
            {"messages": [U, A, U]},
            MESSAGES,
            "ends without an answer of the assistant; the last turn has to be one",
            id="ends-with-a-question",
        ),
        pytest.param(
            {"messages": [S]},
            MESSAGES,
            "ends without an answer of the assistant; the last turn has to be one",
            id="system-alone",
        ),
        pytest.param({"prompt": "q"}, PAIR, "completion is missing; write prompt and completion", id="no-completion"),
        pytest.param({"completion": "a"}, PAIR, "prompt is missing; write prompt and completion", id="no-prompt"),
        pytest.param(
            {"prompt": "q", "completion": "\t"},
            PAIR,
            "completion is empty; write it or remove the row",
            id="blank-completion",
        ),
        pytest.param(
            {"prompt": 1, "completion": "a"}, PAIR, "prompt is a number; write it as a string", id="number-prompt"
        ),
        pytest.param(
            {"prompt": [U], "completion": "a"},
            PAIR,
            "has a list and a string as prompt and completion; write both as strings or both as messages",
            id="list-and-string",
        ),
        pytest.param(
            {"prompt": [U, A], "completion": [U, A]},
            PAIR,
            "prompt ends with a turn of the assistant; end it with one of the user",
            id="prompt-ends-with-an-answer",
        ),
        pytest.param(
            {"prompt": [], "completion": [A]},
            PAIR,
            "prompt is empty; write a turn of the user and one of the assistant",
            id="empty-prompt-list",
        ),
        pytest.param(
            {"prompt": [U], "completion": [{"role": "assistant", "content": 3}]},
            PAIR,
            "completion[0].content is a number; write it as a string",
            id="completion-content",
        ),
        pytest.param({"text": ""}, TEXT, "text is empty; write it or remove the row", id="empty-text"),
        pytest.param({"text": 3.5}, TEXT, "text is a number; write it as a string", id="number-text"),
    ],
)
def test_a_malformed_row_is_told_with_what_to_write(row: dict[str, Any], row_format: RowFormat, sentence: str) -> None:
    with pytest.raises(RowError) as e:
        understand(row, row_format)
    assert str(e.value) == sentence


@pytest.mark.parametrize(
    ("content", "asked", "prompt", "answer"),
    [
        pytest.param(
            turns(("system", "s"), ("user", "q"), ("assistant", "a")), "system: s\nuser: q", "q", "a", id="conversation"
        ),
        pytest.param(
            turns(("user", "q"), ("assistant", "a"), ("user", "r"), ("assistant", "b")),
            "user: q\nassistant: a\nuser: r",
            "r",
            "b",
            id="turns",
        ),
        pytest.param(Completion("p", "c"), "p", "p", "c", id="completion"),
        pytest.param(PlainText("t"), "t", "", "", id="text"),
    ],
)
def test_a_content_has_an_input_a_prompt_and_an_answer(content: Content, asked: str, prompt: str, answer: str) -> None:
    assert (input_of(content), prompt_of(content), answer_of(content)) == (asked, prompt, answer)


KEYS = st.sampled_from(
    [
        "instruction",
        "input",
        "output",
        "expected",
        "system",
        "messages",
        "conversations",
        "from",
        "value",
        "tools",
        "tool_calls",
        "chosen",
        "rejected",
        "label",
        "prompt",
        "completion",
        "text",
        "role",
        "content",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["user", "assistant", "system"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4), st.sampled_from([f for f in RowFormat if f is not RowFormat.AUTO]))
def test_any_object_is_a_content_or_a_row_error(row: dict[str, Any], row_format: RowFormat) -> None:
    try:
        content = learnable(understand(row, row_format))
    except RowError:
        return
    assert isinstance(content, PlainText) or answer_of(content).strip()
    assert input_of(content).strip()
