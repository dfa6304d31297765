"""The report's text: the decision first, then what it rests on, then everything needed to do it again."""

from collections.abc import Sequence
from typing import Final

from finetune_trainer.acceptance import describe
from finetune_trainer.events import ROWS_FILE
from finetune_trainer.evidence import RunRecord
from finetune_trainer.report import facts, numbers
from finetune_trainer.report.markdown import escape, table
from finetune_trainer.report.rows import Outcome, Pair, deciding_mark, instructive, render_pairs
from finetune_trainer.report.usage import render_usage

_MEANINGS: Final = {
    "loss": "mean loss on the answers' tokens, in nats; lower is better",
    "perplexity": "e to the loss; lower is better",
    "exact-match": "the answer is the reference, to the letter",
    "json-valid": "the answer is one JSON object and nothing else",
    "json-fields": "every required field is there",
    "json-allowed": "every field has an allowed value",
    "json-exact": "all fields have the reference's values",
    "preference-accuracy": "the chosen answer is likelier, by token, than the rejected one",
    "reward-accuracy": "training made the better answer gain more than the other, or a wanted one more and an unwanted "
    "one less than answers that belong elsewhere; before training every row is a tie, which counts half",
}
_OF_SCORES: Final = {
    "loss": "minus log sigmoid of the chosen answer's score less the other's; lower is better",
    "preference-accuracy": "the chosen answer scores higher than the rejected one; before training every pair is a "
    "tie, which counts half",
}
"""The same of a reward model."""
_FIELD: Final = "field:"


def render(record: RunRecord, pairs: Sequence[Pair], charts: Sequence[str]) -> str:
    """The whole text."""
    sections = (
        _decision(record),
        _metrics(record),
        render_usage(record),
        _side_by_side(record, pairs),
        _curves(record, charts),
        facts.render_training(record),
        facts.render_data(record),
        facts.render_predictions(record),
        facts.render_environment(record),
        facts.render_files(record),
    )
    return "\n\n".join(sections) + "\n"


def _decision(record: RunRecord) -> str:
    verdict = record.verdict
    model = escape(record.job.model.description)
    what = (
        f"{record.job.method} fine-tuning of {model} on {numbers.count(record.train.rows)} rows, judged on "
        f"{numbers.count(record.evaluation.rows)} held-out rows that were not trained on."
    )
    return "\n\n".join(
        (
            f"# {escape(record.job.name)}: {verdict.decision}",
            f"**{verdict.decision.upper()}**: {escape(verdict.because)}.",
            f"**Next:** {escape(verdict.next_step)}.",
            what,
        )
    )


def _metrics(record: RunRecord) -> str:
    before, after = record.baseline.metrics, record.tuned.metrics
    lines = [
        (
            _named(record, name),
            numbers.metric(name, before[name], record.tuned.rows_behind(name, 0)),
            numbers.metric(name, after[name], record.tuned.rows_behind(name, 0)),
            numbers.change(name, before[name], after[name]),
            _meaning(record, name),
        )
        for name in after
    ]
    stated = f"The rule, stated before the run: {escape(describe(record.job.acceptance))}."
    seen = f"Both models saw the same {numbers.count(record.evaluation.rows)} held-out rows in the same way."
    intervals = (
        " In brackets: number of rows, and the 95% interval (Wilson) of the share." if record.tuned.answers else ""
    )
    return "\n\n".join(
        (
            "## Baseline against tuned",
            table(("metric", ">baseline", ">tuned", ">change", "what it is"), lines),
            f"{stated} {seen}{intervals}",
            "![Bars: each metric of the baseline and of the tuned model](curves/evaluation.png)",
        )
    )


def _named(record: RunRecord, name: str) -> str:
    rule = record.job.acceptance
    if name == rule.metric:
        return f"**{escape(name)}** (decides)"
    return f"{escape(name)} (must not regress)" if name in rule.must_not_regress else escape(name)


def _meaning(record: RunRecord, name: str) -> str:
    if record.job.objective == "Reward":
        return _OF_SCORES[name]
    if name.startswith(_FIELD):
        return f"{escape(name.removeprefix(_FIELD))} has the reference's value"
    return _MEANINGS[name]


def _side_by_side(record: RunRecord, pairs: Sequence[Pair]) -> str:
    title = "## Held-out rows side by side"
    if record.job.objective == "Reward":
        return f"{title}\n\nA reward model writes no answers: there are only its scores, in `.finetune/tuned.json`."
    if not pairs:
        return (
            f"{title}\n\nThe rows are plain text, which asks nothing: there are no answers to compare, only the loss."
        )
    mark = deciding_mark(record, pairs)
    shown = instructive(pairs, mark)
    counts = {o: sum(p.outcome(mark) is o for p in pairs) for o in Outcome}
    told = ", ".join(f"{n} {o.value}" for o, n in counts.items())
    what = (
        f"By {escape(mark)}, of {len(pairs)} rows: {told}. Shown are {len(shown)}, the most instructive first; long "
        f"texts are cut, and line ends shown as ⏎. All raw outputs are in [{ROWS_FILE}]({ROWS_FILE})."
    )
    return "\n\n".join((title, what, render_pairs(shown, mark)))


def _curves(record: RunRecord, charts: Sequence[str]) -> str:
    title = "## Training curves"
    if not record.history:
        return f"{title}\n\nNo step was logged, so there is nothing to draw."
    names = {
        "curves/loss.png": "Training loss and learning rate over optimizer steps",
        "curves/gradient_norm.png": "Gradient norm over optimizer steps",
        "curves/tokens_per_second.png": "Tokens a second over optimizer steps",
    }
    last = record.history[-1]
    summary = (
        f"{numbers.count(last.steps)} optimizer steps, {last.epoch:g} epochs; training loss "
        f"{record.history[0].loss:.3g} at step {record.history[0].step}, {last.loss:.3g} at step {last.step}."
    )
    if record.resumed_from:
        summary += f" The curves go across {len(record.resumed_from) + 1} sessions; dotted lines show where one ended."
    pictures = [f"![{names[c]}]({c})" for c in charts if c in names]
    return "\n\n".join((title, summary, *pictures))
