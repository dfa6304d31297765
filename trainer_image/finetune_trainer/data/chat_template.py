"""The model's chat template: conversations as the text that transformers makes of them. No torch here."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from finetune_trainer.data.contents import Message, RowError

TODAY: Final = datetime(2024, 7, 26, tzinfo=UTC)
"""What a template is told when it asks for the date, which Llama's put into every conversation: always the same day, so
that a run that goes on after midnight finds the rows that it began with. Llama's templates fall back to this one."""


class ChatTemplate:
    """One template, compiled once."""

    def __init__(self, source: str, special: Mapping[str, str]) -> None:
        """Compile.

        Raises:
            TemplateError: the source isn't Jinja.
        """
        self._special = dict(special)
        self._template = _environment().from_string(source)

    def render(self, messages: Sequence[Message], *, ask: bool, tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """The conversation as text; with `ask`, up to where the next answer begins.

        Raises:
            RowError: the template refuses this conversation.
        """
        try:
            return self._template.render(
                messages=[_as_templates_have_it(m) for m in messages],
                # templates tell apart what is None and what is not defined
                tools=list(tools) or None,
                documents=None,
                add_generation_prompt=ask,
                **self._special,
            )
        # Jinja passes on what the template's own expressions raise
        except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as e:
            raise RowError(f"the model's chat template refuses this conversation: {e}") from e


class _GenerationBlock(Extension):
    """Lets `{% generation %}` through, which marks answers for trainers that learn them by the template."""

    tags = {"generation"}  # noqa: RUF012  Jinja declares it as a set of the instance

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def _as_templates_have_it(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    # templates ask whether the key is there
    if message.tool_calls:
        turn["tool_calls"] = [
            {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.name is not None:
        turn["name"] = message.name
    return turn


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, loopcontrols]
    )
    # Jinja's own filter escapes for HTML
    environment.filters["tojson"] = partial(json.dumps, ensure_ascii=False)
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = TODAY.strftime
    return environment


def _refuse(message: str) -> None:
    raise TemplateError(message)
