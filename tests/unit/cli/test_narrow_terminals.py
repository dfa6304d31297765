"""Tables and sentences on terminals of 80 and 110 columns, and in a pipe."""

import io
from typing import Final

import pytest
from rich.console import Console
from rich.text import Text

from finetune_operator.api.spec import Method
from finetune_operator.cli import run_view
from finetune_operator.cli.options_view import print_viable
from finetune_operator.cli.output import PIPE_WIDTH, fold, print_command, print_lines, print_parts, print_text
from finetune_operator.cli.result_view import LABEL_WIDTH
from finetune_operator.cli.run_view import RunView
from finetune_operator.planner.plan import Interval, PlanSet
from tests.support.plans import make_plan
from tests.unit.lifecycle.test_status import STEP

ALL: Final = "OPTION MEMORY A DEVICE SPARE TOKENS/S TIME RANGE COST TRAINS"
"""Headings of the table of options."""

SENTENCE: Final = "needs 88.3 GiB a device, a device has 79.0 GiB free of 80.0 GiB; " * 3


def terminal(columns: int) -> Console:
    return Console(file=io.StringIO(), width=columns, force_terminal=True, color_system=None, highlight=False)


def pipe() -> Console:
    return Console(file=io.StringIO(), width=PIPE_WIDTH, soft_wrap=True, highlight=False)


def shown(out: Console) -> list[str]:
    assert isinstance(out.file, io.StringIO)
    return [line.rstrip() for line in out.file.getvalue().splitlines()]


def plans(longest: str = "full-z2-offload-1x80g") -> PlanSet:
    price = Interval(low=0.1, mid=0.17, high=0.2)
    minutes = Interval(low=1400.0, mid=1800.0, high=2340.0)
    first = make_plan(cost=price)
    second = make_plan(id=longest, method=Method.FULL, seconds=minutes, cost=price, tight=True)
    return PlanSet(viable=(first, second), rejected=(), advice=None)


@pytest.mark.parametrize(
    ("parts", "lines"),
    [
        pytest.param(["aa", "bb"], ["aa · bb"], id="fits"),
        pytest.param(["aaaa", "bbbb", "cc", "dd"], ["aaaa ·", "bbbb · cc ·", "dd"], id="broken-between-parts"),
        pytest.param(["a" * 15, "b"], ["a" * 15 + " ·", "b"], id="a-part-that-is-too-long-stays-whole"),
        pytest.param([], [""], id="nothing"),
    ],
)
def test_a_line_is_broken_between_its_parts(parts: list[str], lines: list[str]) -> None:
    assert fold(parts, " · ", first=10, width=12) == lines


def test_wide_characters_count_as_what_they_take() -> None:
    assert fold(["ありがと", "です"], " ", first=10, width=10) == ["ありがと", "です"]


def test_what_follows_is_indented_and_fits() -> None:
    out = terminal(80)
    print_text(out, SENTENCE, label=Text("  full-z1-2x80g: "), indent=6)
    lines = shown(out)
    assert lines[0].startswith("  full-z1-2x80g: needs 88.3")
    assert all(line.startswith("      ") and not line.startswith("       ") for line in lines[1:])
    assert max(len(line) for line in lines) <= 80
    assert " ".join(" ".join(lines).split()) == " ".join(f"full-z1-2x80g: {SENTENCE}".split())


def test_in_a_pipe_a_sentence_is_one_line() -> None:
    out = pipe()
    print_text(out, SENTENCE * 10, indent=6)
    print_parts(out, [SENTENCE] * 10, separator=" · ")
    assert len(shown(out)) == 2


def test_a_command_is_one_line_to_copy_whatever_the_width() -> None:
    out = terminal(40)
    print_command(out, "Choose with:  ", "finetune run examples/quickstart/job.yaml --option lora-cpu")
    assert len(shown(out)) == 1


@pytest.mark.parametrize(
    ("columns", "headings"),
    [
        pytest.param(120, ALL, id="120"),
        pytest.param(110, ALL, id="110"),
        pytest.param(80, "OPTION MEMORY A DEVICE SPARE TOKENS/S TIME COST", id="80"),
        pytest.param(64, "OPTION MEMORY A DEVICE SPARE TIME", id="64"),
    ],
)
def test_a_narrow_terminal_goes_without_columns_and_breaks_none(columns: int, headings: str) -> None:
    out = terminal(columns)
    print_viable(out, plans())
    lines = shown(out)
    assert lines[0].split() == headings.split()
    assert lines[1].startswith("★ lora-1x24g")
    assert lines[2].startswith("  full-z2-offload-1x80g  ")
    assert max(len(line) for line in lines) <= columns


def test_columns_that_are_left_out_are_named() -> None:
    out = terminal(80)
    print_viable(out, plans())
    assert "(a wider terminal also shows RANGE, TRAINS)" in shown(out)


def test_an_option_s_id_is_never_broken() -> None:
    out = terminal(60)
    longest = "full-z3-offload-16x8x80g-nvidia-h100-80gb"
    print_viable(out, plans(longest))
    assert any(line.startswith(f"  {longest} ") for line in shown(out))


def test_a_pipe_gets_every_column_and_no_white_space_at_the_end() -> None:
    out = pipe()
    print_viable(out, plans())
    assert isinstance(out.file, io.StringIO)
    lines = out.file.getvalue().splitlines()
    assert lines[0].split() == ALL.split()
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        pytest.param(180.0, 300.0, "3 to 5 min", id="same-unit"),
        pytest.param(80.0, 120.0, "80 s to 2 min", id="two-units"),
        pytest.param(0.1, 0.2, " <1 s ", id="the-same"),
    ],
)
def test_a_range_has_its_unit_once(low: float, high: float, text: str) -> None:
    out = pipe()
    plan = make_plan(seconds=Interval(low=low, mid=low, high=high))
    print_viable(out, PlanSet(viable=(plan,), rejected=(), advice=None))
    assert text in shown(out)[1]


@pytest.mark.parametrize(
    ("columns", "figures"),
    [
        pytest.param(
            150, "step 120/450 · epoch 0.8 · loss 0.412 · 2.3 k tok/s · 0.00 GiB · 3 min left", id="everything"
        ),
        pytest.param(80, "step 120/450 · loss 0.412 · 2.3 k tok/s · 3 min left", id="80"),
        pytest.param(64, "step 120/450 · loss 0.412 · 3 min left", id="64"),
    ],
)
def test_a_narrow_terminal_s_live_bar_says_what_is_missed_most(
    columns: int, figures: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_view, "console", lambda: terminal(columns))
    view = RunView(interactive=True)
    said = " · ".join(view._figures(STEP))
    assert said == figures
    assert LABEL_WIDTH + 1 + view._bar_width() + 1 + len(said) <= columns


def test_nothing_is_wider_than_a_terminal_of_40_columns() -> None:
    out, found = terminal(40), plans()
    print_viable(out, found)
    lines = shown(out)
    assert all(len(line) <= 40 for line in lines)
    heading, *rows = lines[: 1 + len(found.viable)]
    assert heading.split() == ["OPTION", "SPARE", "TIME"]
    assert [row.lstrip("★ ").split()[0] for row in rows] == [p.id for p in found.viable]


def test_a_separator_never_stands_alone() -> None:
    parts = ["x" * 12, f"{'y' * 9} {'z' * 9}", "w"]
    assert fold(parts, " · ", 14, 14) == ["x" * 12 + " ·", "y" * 9, "z" * 9 + " · w"]


def test_an_explanation_on_a_narrow_terminal_has_no_columns() -> None:
    narrow, wide = terminal(40), terminal(80)
    for out in (narrow, wide):
        print_lines(out, ("COMPONENT", "MEMORY", "MADE OF"), [("weights", "14.3 GiB", "7.6 B x 2 bytes")], "")
    assert shown(narrow) == ["weights 14.3 GiB: 7.6 B x 2 bytes"]
    assert shown(wide)[0].split() == ["COMPONENT", "MEMORY", "MADE", "OF"]
