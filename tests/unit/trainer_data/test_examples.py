"""Rows as ids: what is learnt, what generation begins with, and what can't be learnt."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

from finetune_trainer.data.contents import Completion, Content, Conversation, Message, PlainText, RowError
from finetune_trainer.data.examples import Example, build_example
from finetune_trainer.data.tokenizer import TextTokenizer
from tests.unit.trainer_data.builders import CHATML, learnt_text, make_conversation, text_of, write_tokenizer

LLAMA2: Final = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}"
)
"""No generation prompt, white space around the answer, the stop token last."""

THINKING: Final = CHATML.replace(
    "{{ m['content'] }}",
    "{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m['content'] }}",
)
"""An empty block of thoughts before every answer."""

FORGETTING: Final = THINKING.replace("m.role == 'assistant'", "m.role == 'assistant' and loop.last")
"""The same, taken out again once another turn follows."""


def built(content: Content, tokenizer: TextTokenizer) -> Example:
    return build_example(content, tokenizer, "train.jsonl", 7)


def whole_text(tokenizer: TextTokenizer, example: Example) -> str:
    return text_of(tokenizer, example.input_ids)


def loaded(folder: Path, template: str, stop: str = "<|im_end|>") -> TextTokenizer:
    return TextTokenizer.load(
        write_tokenizer(folder, template=template, config={"bos_token": "<s>", "eos_token": stop})
    )


def refused(content: Content, tokenizer: TextTokenizer) -> str:
    with pytest.raises(RowError) as e:
        built(content, tokenizer)
    return str(e.value)


def test_a_conversation_is_laid_out_by_the_template_and_its_answer_is_learnt(chatml: TextTokenizer) -> None:
    example = built(make_conversation("sua"), chatml)
    asked = (
        "<|im_start|>system\nsystem says 0<|im_end|>\n<|im_start|>user\nuser says 1<|im_end|>\n<|im_start|>assistant\n"
    )
    assert whole_text(chatml, example) == f"{asked}assistant says 2<|im_end|>"
    assert text_of(chatml, example.prompt_ids) == asked
    assert learnt_text(chatml, example) == "assistant says 2<|im_end|>"
    assert (example.prompt, example.reference) == ("user says 1", "assistant says 2")
    assert (example.file, example.line) == ("train.jsonl", 7)


@pytest.mark.parametrize(
    ("learnt_from", "learnt"),
    [
        (0, "assistant says 1<|im_end|>assistant says 3<|im_end|>"),
        (1, "assistant says 1<|im_end|>assistant says 3<|im_end|>"),
        (2, "assistant says 3<|im_end|>"),
        (3, "assistant says 3<|im_end|>"),
    ],
)
@pytest.mark.parametrize("layout", ["template", "headings"])
def test_every_answer_from_the_first_to_learn_is_learnt(
    chatml: TextTokenizer, plain: TextTokenizer, layout: str, learnt_from: int, learnt: str
) -> None:
    tokenizer = chatml if layout == "template" else plain
    example = built(make_conversation("uaua", learnt_from), tokenizer)
    assert learnt_text(tokenizer, example) == learnt.replace("<|im_end|>", tokenizer.stop_texts[0])
    assert text_of(tokenizer, example.input_ids[len(example.prompt_ids) :]) == (
        f"assistant says 3{tokenizer.stop_texts[0]}"
    )


def test_a_template_writes_the_start_token_itself(tmp_path: Path) -> None:
    config = {"bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = TextTokenizer.load(write_tokenizer(tmp_path, template=LLAMA2, config=config, start="<s>"))
    assert whole_text(tokenizer, built(make_conversation("ua"), tokenizer)).count("<s>") == 1
    assert whole_text(tokenizer, built(Completion("Q:", " A"), tokenizer)) == "<s>Q: A</s>"


def test_without_a_template_a_conversation_has_plain_headings(plain: TextTokenizer) -> None:
    example = built(make_conversation("suaua"), plain)
    asked = (
        "<s>### System:\nsystem says 0\n\n### Instruction:\nuser says 1\n\n### Response:\nassistant says 2</s>"
        "### Instruction:\nuser says 3\n\n### Response:\n"
    )
    assert whole_text(plain, example) == f"{asked}assistant says 4</s>"
    assert text_of(plain, example.prompt_ids) == asked


def test_strings_are_put_together_as_they_stand(plain: TextTokenizer) -> None:
    example = built(Completion("Q: sky?\nA:", " blue"), plain)
    assert text_of(plain, example.prompt_ids) == "<s>Q: sky?\nA:"
    assert learnt_text(plain, example) == " blue</s>"
    assert (example.prompt, example.reference) == ("Q: sky?\nA:", " blue")


def test_strings_have_no_template_also_where_the_model_has_one(chatml: TextTokenizer) -> None:
    assert whole_text(chatml, built(Completion("Q:", " A"), chatml)) == "Q: A<|im_end|>"


def test_a_text_is_learnt_whole_and_asks_nothing(plain: TextTokenizer) -> None:
    example = built(PlainText("the sky\n"), plain)
    assert whole_text(plain, example) == "<s>the sky\n</s>"
    assert learnt_text(plain, example) == "the sky\n</s>"
    assert (example.prompt, example.prompt_ids, example.reference) == ("", (), "")


@pytest.mark.parametrize(
    "content", [Completion("Q:", " A"), PlainText("text"), make_conversation("ua")], ids=["strings", "text", "turns"]
)
def test_the_start_token_of_plain_texts_is_never_learnt(plain: TextTokenizer, content: Content) -> None:
    example = built(content, plain)
    assert example.input_ids[0] == 0
    assert not example.answer_mask[0]


@pytest.mark.parametrize("content", [Completion("Q:", " A</s>"), PlainText("A</s>")], ids=["strings", "text"])
def test_a_stop_token_that_is_written_out_is_not_doubled(plain: TextTokenizer, content: Content) -> None:
    example = built(content, plain)
    assert whole_text(plain, example).count("</s>") == 1
    assert not example.reference.endswith("</s>")


def test_documents_in_one_text_may_be_parted_by_the_stop_token(plain: TextTokenizer) -> None:
    assert learnt_text(plain, built(PlainText("one</s>two"), plain)) == "one</s>two</s>"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(Completion("Q:", " A</s> B"), id="strings"),
        pytest.param(Conversation((Message("user", "q"), Message("assistant", "a</s>b")), 0), id="headings"),
    ],
)
def test_an_answer_with_a_stop_token_inside_is_refused(plain: TextTokenizer, content: Content) -> None:
    assert refused(content, plain) == "the answer holds </s>, with which the model ends its answers; take it out"


def test_a_templated_answer_with_a_stop_token_is_refused(chatml: TextTokenizer) -> None:
    content = Conversation((Message("user", "q"), Message("assistant", "a<|im_end|>")), 0)
    assert refused(content, chatml) == (
        "the answer holds <|im_end|>, with which the model ends its answers; take it out"
    )


def test_white_space_that_the_template_adds_stays_with_the_answer(tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path, LLAMA2, "</s>")
    example = built(make_conversation("uaua"), tokenizer)
    assert text_of(tokenizer, example.prompt_ids) == (
        "<s>[INST] user says 0 [/INST] assistant says 1 </s>[INST] user says 2 [/INST]"
    )
    assert learnt_text(tokenizer, example) == " assistant says 1 </s> assistant says 3 </s>"


def test_what_the_template_puts_before_an_answer_is_learnt_and_given_in_evaluation(tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path, THINKING)
    example = built(make_conversation("ua"), tokenizer)
    opening = "<think>\n\n</think>\n\n"
    assert learnt_text(tokenizer, example) == f"{opening}assistant says 1<|im_end|>"
    assert text_of(tokenizer, example.prompt_ids).endswith(f"assistant\n{opening}")
    assert example.reference == "assistant says 1"


def test_an_answer_that_the_opening_holds_as_well_is_cut_at_its_own_place(tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path, THINKING)
    content = Conversation((Message("user", "q"), Message("assistant", "think")), 0)
    example = built(content, tokenizer)
    assert text_of(tokenizer, example.input_ids[len(example.prompt_ids) :]) == "think<|im_end|>"


def test_a_template_that_trims_answers_is_followed(tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path, CHATML.replace("{{ m['content'] }}", "{{ m['content'] | trim }}"))
    content = Conversation((Message("user", "q"), Message("assistant", " a \n")), 0)
    assert learnt_text(tokenizer, built(content, tokenizer)) == "a<|im_end|>"


def test_answers_that_a_template_changes_later_are_refused_together(tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path, FORGETTING)
    assert refused(make_conversation("uaua"), tokenizer) == (
        "the model's chat template changes an answer once another turn follows, so that they can't be learnt together; "
        "write a row for each answer, with prompt and completion as lists of messages"
    )


def test_the_remedy_for_such_a_template_works(tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path, FORGETTING)
    example = built(make_conversation("uaua", learnt_from=3), tokenizer)
    assert learnt_text(tokenizer, example) == "<think>\n\n</think>\n\nassistant says 3<|im_end|>"


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        pytest.param(
            CHATML.replace("assistant\n{% endif", "assistant\n<think>\n{% endif"),
            "the model's chat template begins an answer with '<think>\\n' when it asks for one and leaves it out "
            "afterwards, as for models that think first; take a model that doesn't for answers like this one",
            id="thoughts-asked-for",
        ),
        pytest.param(
            CHATML.replace("<|im_end|>", "</turn>"),
            "the model's chat template ends an answer with 'assistant says 1</turn>\\n', without a stop token "
            "(<|im_end|>): the tuned model would never stop; add the id of the template's own end mark to "
            "eos_token_id in the model's generation_config.json",
            id="no-stop-token",
        ),
        pytest.param(
            CHATML.replace("m['content']", "m['content'][0].text"),
            "the model's chat template leaves the answer out: it isn't one for plain text",
            id="made-for-content-in-parts",
        ),
        pytest.param(
            "{% if messages[0].role != 'system' %}{{ raise_exception('System turn missing') }}{% endif %}",
            "the model's chat template refuses this conversation: System turn missing",
            id="raises",
        ),
    ],
)
def test_a_template_that_can_t_teach_is_told(tmp_path: Path, template: str, sentence: str) -> None:
    assert refused(make_conversation("ua"), loaded(tmp_path, template)) == sentence


def everything(tokenizers: Iterable[TextTokenizer]) -> Iterable[tuple[TextTokenizer, Content]]:
    contents = (make_conversation("ua"), make_conversation("suaua"), Completion("q", "a"), PlainText("t"))
    return ((t, c) for t in tokenizers for c in contents)


def test_every_row_ends_with_a_learnt_stop_token(chatml: TextTokenizer, plain: TextTokenizer) -> None:
    for tokenizer, content in everything((chatml, plain)):
        example = built(content, tokenizer)
        assert len(example.input_ids) == len(example.answer_mask)
        assert example.input_ids[-1] in tokenizer.stop_token_ids
        assert example.answer_mask[-1]
        assert example.input_ids[: len(example.prompt_ids)] == example.prompt_ids
