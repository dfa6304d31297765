"""What answers are worth."""

import math
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_trainer.evidence import AnswerRow
from finetune_trainer.job_config import JsonContractConfig
from finetune_trainer.scoring import grade, score, wilson
from tests.unit.trainer_data.builders import CONTRACT

RIGHT: Final = '{"priority": "high", "reason": "outage"}'
JSON: Final = ("json-valid", "json-fields", "json-allowed", "json-exact", "field:priority", "field:reason")


def row(output: str, reference: str = RIGHT) -> AnswerRow:
    return AnswerRow(file="check.jsonl", line=1, prompt="q", reference=reference, output=output)


@pytest.mark.parametrize(
    ("output", "right"),
    [
        pytest.param(RIGHT, {"exact-match", *JSON}, id="right"),
        pytest.param(f"\n {RIGHT} \n", {"exact-match", *JSON}, id="white-space-around"),
        pytest.param('{"reason":"outage","priority":"high"}', set(JSON), id="keys-in-another-order"),
        pytest.param(
            '{"priority": "low", "reason": "outage"}',
            {"json-valid", "json-fields", "json-allowed", "field:reason"},
            id="another-value",
        ),
        pytest.param(
            '{"priority": "urgent", "reason": "outage"}',
            {"json-valid", "json-fields", "field:reason"},
            id="value-not-allowed",
        ),
        pytest.param(
            '{"priority": ["high"], "reason": "outage"}',
            {"json-valid", "json-fields", "field:reason"},
            id="value-of-another-type",
        ),
        pytest.param('{"reason": "outage"}', {"json-valid", "field:reason"}, id="key-missing"),
        pytest.param(
            '{"priority": "high", "reason": "outage", "more": 1}', set(JSON) - {"json-exact"}, id="key-too-many"
        ),
        pytest.param("{}", {"json-valid"}, id="empty-object"),
        pytest.param("", set(), id="nothing"),
        pytest.param("This looks urgent.", set(), id="prose"),
        pytest.param('["high"]', set(), id="list"),
        pytest.param('"high"', set(), id="string"),
        pytest.param(f"```json\n{RIGHT}\n```", set(), id="fenced"),
        pytest.param(f"Here it is: {RIGHT}", set(), id="word-before"),
        pytest.param(f"{RIGHT}{RIGHT}", set(), id="twice"),
        pytest.param(RIGHT[:-1], set(), id="cut-off"),
        pytest.param("{'priority': 'high', 'reason': 'outage'}", set(), id="single-quotes"),
        pytest.param('{"priority": "low", "priority": "high", "reason": "outage"}', set(), id="key-twice"),
        pytest.param('{"priority": "high", "reason": NaN}', set(), id="nan"),
        pytest.param("[" * 100_000, set(), id="deep"),
    ],
)
def test_an_answer_is_right_in_some_respects(output: str, right: set[str]) -> None:
    marks = grade(row(output), CONTRACT)
    assert tuple(marks) == ("exact-match", *JSON)
    assert {name for name, mark in marks.items() if mark} == right


def test_without_a_contract_only_the_text_is_compared() -> None:
    assert grade(row("a", "a \n"), None) == {"exact-match": True}
    assert grade(row("A", "a"), None) == {"exact-match": False}


@pytest.mark.parametrize(
    ("output", "reference", "allowed", "field"),
    [
        pytest.param('{"b": 1}', '{"b": 1}', True, True, id="absent-in-both"),
        pytest.param('{"b": 1}', '{"a": "x"}', False, False, id="absent-in-the-answer"),
        pytest.param('{"a": "x"}', '{"b": 1}', True, False, id="absent-in-the-reference"),
        pytest.param('{"a": "y"}', '{"b": 1}', False, False, id="added-and-not-allowed"),
    ],
)
def test_a_key_that_need_not_be_there_is_missed_only_where_the_reference_has_it(
    output: str, reference: str, *, allowed: bool, field: bool
) -> None:
    marks = grade(row(output, reference), JsonContractConfig(required=(), values={"a": ("x",)}, json_schema=None))
    assert (marks["json-allowed"], marks["field:a"]) == (allowed, field)


@pytest.mark.parametrize(
    ("answer", "same"), [("1", True), ("1.0", True), ("true", False), ('"1"', False), ("null", False)]
)
def test_field_values_are_compared_as_json_has_them(answer: str, *, same: bool) -> None:
    contract = JsonContractConfig(required=("n",), values={}, json_schema=None)
    assert grade(row(f'{{"n": {answer}}}', '{"n": 1}'), contract)["field:n"] is same


def test_json_is_valid_whatever_the_reference_is() -> None:
    marks = grade(row(RIGHT, "prose"), CONTRACT)
    assert {name for name, mark in marks.items() if mark} == {"json-valid"}


def test_metrics_are_shares_of_all_rows() -> None:
    metrics = score([row(RIGHT), row("{}"), row("no"), row(RIGHT)], CONTRACT, 2.0)
    assert metrics == {
        "loss": 2.0,
        "perplexity": pytest.approx(math.exp(2.0)),
        "exact-match": 0.5,
        "json-valid": 0.75,
        "json-fields": 0.5,
        "json-allowed": 0.5,
        "json-exact": 0.5,
        "field:priority": 0.5,
        "field:reason": 0.5,
    }


def test_texts_without_answers_have_the_loss_s_metrics_alone() -> None:
    assert score([], CONTRACT, 1.0) == {"loss": 1.0, "perplexity": pytest.approx(math.e)}


def test_perplexity_stays_a_number_for_a_hopeless_model() -> None:
    assert math.isfinite(score([], None, 1e6)["perplexity"])


@pytest.mark.parametrize(
    ("share", "rows", "low", "high"),
    [(58 / 60, 60, 0.886, 0.991), (1.0, 60, 0.940, 1.0), (0.0, 60, 0.0, 0.060), (0.5, 0, 0.0, 1.0)],
    ids=["most", "all", "none", "no-rows"],
)
def test_the_interval_of_a_share_is_wilson_s(share: float, rows: int, low: float, high: float) -> None:
    assert wilson(share, rows) == pytest.approx((low, high), abs=5e-4)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_graded(output: str) -> None:
    assert set(grade(row(output), CONTRACT)) == {"exact-match", *JSON}
