"""What a job asks of every row."""

import json
from typing import Any

import pytest

from finetune_trainer.data.contract import Duplicates, check_answer, input_key
from finetune_trainer.data.formats import Completion, Conversation, Message, RowError
from tests.unit.trainer_data.builders import CONTRACT


def conversation(question: str, answer: str) -> Conversation:
    return Conversation((Message("user", question), Message("assistant", answer)), learnt_from=0)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"priority": "high", "reason": "outage"}, id="all-keys"),
        pytest.param({"priority": "low", "reason": None, "more": [1]}, id="more-keys"),
    ],
)
def test_an_answer_that_meets_its_contract_passes(answer: dict[str, Any]) -> None:
    check_answer(json.dumps(answer), CONTRACT)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        pytest.param(
            "high",
            "the answer is not JSON: Expecting value at column 1; the contract asks for a JSON object",
            id="prose",
        ),
        pytest.param(
            '```json\n{"priority": "high"}\n```',
            "the answer is not JSON: Expecting value at column 1; the contract asks for a JSON object",
            id="fenced",
        ),
        pytest.param('["high"]', "the answer is a list; the contract asks for a JSON object", id="list"),
        pytest.param(
            '{"priority": NaN}',
            "the answer holds NaN, which is not JSON; write a number, a string or null; the contract asks for a JSON "
            "object",
            id="nan",
        ),
        pytest.param(
            '{"priority": "high"}', "the answer lacks reason; write all of priority, reason", id="key-missing"
        ),
        pytest.param(
            '{"priority": "urgent", "reason": "r"}',
            'priority "urgent" is not allowed; write one of high, low',
            id="value-not-allowed",
        ),
        pytest.param(
            '{"priority": ["high"], "reason": "r"}',
            "priority (a list) is not allowed; write one of high, low",
            id="value-of-another-type",
        ),
        pytest.param(
            '{"priority": "High", "reason": "r"}',
            'priority "High" is not allowed; write one of high, low',
            id="value-in-another-case",
        ),
    ],
)
def test_an_answer_that_breaks_its_contract_is_told(answer: str, sentence: str) -> None:
    with pytest.raises(RowError) as e:
        check_answer(answer, CONTRACT)
    assert str(e.value) == sentence


def test_the_same_row_again_is_told_with_its_first_line() -> None:
    seen = Duplicates(unique_input=False)
    seen.check(conversation("q", "a"), 1)
    seen.check(conversation("q", "b"), 2)
    seen.check(conversation("Q", "a"), 3)
    with pytest.raises(RowError) as e:
        seen.check(conversation("q", "a"), 4)
    assert str(e.value) == "is the same row as line 1; remove one of them"


def test_with_unique_inputs_case_white_space_and_answer_make_no_difference() -> None:
    seen = Duplicates(unique_input=True)
    seen.check(conversation("The shop is down", "a"), 1)
    with pytest.raises(RowError) as e:
        seen.check(conversation(" the  SHOP is\ndown", "b"), 2)
    assert str(e.value) == "has the same input as line 1; keep one of them, or drop contract.unique"


def test_texts_do_not_run_into_each_other() -> None:
    seen = Duplicates(unique_input=False)
    seen.check(Completion("ab", "c"), 1)
    seen.check(Completion("a", "bc"), 2)


def test_a_word_more_is_another_input() -> None:
    assert input_key(conversation("the shop", "a")) != input_key(conversation("the shop is", "a"))
