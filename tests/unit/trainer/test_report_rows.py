import json

import pytest

from finetune_trainer.evidence import RunRecord
from finetune_trainer.report.rows import Outcome, Pair, deciding_mark, instructive, pairs_of, render_lines
from tests.support.trainer_builders import make_answer, make_evaluation, make_job, make_record

RIGHT = '{"priority": "high", "reason": "outage"}'
WRONG = '{"priority": "low", "reason": "outage"}'
OUTCOMES = {
    "b": (RIGHT, WRONG),
    "w": (WRONG, "prose"),
    "f": (WRONG, RIGHT),
    "r": (RIGHT, RIGHT),
}
"""Outputs of the base model and of the tuned one, by the letter of what training did."""


def make_rows(letters: str) -> RunRecord:
    outputs = [OUTCOMES[letter] for letter in letters]
    return make_record(
        baseline=make_evaluation(
            "baseline", answers=[make_answer(i, reference=RIGHT, output=o[0]) for i, o in enumerate(outputs, 1)]
        ),
        tuned=make_evaluation(
            "tuned", answers=[make_answer(i, reference=RIGHT, output=o[1]) for i, o in enumerate(outputs, 1)]
        ),
    )


def shown(letters: str) -> str:
    pairs = pairs_of(make_rows(letters))
    initials = {Outcome.BROKEN: "b", Outcome.WRONG: "w", Outcome.FIXED: "f", Outcome.RIGHT: "r"}
    return "".join(initials[p.outcome("json-exact")] for p in instructive(pairs, "json-exact"))


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        pytest.param("rfwb", "bwfr", id="broken-then-wrong-then-fixed-then-right"),
        pytest.param("w" * 5 + "f" * 60, "wwwww" + "f" * 7, id="all-that-is-wrong-then-what-was-fixed"),
        pytest.param("w" * 30 + "f" * 60, "w" * 8 + "ffff", id="some-places-are-kept-for-what-was-fixed"),
        pytest.param("w" * 30 + "f" * 2, "w" * 10 + "ff", id="no-more-than-there-are"),
        pytest.param("w" * 30, "w" * 12, id="nothing-fixed"),
        pytest.param("w" * 12 + "bf", "b" + "w" * 10 + "f", id="broken-ones-come-first"),
        pytest.param("r" * 60, "r" * 12, id="all-right"),
        pytest.param("", "", id="no-rows"),
    ],
)
def test_the_most_instructive_rows_are_shown(letters: str, expected: str) -> None:
    assert shown(letters) == expected


def test_fixed_rows_are_of_different_kinds_first() -> None:
    references = ['{"priority": "high", "reason": "a"}', '{"priority": "low", "reason": "b"}']
    answers = [make_answer(i, reference=references[i > 20], output=references[i > 20]) for i in range(1, 23)]
    before = [a.model_copy(update={"output": ""}) for a in answers]
    record = make_record(baseline=make_evaluation("baseline", answers=before), tuned=make_evaluation(answers=answers))
    assert [p.tuned.line for p in instructive(pairs_of(record), "json-exact")[:3]] == [1, 21, 2]


def test_answers_are_paired_by_file_and_line_whatever_their_order() -> None:
    tuned = [make_answer(2, output="t2"), make_answer(1, output="t1"), make_answer(1, file="/a.jsonl", output="ta")]
    before = [make_answer(1, output="b1"), make_answer(1, file="/a.jsonl", output="ba"), make_answer(2, output="b2")]
    record = make_record(baseline=make_evaluation("baseline", answers=before), tuned=make_evaluation(answers=tuned))
    assert [(p.baseline.output, p.tuned.output) for p in pairs_of(record)] == [("ba", "ta"), ("b1", "t1"), ("b2", "t2")]


@pytest.mark.parametrize(
    ("metric", "with_contract", "mark"),
    [
        pytest.param("field:priority", True, "field:priority", id="the-metric-that-decides"),
        pytest.param("loss", True, "json-exact", id="loss-has-no-row"),
        pytest.param("perplexity", False, "exact-match", id="free-text"),
    ],
)
def test_right_is_what_the_rule_calls_right(metric: str, mark: str, *, with_contract: bool) -> None:
    job = make_job(acceptance={"metric": metric, "minimum": None})
    if not with_contract:
        job = make_job(acceptance={"metric": metric, "minimum": None}, data={"contract": {"answer_json": None}})
    record = make_record(job=job)
    assert deciding_mark(record, pairs_of(record)) == mark


def test_every_raw_output_is_kept_to_the_letter() -> None:
    raw = 'a|b\n`x` <b> "quoted" \\ \x00\x1b \u2028\u2029\x85 優先 🙂' + "x" * 100_000
    tuned = make_evaluation(answers=[make_answer(1, output=raw), make_answer(2)])
    lines = render_lines(pairs_of(make_record(tuned=tuned))).splitlines()
    values = [json.loads(line) for line in lines]
    assert [v["line"] for v in values] == [1, 2]
    assert values[0]["tuned"]["output"] == raw
    assert values[0]["baseline"]["output"] == "This looks urgent."
    assert values[1]["tuned"]["marks"]["json-exact"] is True
    assert values[0]["prompt"] == "Ticket 1: the shop is down."


def test_half_a_character_can_be_written() -> None:
    pair = pairs_of(make_record(tuned=make_evaluation(answers=[make_answer(1, output="\ud800")])))
    assert json.loads(render_lines(pair).encode())["tuned"]["output"] == "\ud800"


def outcome_of(before: bool, after: bool) -> Outcome:  # noqa: FBT001  a table's own columns
    answer = make_answer()
    pair = Pair(baseline=answer, tuned=answer, baseline_marks={"m": before}, tuned_marks={"m": after})
    return pair.outcome("m")


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        (False, False, Outcome.WRONG),
        (False, True, Outcome.FIXED),
        (True, False, Outcome.BROKEN),
        (True, True, Outcome.RIGHT),
    ],
)
def test_an_outcome_is_the_step_from_one_model_to_the_other(*, before: bool, after: bool, outcome: Outcome) -> None:
    assert outcome_of(before, after) is outcome
