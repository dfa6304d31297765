"""What KTO measures drift on: a prompt with an answer that belongs elsewhere."""

import pytest

from finetune_trainer.data.examples import Example
from finetune_trainer.objectives.sequences import laid_out, mismatched


def example(prompt: int, answer: int, tokens: int = 1) -> Example:
    ids = (prompt, prompt, *[answer] * tokens)
    mask = (False, False, *[True] * tokens)
    return Example(
        file="a", line=1, input_ids=ids, answer_mask=mask, prompt="", prompt_ids=(prompt, prompt), reference=""
    )


@pytest.mark.parametrize(
    ("prompts", "answers"),
    [
        pytest.param([1, 2, 3], [12, 13, 11], id="the-next"),
        pytest.param([1, 1, 2], [13, 13, 11], id="the-next-with-another-prompt"),
        pytest.param([1, 2, 1], [12, 13, 12], id="around-the-end"),
        pytest.param([1, 1, 1], [12, 13, 11], id="all-the-same"),
        pytest.param([1], [11], id="alone"),
    ],
)
def test_a_prompt_gets_the_answer_of_the_next_other_one(prompts: list[int], answers: list[int]) -> None:
    rows = [example(p, 11 + i) for i, p in enumerate(prompts)]
    expected = [((p, p, a), (False, False, True)) for p, a in zip(prompts, answers, strict=True)]
    assert mismatched(rows, 8) == expected


def test_what_would_be_too_long_is_cut() -> None:
    (ids, mask), _ = mismatched([example(1, 11), example(2, 12, tokens=9)], 5)
    assert (ids, mask) == ((1, 1, 12, 12, 12), (False, False, True, True, True))


def test_only_kto_has_a_sequence_aside() -> None:
    rows = [example(1, 11), example(2, 12)]
    assert [len(s) for _, s in laid_out(rows, "KTO", 8)] == [2, 2]
    assert [len(s) for _, s in laid_out(rows, "DPO", 8)] == [1, 1]
