"""Rows as token ids, with the answers marked. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from finetune_trainer.data.chat_template import ChatTemplate
from finetune_trainer.data.contents import (
    Completion,
    Content,
    Conversation,
    Judged,
    PlainText,
    Preference,
    RowError,
    Unpaired,
    answer_of,
    learnable,
    prompt_of,
)
from finetune_trainer.data.tokenizer import IdWriter, TextTokenizer
from finetune_trainer.data.turns import refuse_stop, turns

HEADINGS: Final = {"system": "### System", "user": "### Instruction", "assistant": "### Response"}
"""Layout of conversations for a model without a chat template, which the Alpaca data set made common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One row, ready to train or to evaluate on."""

    file: str
    line: int
    input_ids: tuple[int, ...]
    answer_mask: tuple[bool, ...]
    """As long as input_ids: True where the loss is."""
    prompt: str
    """What a person asked, without the template."""
    prompt_ids: tuple[int, ...]
    """Everything before the last answer; empty for plain text, which asks nothing."""
    reference: str
    """The last answer."""
    rejected_ids: tuple[int, ...] = ()
    """The whole row with the answer that isn't preferred; empty where there is one answer."""
    rejected_mask: tuple[bool, ...] = ()
    """As long as rejected_ids: True on its answer."""
    wanted: bool = True
    """False for an answer that is to be unlearnt."""

    @property
    def sequences(self) -> tuple[tuple[tuple[int, ...], tuple[bool, ...]], ...]:
        """Ids and mask of every answer: the one, or the chosen one and then the rejected."""
        first = (self.input_ids, self.answer_mask)
        return (first, (self.rejected_ids, self.rejected_mask)) if self.rejected_ids else (first,)


def build_example(content: Content, tokenizer: TextTokenizer, file: str, line: int) -> Example:
    """The row's ids: for a conversation those of the model's chat template, else of the text as it stands.

    Raises:
        RowError: an answer holds a stop token, or the chat template can't take the row.
    """
    template = tokenizer.chat if isinstance(content, Conversation) else None
    row = _Row(tokenizer, tokenizer.start_ids if template is None else ())
    match content:
        case Conversation() if template is not None:
            _write_templated(row, content, template)
        case Conversation():
            _write_headings(row, content)
        case Completion(prompt, completion):
            row.write(prompt, learnt=False)
            row.write_answer(completion)
        case PlainText(text):
            row.write_text(text)
    return Example(
        file=file,
        line=line,
        input_ids=tuple(row.ids),
        answer_mask=tuple(row.mask),
        prompt=prompt_of(content),
        prompt_ids=tuple(row.ids[: row.asked]),
        reference=_without_stop(row.called or answer_of(content), tokenizer.stop_texts),
    )


def build_judged(content: Content | Judged, tokenizer: TextTokenizer, file: str, line: int) -> Example:
    """The row's ids with what is said of its answers.

    Raises:
        RowError: as build_example, for either answer.
    """
    example = build_example(learnable(content), tokenizer, file, line)
    match content:
        case Preference(_, rejected):
            other = build_example(rejected, tokenizer, file, line)
            return replace(example, rejected_ids=other.input_ids, rejected_mask=other.answer_mask)
        case Unpaired(_, wanted):
            return replace(example, wanted=wanted)
        case _:
            return example


class _Row:
    """Ids and mask as they grow."""

    def __init__(self, tokenizer: TextTokenizer, start: Sequence[int]) -> None:
        self._writer = IdWriter(tokenizer, start)
        self.stops = tokenizer.stop_texts
        self.mask = [False] * len(start)
        self.asked = 0
        """Ids before the last answer."""
        self.called = ""
        """The last answer as the template writes it, where it calls tools."""

    @property
    def ids(self) -> list[int]:
        return self._writer.ids

    def ask(self) -> None:
        """An answer begins here."""
        self.asked = len(self.ids)

    def write(self, text: str, *, learnt: bool) -> None:
        self._writer.write(text)
        self._mark(learnt=learnt)

    def write_answer(self, answer: str, *, learnt: bool = True) -> None:
        """Write an answer and the stop token."""
        self.ask()
        text = _without_stop(answer, self.stops)
        refuse_stop(text, self.stops)
        self.write_text(text, learnt=learnt)

    def write_text(self, text: str, *, learnt: bool = True) -> None:
        """Write a text, in which documents may be parted by the stop token, and the stop token."""
        self._writer.write(_without_stop(text, self.stops))
        self._writer.stop()
        self._mark(learnt=learnt)

    def _mark(self, *, learnt: bool) -> None:
        self.mask += [learnt] * (len(self.ids) - len(self.mask))


def _write_templated(row: _Row, conversation: Conversation, template: ChatTemplate) -> None:
    last = ""
    for turn in turns(conversation, template, row.stops):
        row.write(turn.before, learnt=False)
        if turn.opening:
            row.write(turn.opening, learnt=True)
        row.ask()
        row.write(turn.answer, learnt=True)
        last = turn.answer
    if conversation.messages[-1].tool_calls:
        row.called = last


def _write_headings(row: _Row, conversation: Conversation) -> None:
    if conversation.tools or any(m.role == "tool" or m.tool_calls for m in conversation.messages):
        raise RowError("has tools, and the model has no chat template that could lay them out; take one that has")
    for index, message in enumerate(conversation.messages):
        row.write(f"{HEADINGS[message.role]}:\n", learnt=False)
        if message.role == "assistant":
            row.write_answer(message.content, learnt=index >= conversation.learnt_from)
        else:
            row.write(f"{message.content}\n\n", learnt=False)


def _without_stop(text: str, stops: Sequence[str]) -> str:
    # rows that were made for another trainer may have it written out
    return text.removesuffix(next((s for s in stops if text.endswith(s)), ""))
