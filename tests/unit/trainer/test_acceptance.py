import math
from collections.abc import Mapping

import pytest

from finetune_trainer.acceptance import Change, check_measured, compare, decide, describe, reaches, show
from finetune_trainer.exit_codes import ExitCode, TrainerError
from tests.support.trainer_builders import make_acceptance

ROWS = 60
NAN = math.nan


@pytest.mark.parametrize(
    ("rule", "before", "after", "decision"),
    [
        pytest.param({"minimum": 0.9}, 0.0, 54 / 60, "Keep", id="exactly-the-minimum"),
        pytest.param({"minimum": 0.9}, 0.0, 53 / 60, "Iterate", id="one-row-short-of-it"),
        pytest.param({"minimum": 0.9}, 0.0, 0.9 - 1e-12, "Keep", id="a-hair-of-rounding-short-of-it"),
        pytest.param({"minimum": 1.0}, 59 / 60, 1.0, "Keep", id="all-rows-asked-for-and-right"),
        pytest.param({"minimum": 0.9}, 1.0, 1.0, "Discard", id="the-base-model-was-perfect"),
        pytest.param({"minimum": 0.9}, 0.95, 0.95, "Discard", id="no-better-though-above-the-minimum"),
        pytest.param({"minimum": 0.9}, 59 / 60, 58 / 60, "Discard", id="one-row-worse"),
        pytest.param({"minimum": None}, 1 / 60, 2 / 60, "Keep", id="one-row-better-and-no-minimum"),
        pytest.param({"minimum": 0.0}, 0.0, 0.0, "Discard", id="a-minimum-of-nothing-does-not-make-it-better"),
        pytest.param({"minimum": 0.5}, 0.0, NAN, "Discard", id="tuned-is-not-a-number"),
        pytest.param({"minimum": 0.5}, NAN, 0.5, "Keep", id="baseline-is-not-a-number"),
    ],
)
def test_a_share_decides(rule: Mapping[str, float | None], before: float, after: float, decision: str) -> None:
    verdict = decide(make_acceptance(**rule), {"json-exact": before}, {"json-exact": after}, ROWS)
    assert verdict.decision == decision


@pytest.mark.parametrize(
    ("metric", "maximum", "before", "after", "decision"),
    [
        pytest.param("loss", None, 2.0, 1.0, "Keep", id="loss-fell"),
        pytest.param("loss", None, 2.0, 2.0, "Discard", id="loss-is-the-same"),
        pytest.param("loss", None, 2.0, 1.9995, "Discard", id="loss-fell-within-tolerance"),
        pytest.param("loss", None, 2.0, 1.99, "Keep", id="loss-fell-beyond-tolerance"),
        pytest.param("loss", 1.0, 2.0, 1.0, "Keep", id="exactly-the-maximum"),
        pytest.param("loss", 1.0, 2.0, 1.001, "Iterate", id="just-above-the-maximum"),
        pytest.param("loss", 1.0, 0.5, 0.6, "Discard", id="worse-though-below-the-maximum"),
        pytest.param("perplexity", 3.0, 14.0, 2.5, "Keep", id="perplexity"),
        pytest.param("loss", 1.0, 2.0, NAN, "Discard", id="tuned-is-not-a-number"),
        pytest.param("loss", None, NAN, 2.0, "Keep", id="baseline-is-not-a-number"),
        pytest.param("loss", None, NAN, NAN, "Discard", id="neither-is-a-number"),
        pytest.param("loss", None, math.inf, 2.0, "Keep", id="baseline-is-infinite"),
        pytest.param("loss", None, math.inf, math.inf, "Discard", id="both-are-infinite"),
        pytest.param("loss", None, 0.0, 0.0, "Discard", id="both-are-zero"),
    ],
)
def test_a_lower_loss_is_better(metric: str, maximum: float | None, before: float, after: float, decision: str) -> None:
    rule = make_acceptance(metric=metric, minimum=None, maximum=maximum)
    assert decide(rule, {metric: before}, {metric: after}, ROWS).decision == decision


@pytest.mark.parametrize(
    ("name", "before", "after", "decision"),
    [
        pytest.param("json-valid", 1.0, 1.0, "Keep", id="share-is-the-same"),
        pytest.param("json-valid", 1.0, 59.6 / 60, "Keep", id="share-fell-by-less-than-half-a-row"),
        pytest.param("json-valid", 1.0, 59 / 60, "Iterate", id="share-fell-by-one-row"),
        pytest.param("json-valid", 1.0, NAN, "Iterate", id="share-is-no-longer-a-number"),
        pytest.param("loss", 2.0, 2.002, "Keep", id="loss-grew-by-exactly-the-tolerance"),
        pytest.param("loss", 2.0, 2.0021, "Iterate", id="loss-grew-by-more"),
        pytest.param("loss", 2.0, NAN, "Iterate", id="loss-is-no-longer-a-number"),
        pytest.param("loss", 2.0, 1.0, "Keep", id="loss-fell"),
    ],
)
def test_what_must_not_regress_is_held(name: str, before: float, after: float, decision: str) -> None:
    rule = make_acceptance(must_not_regress=[name])
    verdict = decide(rule, {"json-exact": 0.0, name: before}, {"json-exact": 1.0, name: after}, ROWS)
    assert verdict.decision == decision


@pytest.mark.parametrize(
    ("rule", "before", "after", "because", "next_step"),
    [
        pytest.param(
            {},
            {"json-exact": 0.0},
            {"json-exact": 58 / 60},
            "json-exact went from 0.0% to 96.7% (58 of 60; 95% interval 89% to 99%); at least 90% was asked for",
            "load the result from the output folder; the report has the lines to do it with",
            id="keep",
        ),
        pytest.param(
            {"must_not_regress": ["json-valid", "loss"]},
            {"json-exact": 0.0, "json-valid": 0.5, "loss": 2.0},
            {"json-exact": 58 / 60, "json-valid": 1.0, "loss": 0.1},
            "json-exact went from 0.0% to 96.7% (58 of 60; 95% interval 89% to 99%); at least 90% was asked for; "
            "nothing that must not regress did",
            "load the result from the output folder; the report has the lines to do it with",
            id="keep-and-nothing-regressed",
        ),
        pytest.param(
            {"metric": "loss", "minimum": None},
            {"loss": 2.0},
            {"loss": 1.0},
            "loss went from 2 to 1 (60 rows); better than the base model was asked for",
            "load the result from the output folder; the report has the lines to do it with",
            id="keep-without-a-bound",
        ),
        pytest.param(
            {},
            {"json-exact": 0.0},
            {"json-exact": 0.5},
            "json-exact went from 0.0% to 50.0% (30 of 60; 95% interval 38% to 62%): better than the base model, short "
            "of the at least 90% asked for",
            "look at the wrong rows in evaluation_rows.jsonl and add training rows of their kind",
            id="iterate-short",
        ),
        pytest.param(
            {"must_not_regress": ["json-valid"]},
            {"json-exact": 0.0, "json-valid": 1.0},
            {"json-exact": 1.0, "json-valid": 0.9},
            "json-exact went from 0.0% to 100.0% (60 of 60; 95% interval 94% to 100%), but json-valid went from 100.0% "
            "to 90.0% and must not regress",
            "halve training.learningRate and run again in a new output folder",
            id="iterate-regressed",
        ),
        pytest.param(
            {},
            {"json-exact": 1.0},
            {"json-exact": 1.0},
            "json-exact went from 100.0% to 100.0% (60 of 60; 95% interval 94% to 100%): the base model reaches the at "
            "least 90% asked for, and training made it no better",
            "use the base model as it is, or ask for a metric that it doesn't reach yet",
            id="discard-the-base-model-is-good-enough",
        ),
        pytest.param(
            {},
            {"json-exact": 0.5},
            {"json-exact": 0.5},
            "json-exact went from 50.0% to 50.0% (30 of 60; 95% interval 38% to 62%): no better than the base model",
            "write a training.learningRate three times as high and run again in a new output folder",
            id="discard-no-better-and-short",
        ),
        pytest.param(
            {"metric": "loss", "minimum": None},
            {"loss": 2.0},
            {"loss": 2.0},
            "loss went from 2 to 2 (60 rows): no better than the base model",
            "write a training.learningRate three times as high and run again in a new output folder",
            id="discard-nothing-learnt",
        ),
        pytest.param(
            {},
            {"json-exact": 0.5},
            {"json-exact": NAN},
            "json-exact went from 50.0% to not a number (60 rows): worse than the base model",
            "compare rows in evaluation_rows.jsonl with training rows: they have to ask and answer alike",
            id="discard-worse",
        ),
    ],
)
def test_a_verdict_says_why_and_what_to_do(
    rule: Mapping[str, object],
    before: Mapping[str, float],
    after: Mapping[str, float],
    because: str,
    next_step: str,
) -> None:
    verdict = decide(make_acceptance(**rule), before, after, ROWS)
    assert (verdict.because, verdict.next_step) == (because, next_step)


def test_a_metric_that_these_rows_do_not_have_is_refused() -> None:
    with pytest.raises(TrainerError) as caught:
        check_measured(make_acceptance(must_not_regress=["json-valid"]), ("loss", "json-exact"))
    assert caught.value.code is ExitCode.CONFIGURATION
    assert caught.value.message == (
        "acceptance: json-valid can't be measured on these rows; write one of loss, json-exact, and another output.path"
    )


@pytest.mark.parametrize("missing_in", ["baseline", "tuned"])
def test_no_verdict_without_the_metric_of_both_models(missing_in: str) -> None:
    metrics = {subject: {"json-exact": 0.5} for subject in ("baseline", "tuned")}
    metrics[missing_in] = {"loss": 1.0}
    with pytest.raises(TrainerError):
        decide(make_acceptance(), metrics["baseline"], metrics["tuned"], ROWS)


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        pytest.param({"minimum": 0.9}, 0.9, True, id="at-the-minimum"),
        pytest.param({"minimum": 0.9}, 0.899, False, id="below-the-minimum"),
        pytest.param({"metric": "loss", "minimum": None, "maximum": 0.5}, 0.5, True, id="at-the-maximum"),
        pytest.param({"metric": "loss", "minimum": None, "maximum": 0.5}, 0.51, False, id="above-the-maximum"),
        pytest.param({"minimum": None}, 0.0, True, id="no-bound"),
    ],
)
def test_a_bound_is_reached_from_its_own_side(rule: Mapping[str, object], value: float, *, expected: bool) -> None:
    assert reaches(make_acceptance(**rule), value) is expected


def test_one_row_is_a_change_however_few_there_are() -> None:
    assert compare("exact-match", 0.0, 1.0, 1) is Change.BETTER
    assert compare("exact-match", 0.3, 0.1 + 0.2, 10) is Change.SAME


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"minimum": 0.995}, "json-exact of at least 99.5%"),
        ({"minimum": None}, "json-exact better than the base model"),
        (
            {"metric": "perplexity", "minimum": None, "maximum": 2.5, "must_not_regress": ["json-valid", "loss"]},
            "perplexity of at most 2.5; json-valid, loss must not regress",
        ),
    ],
)
def test_a_rule_is_told_in_words(rule: Mapping[str, object], text: str) -> None:
    assert describe(make_acceptance(**rule)) == text


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("json-valid", 58 / 60, "96.7%"),
        ("loss", 0.12345, "0.123"),
        ("perplexity", 14.23, "14.2"),
        ("perplexity", 48213.4, "48,213"),
        ("perplexity", 5.1847e21, "5.18e+21"),
        ("loss", NAN, "not a number"),
    ],
)
def test_a_metric_is_shown_in_its_own_unit(metric: str, value: float, text: str) -> None:
    assert show(metric, value) == text
