"""What a chat template makes of each answer of a conversation, and what comes before it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from finetune_trainer.data.chat_template import ChatTemplate
from finetune_trainer.data.contents import Conversation, Message, RowError, calls_text

SHOWN: Final = 40
"""Characters of a template's text that a sentence shows."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer; the turns' texts together are the conversation's up to the last stop token."""

    before: str
    """Since the answer before it, up to where the model is asked to go on."""
    opening: str
    """What the template puts before an answer without thoughts, such as Qwen3's empty block of them. It is learnt with
    the answer, and given in evaluation: a base model that thinks is then asked for its answer, as the tuned one is."""
    answer: str
    """With its stop token."""


def turns(conversation: Conversation, template: ChatTemplate, stops: Sequence[str]) -> Iterator[Turn]:
    """The answers to learn, in order.

    Raises:
        RowError: the template can't take the row, or lays answers out in a way that can't be learnt.
    """
    messages, tools = conversation.messages, conversation.tools
    if tools and template.render(messages, ask=False, tools=tools) == template.render(messages, ask=False):
        raise RowError("has tools, which the model's chat template leaves out; take a model that is asked to call them")
    done = ""
    for index in range(conversation.learnt_from, len(messages)):
        if messages[index].role != "assistant":
            continue
        asked = template.render(messages[:index], ask=True, tools=tools)
        answered = template.render(messages[: index + 1], ask=False, tools=tools)
        if not asked.startswith(done):
            raise RowError(
                "the model's chat template changes an answer once another turn follows, so that they can't be learnt "
                "together; write a row for each answer, with prompt and completion as lists of messages"
            )
        if not answered.startswith(asked):
            kept = next((i for i, (a, b) in enumerate(zip(asked, answered, strict=False)) if a != b), len(answered))
            lost = asked[kept:][:SHOWN]
            raise RowError(
                f"the model's chat template begins an answer with {lost!r} when it asks for one and leaves it out "
                "afterwards, as for models that think first; take a model that doesn't for answers like this one"
            )
        text = answered[len(asked) :]
        opening, answer = _cut_calls(text, messages[index], stops) or _cut(text, messages[index].content, stops)
        yield Turn(asked[len(done) :], opening, answer)
        done = asked + opening + answer


def refuse_stop(answer: str, stops: Sequence[str]) -> None:
    """Hold an answer against the stop tokens, which in the middle of it would teach the model to end there.

    Raises:
        RowError: it holds one.
    """
    for stop in stops:
        if stop in answer:
            raise RowError(f"the answer holds {stop}, with which the model ends its answers; take it out")


def _cut_calls(text: str, message: Message, stops: Sequence[str]) -> tuple[str, str] | None:
    """All of an answer that calls tools, up to its stop token: how calls are written is the template's own way."""
    if not message.tool_calls:
        return None
    refuse_stop(f"{message.content}{calls_text(message)}", stops)
    first, stop = _end(text, stops)
    if any(call.name not in text[:first] for call in message.tool_calls):
        raise RowError("the model's chat template leaves tool calls out; take a model that calls tools")
    return "", text[: first + len(stop)]


def _cut(text: str, content: str, stops: Sequence[str]) -> tuple[str, str]:
    """What stands before the content, and the content with its stop token.

    What follows the stop token, a line's end in ChatML, is never generated and so not learnt.
    """
    refuse_stop(content, stops)
    first, stop = _end(text, stops)
    begin = text.rfind(content, 0, first)
    if begin < 0:
        begin = text.rfind(content.strip(), 0, first)
    if begin < 0 and _letters(content) not in _letters(text[:first]):
        raise RowError("the model's chat template leaves the answer out: it isn't one for plain text")
    # white space alone is no opening: many tokenizers join it with the answer's first word
    begin = begin if begin > 0 and text[:begin].strip() else 0
    return text[:begin], text[begin : first + len(stop)]


def _end(text: str, stops: Sequence[str]) -> tuple[int, str]:
    """Where the first stop token is, and which."""
    ends = {position: stop for stop in stops if (position := text.find(stop)) >= 0}
    if not ends:
        raise RowError(
            f"the model's chat template ends an answer with {text[-SHOWN:]!r}, without a stop token "
            f"({', '.join(stops)}): the tuned model would never stop; add the id of the template's own end mark to "
            "eos_token_id in the model's generation_config.json"
        )
    first = min(ends)
    return first, ends[first]


def _letters(text: str) -> str:
    # templates move white space about
    return "".join(text.split())
