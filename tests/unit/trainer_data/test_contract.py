"""What a job asks of every row."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.data.contents import Completion, Conversation, Message, RowError
from finetune_trainer.data.contract import AnswerContract, Duplicates, input_key
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import JsonContractConfig
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
    assert AnswerContract(CONTRACT).check(json.dumps(answer)) == answer


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
        AnswerContract(CONTRACT).check(answer)
    assert str(e.value) == sentence


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}}, "score": {"minimum": 0}},
    "additionalProperties": False,
    "$defs": {"tag": {"type": "string", "maxLength": 8}},
}


def schema_contract(schema: dict[str, Any]) -> AnswerContract:
    return AnswerContract(JsonContractConfig(required=(), values={}, json_schema=schema))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        pytest.param({"tags": ["a", 3]}, "the answer doesn't meet the schema at tags[1]: 3 is not of type", id="item"),
        pytest.param({"score": -1}, "the answer doesn't meet the schema at score: -1 is less than", id="number"),
        pytest.param({"more": 1}, "the answer doesn't meet the schema at its top: Additional", id="more"),
    ],
)
def test_an_answer_that_breaks_the_schema_is_told_with_its_place(answer: dict[str, Any], sentence: str) -> None:
    schema_contract(SCHEMA).check('{"tags": ["a"], "score": 1.5}')
    with pytest.raises(RowError) as e:
        schema_contract(SCHEMA).check(json.dumps(answer))
    assert str(e.value).startswith(sentence)


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        pytest.param({"type": "text"}, "dataset.contract.output.json.schema: is no JSON schema: ", id="no-schema"),
        pytest.param(
            {"$ref": "https://example.com/other.json"},
            "dataset.contract.output.json.schema: refers to https://example.com/other.json, which isn't in it",
            id="elsewhere",
        ),
    ],
)
def test_a_schema_that_can_not_be_used_is_refused_and_never_fetched(schema: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TrainerError) as e:
        schema_contract(schema).check("{}")
    assert e.value.code is ExitCode.CONFIGURATION
    assert e.value.message.startswith(sentence)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_schema_in_another_file_is_not_read(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}", encoding="utf-8")
    with pytest.raises(TrainerError, match="which isn't in it; write it under"):
        schema_contract({"$ref": other.as_uri()}).check("{}")


def test_the_same_row_in_another_file_is_told_with_that_file() -> None:
    seen = Duplicates(unique_input=False)
    seen.check(conversation("q", "a"), "a.jsonl", 7)
    with pytest.raises(RowError, match=r"is the same row as a\.jsonl:7; remove one of them"):
        seen.check(conversation("q", "a"), "b.jsonl", 7)


def test_the_same_row_again_is_told_with_its_first_line() -> None:
    seen = Duplicates(unique_input=False)
    seen.check(conversation("q", "a"), "a.jsonl", 1)
    seen.check(conversation("q", "b"), "a.jsonl", 2)
    seen.check(conversation("Q", "a"), "a.jsonl", 3)
    with pytest.raises(RowError) as e:
        seen.check(conversation("q", "a"), "a.jsonl", 4)
    assert str(e.value) == "is the same row as line 1; remove one of them"


def test_with_unique_inputs_case_white_space_and_answer_make_no_difference() -> None:
    seen = Duplicates(unique_input=True)
    seen.check(conversation("The shop is down", "a"), "a.jsonl", 1)
    with pytest.raises(RowError) as e:
        seen.check(conversation(" the  SHOP is\ndown", "b"), "a.jsonl", 2)
    assert str(e.value) == "has the same input as line 1; keep one of them, or drop contract.unique"


def test_texts_do_not_run_into_each_other() -> None:
    seen = Duplicates(unique_input=False)
    seen.check(Completion("ab", "c"), "a.jsonl", 1)
    seen.check(Completion("a", "bc"), "a.jsonl", 2)


def test_a_word_more_is_another_input() -> None:
    assert input_key(conversation("the shop", "a")) != input_key(conversation("the shop is", "a"))
