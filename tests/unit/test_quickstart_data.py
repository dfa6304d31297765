"""The quick start's rows: what its README promises of them holds."""

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pytest

from finetune_operator.api.spec import FineTuneJobSpec
from finetune_operator.local.manifest import read_job

QUICKSTART: Final = Path(__file__).parents[2] / "examples" / "quickstart"

ANSWER_KEYS: Final = {"train.jsonl": "output", "check.jsonl": "expected"}
"""Held-out rows say what is expected."""

NEAR: Final = 0.8
"""Share of common words from which two tickets are the same one in other clothes."""

_POLICY_ROW: Final = re.compile(r"^\| (critical|high|medium|low) \| ([^|]+) \|", re.MULTILINE)

each_file = pytest.mark.parametrize("name", list(ANSWER_KEYS))


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (QUICKSTART / name).read_text(encoding="utf-8").split("\n") if line]


def _answers(name: str) -> list[dict[str, str]]:
    return [json.loads(row[ANSWER_KEYS[name]]) for row in _rows(name)]


def _policy() -> dict[str, str]:
    """Reason to priority, as the README states them."""
    found = _POLICY_ROW.findall((QUICKSTART / "README.md").read_text(encoding="utf-8"))
    return {reason.strip(): priority for priority, reason in found}


def _spec() -> FineTuneJobSpec:
    return read_job(QUICKSTART / "job.yaml").spec


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


def test_the_job_names_these_files_and_asks_for_the_policy() -> None:
    spec = _spec()
    assert spec.dataset.evaluation.source is not None
    assert [*(s.path for s in spec.dataset.train.files), spec.dataset.evaluation.source.path] == list(ANSWER_KEYS)
    assert spec.dataset.contract.output is not None
    contract = spec.dataset.contract.output.json_
    assert set(contract.values["priority"]) == set(_policy().values())


def test_there_are_a_few_hundred_rows_and_enough_to_judge_by() -> None:
    assert 300 <= len(_rows("train.jsonl")) <= 400
    assert len(_rows("check.jsonl")) >= 60


@each_file
def test_every_row_asks_the_same(name: str) -> None:
    rows = _rows(name)
    assert {frozenset(row) for row in rows} == {frozenset({"instruction", "input", ANSWER_KEYS[name]})}
    assert {row["instruction"] for row in rows} == {_rows("train.jsonl")[0]["instruction"]}


@each_file
def test_every_answer_is_one_of_the_policys_in_one_spelling(name: str) -> None:
    allowed = {json.dumps({"reason": r, "priority": p}) for r, p in _policy().items()}
    assert {row[ANSWER_KEYS[name]] for row in _rows(name)} == allowed


def test_held_out_rows_are_balanced() -> None:
    answers = _answers("check.jsonl")
    assert len(set(Counter(a["priority"] for a in answers).values())) == 1
    assert len(set(Counter(a["reason"] for a in answers).values())) == 1


def test_training_rows_are_nearly_balanced() -> None:
    counts = Counter(a["priority"] for a in _answers("train.jsonl")).values()
    assert min(counts) >= 0.8 * max(counts)


def test_no_two_tickets_are_alike_within_a_file_or_between_them() -> None:
    tickets = [(f"{n}:{i}", _words(r["input"])) for n in ANSWER_KEYS for i, r in enumerate(_rows(n), start=1)]
    alike = [(a, b) for (a, x), (b, y) in combinations(tickets, 2) if len(x & y) >= NEAR * len(x | y)]
    assert alike == []


@each_file
def test_tickets_differ_in_length(name: str) -> None:
    lengths = sorted(len(row["input"].split()) for row in _rows(name))
    assert lengths[-1] >= 3 * lengths[0] > 0
