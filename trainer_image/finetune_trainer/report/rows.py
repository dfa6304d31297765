"""Held-out rows side by side: all of them for programs, the instructive ones for people."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from finetune_trainer.evidence import AnswerRow, RunRecord
from finetune_trainer.report.markdown import cell, escape, table
from finetune_trainer.scoring import grade

ROWS_SHOWN: Final = 12
"""Rows in the report; all of them are in the file of rows."""

FIXED_AT_LEAST: Final = 4
"""Places kept for rows that training mended, however many are still wrong."""

PROMPT_CHARACTERS: Final = 200
ANSWER_CHARACTERS: Final = 240

_NOT_IN_A_LINE: Final = re.compile("[\x85\u2028\u2029\ud800-\udfff]")
"""Legal inside JSON strings, but many readers end a line there, and half characters can't be encoded."""


class Outcome(StrEnum):
    """What training did to a row's answer; the most instructive first."""

    BROKEN = "broken by training"
    WRONG = "wrong"
    FIXED = "fixed by training"
    RIGHT = "right"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One row's answers by both models, with their marks."""

    baseline: AnswerRow
    tuned: AnswerRow
    baseline_marks: dict[str, bool]
    tuned_marks: dict[str, bool]

    def outcome(self, mark: str) -> Outcome:
        """What training did, in one respect."""
        before, after = self.baseline_marks[mark], self.tuned_marks[mark]
        if after:
            return Outcome.RIGHT if before else Outcome.FIXED
        return Outcome.BROKEN if before else Outcome.WRONG


def pairs_of(record: RunRecord) -> tuple[Pair, ...]:
    """All rows that both models answered, in the order of the files."""
    contract = record.job.data.contract.answer_json
    before = {(a.file, a.line): a for a in record.baseline.answers}
    return tuple(
        Pair(
            baseline=(base := before[tuned.file, tuned.line]),
            tuned=tuned,
            baseline_marks=grade(base, contract),
            tuned_marks=grade(tuned, contract),
        )
        for tuned in sorted(record.tuned.answers, key=lambda a: (a.file, a.line))
    )


def deciding_mark(record: RunRecord, pairs: Sequence[Pair]) -> str:
    """What counts as right here: the metric that decides, where a single row can have it."""
    marks = pairs[0].tuned_marks
    if record.job.acceptance.metric in marks:
        return record.job.acceptance.metric
    return "json-exact" if "json-exact" in marks else "exact-match"


def instructive(pairs: Sequence[Pair], mark: str) -> tuple[Pair, ...]:
    """The rows to show: what is wrong, what was broken first; what was fixed; and right ones where there is room."""
    by_outcome = {o: [p for p in pairs if p.outcome(mark) is o] for o in Outcome}
    wrong = by_outcome[Outcome.BROKEN] + by_outcome[Outcome.WRONG]
    fixed = _varied(by_outcome[Outcome.FIXED])
    shown = wrong[: ROWS_SHOWN - min(FIXED_AT_LEAST, len(fixed))]
    return tuple([*shown, *fixed, *_varied(by_outcome[Outcome.RIGHT])][:ROWS_SHOWN])


def render_pairs(pairs: Sequence[Pair], mark: str) -> str:
    """The instructive rows as a table."""
    return table(
        ("row", "outcome", "prompt", "reference", "baseline", "tuned"),
        (
            (
                f"{escape(Path(p.tuned.file).name)}:{p.tuned.line}",
                p.outcome(mark).value,
                cell(p.tuned.prompt, PROMPT_CHARACTERS),
                cell(p.tuned.reference, ANSWER_CHARACTERS),
                cell(p.baseline.output, ANSWER_CHARACTERS),
                cell(p.tuned.output, ANSWER_CHARACTERS),
            )
            for p in pairs
        ),
    )


def render_lines(pairs: Sequence[Pair]) -> str:
    """Every row with its raw outputs, one JSON object a line."""
    return "".join(_line(p) + "\n" for p in pairs)


def _line(pair: Pair) -> str:
    value = {
        "file": pair.tuned.file,
        "line": pair.tuned.line,
        "prompt": pair.tuned.prompt,
        "reference": pair.tuned.reference,
        "baseline": {"output": pair.baseline.output, "marks": pair.baseline_marks},
        "tuned": {"output": pair.tuned.output, "marks": pair.tuned_marks},
    }
    return _NOT_IN_A_LINE.sub(lambda m: f"\\u{ord(m[0]):04x}", json.dumps(value, ensure_ascii=False))


def _varied(pairs: Sequence[Pair]) -> list[Pair]:
    """The same rows, a first one for each reference before a second one for any."""
    seen: dict[str, int] = {}
    ranks: list[int] = []
    for pair in pairs:
        ranks.append(seen.get(pair.tuned.reference, 0))
        seen[pair.tuned.reference] = ranks[-1] + 1
    return [pairs[i] for i in sorted(range(len(pairs)), key=lambda i: ranks[i])]
