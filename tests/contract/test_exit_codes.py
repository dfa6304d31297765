"""Exit codes are the trainer's language: none is without meaning, and none is undocumented."""

import re
from pathlib import Path
from typing import Final

import pytest

from finetune_trainer.exit_codes import MEANINGS, ExitCode, NextAction, TrainerError

PAGE: Final = Path(__file__).parents[2] / "docs" / "exit-codes.md"
ROW: Final = re.compile(r"^\| (\d+) \| (\w+) \| (.+?) \| (\w+) \| (yes|no) \| (.+) \|$", re.MULTILINE)
BY_PYTHON_AND_SHELLS: Final = {1, 2, 126, 127, *range(128, 256)}
"""Uncaught exceptions, wrong usage, commands that can't be run, and signals."""


def documented() -> dict[int, tuple[str, str, str]]:
    """Code to reason, next action and whether it counts as a restart."""
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    return {int(code): (reason, action, counts) for code, reason, _, action, counts, _ in rows}


def test_every_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)


@pytest.mark.parametrize("code", ExitCode, ids=lambda c: c.name)
def test_a_code_is_documented_as_it_is_acted_upon(code: ExitCode) -> None:
    meaning = MEANINGS[code]
    counts = "yes" if meaning.counts_as_restart else "no"
    assert documented().get(int(code)) == (meaning.reason, meaning.next_action.value, counts)


def test_no_code_is_documented_that_does_not_exist() -> None:
    assert list(documented()) == sorted(ExitCode)


@pytest.mark.parametrize("code", ExitCode, ids=lambda c: c.name)
def test_a_reason_is_one_camel_case_word(code: ExitCode) -> None:
    # the form that conditions of Kubernetes ask for
    assert re.fullmatch(r"([A-Z][a-z]+)+", MEANINGS[code].reason)


def test_a_reason_tells_its_code() -> None:
    reasons = [m.reason for m in MEANINGS.values()]
    assert len(set(reasons)) == len(reasons)


@pytest.mark.parametrize("code", [c for c in ExitCode if c is not ExitCode.OK], ids=lambda c: c.name)
def test_a_code_is_not_one_that_others_use(code: ExitCode) -> None:
    assert int(code) not in BY_PYTHON_AND_SHELLS


@pytest.mark.parametrize("code", ExitCode, ids=lambda c: c.name)
def test_only_what_is_tried_again_counts_as_a_restart(code: ExitCode) -> None:
    meaning = MEANINGS[code]
    if meaning.counts_as_restart:
        assert meaning.next_action is NextAction.RETRY
    # being asked to stop is nobody's failure
    if meaning.next_action is NextAction.RETRY and code is not ExitCode.INTERRUPTED:
        assert meaning.counts_as_restart


def test_only_success_needs_no_next_action() -> None:
    assert [c for c, m in MEANINGS.items() if m.next_action is NextAction.NONE] == [ExitCode.OK]


def test_an_error_carries_its_code_and_sentence() -> None:
    error = TrainerError(ExitCode.DATA, "train.jsonl:17: output is empty")
    assert (error.code, error.message, str(error)) == (11, "train.jsonl:17: output is empty", error.message)
