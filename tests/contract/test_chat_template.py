"""Our rendering and ids against transformers', over the chat templates of real models that come with TRL."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from finetune_trainer.data.chat_template import TODAY, ChatTemplate
from finetune_trainer.data.contents import Completion, Conversation, Message, RowError
from finetune_trainer.data.examples import build_example
from finetune_trainer.data.formats import understand
from finetune_trainer.data.tokenizer import TextTokenizer
from finetune_trainer.job_config import RowFormat
from tests.unit.trainer_data.builders import MERGES, write_tokenizer

SPECIAL: Final[Mapping[str, Any]] = {"bos_token": "<s>", "eos_token": "</s>"}

CONVERSATIONS: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "one-answer": (("user", " the sky?\n"), ("assistant", "blue\n")),
    "system": (("system", "be brief"), ("user", "the sky?"), ("assistant", '{"is": "blue"}')),
    "two-answers": (("user", "the sky?"), ("assistant", "blue"), ("user", "and the rose?"), ("assistant", "red")),
}


def template_folder() -> Path:
    spec = importlib.util.find_spec("trl")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "chat_templates"


TEMPLATES: Final = sorted(template_folder().glob("*.jinja"))


def dicts(conversation: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in conversation]


def messages(conversation: Sequence[tuple[str, str]]) -> tuple[Message, ...]:
    return tuple(Message(role, content) for role, content in conversation)  # type: ignore[arg-type]  # literals above


def theirs(source: str, conversation: Sequence[tuple[str, str]], *, ask: bool) -> str | None:
    """What transformers makes of a conversation; None where the template refuses it."""
    try:
        rendered = chat_template_utils.render_jinja_template(
            [dicts(conversation)], chat_template=source, add_generation_prompt=ask, **SPECIAL
        )
    except (TemplateError, TypeError, ValueError):
        return None
    return str(rendered[0][0])


def ours(template: ChatTemplate, conversation: Sequence[tuple[str, str]], *, ask: bool) -> str | None:
    """The same by our own environment."""
    try:
        return template.render(messages(conversation), ask=ask)
    except RowError:
        return None


class _Noon(type(TODAY)):  # type: ignore[misc]  # the class of a constant
    """A clock that stands still, so that templates with a date in them can be compared."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        """The day that our templates are told."""
        del tz
        return TODAY


def test_there_are_templates_to_compare() -> None:
    assert len(TEMPLATES) > 40
    assert any("{% generation %}" in t.read_text(encoding="utf-8") for t in TEMPLATES)
    assert any("strftime_now" in t.read_text(encoding="utf-8") for t in TEMPLATES)


RARE: Final = {
    "what-is-none-is-defined": "{% if tools is none and documents is none and x is not defined %}none{% endif %}",
    "tojson": "{{ {'b': '<\u00e9>', 'a': [messages[0].content]} | tojson }}{{ [1] | tojson(indent=2) }}",
    "white-space": "  {% for m in messages %}\n  {{ m.role }}\n  {% endfor %}\n ",
    "scope-of-a-generation": "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}",
}
"""What the templates at hand hardly use."""

SOURCES: Final = {t.stem: t.read_text(encoding="utf-8") for t in TEMPLATES} | RARE


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_conversation_is_rendered_as_transformers_renders_it(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template_utils, "datetime", _Noon)
    template = ChatTemplate(source, SPECIAL)
    for name, conversation in CONVERSATIONS.items():
        for ask, turns in ((False, conversation), (True, conversation[:-1])):
            assert ours(template, turns, ask=ask) == theirs(source, turns, ask=ask), name


TEACHABLE: Final = {
    "qwen2_5": "<|im_end|>",
    "qwen3": "<|im_end|>",
    "qwen3_instruct_2507": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "llama3_1": "<|eot_id|>",
    "gemma3": "<end_of_turn>",
    "phi3": "<|end|>",
    "lfm2": "<|im_end|>",
}
"""Templates with the token that ends an answer in them."""


@pytest.mark.parametrize(("name", "stop"), TEACHABLE.items(), ids=TEACHABLE)
def test_ids_are_those_that_transformers_gives(tmp_path: Path, name: str, stop: str) -> None:
    special = ["<s>", "</s>", "<|im_start|>", "<|start_header_id|>", "<|end_header_id|>", "<start_of_turn>", "<|user|>"]
    write_tokenizer(
        tmp_path,
        template=(template_folder() / f"{name}.jinja").read_text(encoding="utf-8"),
        config={"bos_token": "<s>", "eos_token": stop, "tokenizer_class": "PreTrainedTokenizerFast"},
        special=[*special, "<|assistant|>", stop],
        # two line ends stay two tokens, since this vocabulary would join them or not by what follows
        merges=MERGES[1:],
    )
    own = TextTokenizer.load(tmp_path)
    other = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    for label, conversation in CONVERSATIONS.items():
        # qwen3 takes its thoughts out of earlier answers: the last alone can be learnt
        example = build_example(Conversation(messages(conversation), len(conversation) - 1), own, "f", 1)
        whole = other.apply_chat_template(dicts(conversation), return_dict=False)
        asked = other.apply_chat_template(dicts(conversation[:-1]), add_generation_prompt=True, return_dict=False)
        assert list(example.input_ids) == whole[: len(example.input_ids)], label
        assert stop not in other.decode(whole[len(example.input_ids) :]).removeprefix("\n").removesuffix(stop), label
        assert list(example.prompt_ids[: len(asked)]) == asked, label
        opening = other.decode(example.prompt_ids[len(asked) :])
        assert opening == ("<think>\n\n</think>\n\n" if name == "qwen3" else ""), label


def test_a_plain_text_begins_as_transformers_begins_it(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, template=None, config={"eos_token": "</s>"}, start="<s>")
    example = build_example(Completion("the sky is", " blue"), TextTokenizer.load(tmp_path), "f", 1)
    other = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert list(example.prompt_ids) == other("the sky is")["input_ids"]
    assert list(example.input_ids[:-1]) == other("the sky is blue")["input_ids"]


WITH_TOOLS: Final[Sequence[Mapping[str, Any]]] = (
    {"role": "user", "content": "the sky?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": {"name": "look", "arguments": {"at": "sky"}}}],
    },
    {"role": "tool", "name": "look", "content": "blue"},
    {"role": "assistant", "content": "it's blue"},
)

TOOLS: Final = (
    {
        "type": "function",
        "function": {
            "name": "look",
            "description": "looks",
            "parameters": {"type": "object", "properties": {"at": {"type": "string", "description": "what"}}},
        },
    },
)


@pytest.mark.parametrize("source", [t.read_text(encoding="utf-8") for t in TEMPLATES], ids=[t.stem for t in TEMPLATES])
def test_tools_are_rendered_as_transformers_renders_them(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template_utils, "datetime", _Noon)
    content = understand({"messages": list(WITH_TOOLS), "tools": list(TOOLS)}, RowFormat.MESSAGES)
    assert isinstance(content, Conversation)
    try:
        rendered = ChatTemplate(source, SPECIAL).render(content.messages, ask=False, tools=content.tools)
    except RowError:
        rendered = None
    try:
        theirs = chat_template_utils.render_jinja_template(
            [[dict(m) for m in WITH_TOOLS]],
            tools=list(TOOLS),
            chat_template=source,
            add_generation_prompt=False,
            **SPECIAL,
        )[0][0]
    except (TemplateError, TypeError, ValueError):
        theirs = None
    assert rendered == theirs
