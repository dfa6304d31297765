"""Which values answers have: counted while there are few, however the rows are divided."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_trainer.data.check.figures import balances_of
from finetune_trainer.data.check.labels import MAX_CHARACTERS, MAX_VALUES, Labels


def counted(answers: Sequence[str], *fields: str) -> Labels:
    labels = Labels(frozenset(fields))
    for answer in answers:
        labels.add(answer, None)
    return labels


def balances(*parts: Labels) -> dict[str, dict[str, int]]:
    return {b.field: {v.value: v.rows for v in b.values} for b in balances_of(parts)}


def test_fields_of_answers_and_short_answers_are_labels() -> None:
    answers = ['{"a": "x", "n": 1, "ok": true, "list": [1]}'] * 2 + ["yes", "yes", " no ", "no"]
    found = {"a": {"x": 2}, "n": {"1": 2}, "ok": {"true": 2}, "answer": {"no": 2, "yes": 2}}
    assert balances(counted(answers)) == found


def test_only_the_fields_that_are_asked_for_are_counted() -> None:
    assert balances(counted(['{"a": "x", "b": "y"}', '{"a": "x"}', "prose", "prose"], "a")) == {"a": {"x": 2}}


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([str(n) for n in range(MAX_VALUES + 1)] * 3, id="many-values"),
        pytest.param(["x" * (MAX_CHARACTERS + 1)] * 9, id="long-values"),
        pytest.param(["once", "each", "of", "them"], id="hardly-repeated"),
        pytest.param(["{", '{"a"', "{" * 9], id="no-json"),
        pytest.param([], id="none"),
    ],
)
def test_what_is_no_label_is_not_shown(answers: list[str]) -> None:
    assert balances(counted(answers)) == {}


def test_two_blocks_with_few_values_each_may_have_many_together() -> None:
    parts = [counted([str(n) for n in range(begin, begin + MAX_VALUES)] * 3) for begin in (0, 10)]
    assert [len(balances(part)["answer"]) for part in parts] == [MAX_VALUES] * 2
    assert balances(*parts) == {}


def test_the_most_frequent_comes_first() -> None:
    (balance,) = balances_of([counted(["b", "a", "c", "c", "c", "a", "b"])])
    assert [(v.value, v.rows) for v in balance.values] == [("c", 3), ("a", 2), ("b", 2)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, MAX_VALUES + 5), max_size=200), st.integers(1, 60))
def test_blocks_together_count_as_one(numbers: list[int], size: int) -> None:
    answers = [json.dumps({"a": f"v{n}", "b": n % 3}) for n in numbers]
    parts = [counted(answers[i : i + size]) for i in range(0, len(answers), size)]
    assert balances(*parts) == balances(counted(answers))
