"""The decision rule, as it was stated before the run. Pure, no torch.

Two figures differ where they are further apart than rounding and noise of the arithmetic: shares by at least one row,
losses and perplexities by more than a thousandth. What isn't a number counts as the worst there is.
"""

import math
from collections.abc import Collection, Mapping
from enum import IntEnum
from typing import Final

from finetune_trainer.evidence import Verdict
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import LOWER_IS_BETTER, AcceptanceConfig
from finetune_trainer.scoring import wilson

RELATIVE_TOLERANCE: Final = 1e-3
"""Losses and perplexities that differ by less are the same."""

ROUNDING: Final = 1e-9
"""Shares are quotients of counts: a hair of rounding must not cost a row."""


class Change(IntEnum):
    """How a metric moved from the base model to the tuned one."""

    WORSE = -1
    SAME = 0
    BETTER = 1


def check_measured(rule: AcceptanceConfig, measured: Collection[str]) -> None:
    """Hold the rule against the metrics that the held-out rows allow; as soon as the base model has been evaluated.

    Raises:
        TrainerError: the rule names a metric that these rows don't have.
    """
    for name in (rule.metric, *rule.must_not_regress):
        if name not in measured:
            raise TrainerError(
                ExitCode.CONFIGURATION,
                f"acceptance: {name} can't be measured on these rows; write one of {', '.join(measured)}, and another "
                "output.path",
            )


def decide(rule: AcceptanceConfig, baseline: Mapping[str, float], tuned: Mapping[str, float], rows: int) -> Verdict:
    """Keep, Iterate or Discard.

    Raises:
        TrainerError: the rule names a metric that these rows don't have.
    """
    check_measured(rule, [n for n in tuned if n in baseline])
    change = compare(rule.metric, baseline[rule.metric], tuned[rule.metric], rows)
    regressed = [
        n for n in rule.must_not_regress if compare(n, baseline[n], tuned[n], rows) is Change.WORSE and n != rule.metric
    ]
    figures = _figures(rule, baseline, tuned, rows)
    if change is not Change.BETTER:
        return _discard(rule, figures, change, baseline[rule.metric])
    if regressed:
        fell = " and ".join(f"{n} went from {show(n, baseline[n])} to {show(n, tuned[n])}" for n in regressed)
        return Verdict(
            decision="Iterate",
            because=f"{figures}, but {fell} and must not regress",
            next_step="halve training.learningRate and run again in a new output folder",
        )
    if not reaches(rule, tuned[rule.metric]):
        return Verdict(
            decision="Iterate",
            because=f"{figures}: better than the base model, short of the {_bound(rule)} asked for",
            next_step="look at the wrong rows in evaluation_rows.jsonl and add training rows of their kind",
        )
    held = "; nothing that must not regress did" if rule.must_not_regress else ""
    return Verdict(
        decision="Keep",
        because=f"{figures}; {_bound(rule)} was asked for{held}",
        next_step="load the result from the output folder; the report has the lines to do it with",
    )


def compare(metric: str, before: float, after: float, rows: int) -> Change:
    """How a metric moved, over so many rows."""
    if metric in LOWER_IS_BETTER:
        old, new = (math.inf if math.isnan(v) else v for v in (before, after))
        worse, better = new > old * (1 + RELATIVE_TOLERANCE), new < old * (1 - RELATIVE_TOLERANCE)
    else:
        old, new = (-1.0 if math.isnan(v) else v for v in (before, after))
        row = 0.5 / max(1, rows)
        worse, better = new < old - row, new > old + row
    return Change(int(better) - int(worse))


def reaches(rule: AcceptanceConfig, value: float) -> bool:
    """Whether a value is as good as the rule asks for; always, where it only asks for better than the base model."""
    if rule.minimum is not None:
        return value >= rule.minimum - ROUNDING
    return rule.maximum is None or value <= rule.maximum + ROUNDING


def describe(rule: AcceptanceConfig) -> str:
    """The rule in words: "json-exact of at least 90%; json-valid must not regress"."""
    held = f"; {', '.join(rule.must_not_regress)} must not regress" if rule.must_not_regress else ""
    asked = f"of {_bound(rule)}" if rule.minimum is not None or rule.maximum is not None else _bound(rule)
    return f"{rule.metric} {asked}{held}"


def show(metric: str, value: float) -> str:
    """A metric for people: shares in percent."""
    if math.isnan(value):
        return "not a number"
    if metric not in LOWER_IS_BETTER:
        return f"{value:.1%}"
    return f"{value:,.0f}" if 1000 <= value < 1e9 else f"{value:.3g}"


def _figures(rule: AcceptanceConfig, baseline: Mapping[str, float], tuned: Mapping[str, float], rows: int) -> str:
    name, after = rule.metric, tuned[rule.metric]
    text = f"{name} went from {show(name, baseline[name])} to {show(name, after)}"
    if name in LOWER_IS_BETTER or math.isnan(after):
        return f"{text} ({rows} rows)"
    low, high = wilson(after, rows)
    return f"{text} ({round(after * rows)} of {rows}; 95% interval {low:.0%} to {high:.0%})"


def _discard(rule: AcceptanceConfig, figures: str, change: Change, before: float) -> Verdict:
    if change is Change.WORSE:
        because = f"{figures}: worse than the base model"
        step = "compare rows in evaluation_rows.jsonl with training rows: they have to ask and answer alike"
    elif (rule.minimum is not None or rule.maximum is not None) and reaches(rule, before):
        because = f"{figures}: the base model reaches the {_bound(rule)} asked for, and training made it no better"
        step = "use the base model as it is, or ask for a metric that it doesn't reach yet"
    else:
        because = f"{figures}: no better than the base model"
        step = "write a training.learningRate three times as high and run again in a new output folder"
    return Verdict(decision="Discard", because=because, next_step=step)


def _bound(rule: AcceptanceConfig) -> str:
    if rule.minimum is not None:
        return f"at least {100 * rule.minimum:.6g}%"
    return f"at most {rule.maximum:.6g}" if rule.maximum is not None else "better than the base model"
