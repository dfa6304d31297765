"""Rows with tools as ids: calls are learnt as the template writes them."""

from pathlib import Path
from typing import Final

import pytest

from finetune_trainer.data.contents import Conversation, Message, RowError, ToolCall
from finetune_trainer.data.examples import build_example
from finetune_trainer.data.tokenizer import TextTokenizer
from tests.unit.trainer_data.builders import CHATML, learnt_text, text_of, write_tokenizer

CALLING: Final = "{% if tools %}<|im_start|>tools\n{{ tools | tojson }}<|im_end|>\n{% endif %}" + CHATML.replace(
    "{{ m['content'] }}",
    "{{ m['content'] }}{% if m.tool_calls %}{% for c in m.tool_calls %}"
    "<call>{{ c.function.name }} {{ c.function.arguments | tojson }}</call>{% endfor %}{% endif %}",
)
"""ChatML with tools and calls."""

TOOL: Final = {"type": "function", "function": {"name": "weather", "parameters": {}}}
ASK: Final = Message("user", "Rome?")
CALL: Final = Message("assistant", "", (ToolCall("weather", {"city": "Rome"}),))
RESULT: Final = Message("tool", "sunny", (), "weather")
ANSWER: Final = Message("assistant", "It is sunny.")


def loaded(folder: Path, template: str | None) -> TextTokenizer:
    return TextTokenizer.load(write_tokenizer(folder, template=template))


def test_calls_and_answers_are_learnt_and_results_are_not(tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path, CALLING)
    example = build_example(Conversation((ASK, CALL, RESULT, ANSWER), 0, (TOOL,)), tokenizer, "f", 1)
    assert learnt_text(tokenizer, example) == ('<call>weather {"city": "Rome"}</call><|im_end|>It is sunny.<|im_end|>')
    assert '<|im_start|>tools\n[{"type": "function"' in text_of(tokenizer, example.prompt_ids)
    assert text_of(tokenizer, example.prompt_ids).endswith("sunny<|im_end|>\n<|im_start|>assistant\n")
    assert (example.prompt, example.reference) == ("Rome?", "It is sunny.")


def test_a_call_at_the_end_is_the_reference_as_the_template_writes_it(tmp_path: Path) -> None:
    example = build_example(Conversation((ASK, CALL), 0, (TOOL,)), loaded(tmp_path, CALLING), "f", 1)
    assert example.reference == '<call>weather {"city": "Rome"}</call>'


STOPPING: Final = Message("assistant", "", (ToolCall("weather", {"city": "<|im_end|>"}),))


@pytest.mark.parametrize(
    ("template", "conversation", "sentence"),
    [
        pytest.param(
            CHATML,
            Conversation((ASK, ANSWER), 0, (TOOL,)),
            "has tools, which the model's chat template leaves out",
            id="t",
        ),
        pytest.param(CHATML, Conversation((ASK, CALL), 0), "the model's chat template leaves tool call", id="calls"),
        pytest.param(None, Conversation((ASK, CALL), 0), "has tools, and the model has no chat template", id="none"),
        pytest.param(CALLING, Conversation((ASK, STOPPING), 0), "the answer holds <|im_end|>, with which", id="stop"),
    ],
)
def test_tools_that_can_not_be_learnt_are_told(
    tmp_path: Path, template: str | None, conversation: Conversation, sentence: str
) -> None:
    with pytest.raises(RowError) as e:
        build_example(conversation, loaded(tmp_path, template), "f", 1)
    assert str(e.value).startswith(sentence)
