from pathlib import Path

import pytest

from finetune_trainer.events import ResumeEvent, StepEvent
from finetune_trainer.history import History, Told
from tests.support.trainer_builders import make_held_out, make_step


def resume(step: int) -> ResumeEvent:
    return ResumeEvent(step=step, path=f"checkpoints/checkpoint-{step}")


def kept(history: History) -> list[tuple[int, float]]:
    return [(s.step, s.loss) for s in history.steps()]


def test_nothing_was_logged_before_the_first_step(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    assert (history.steps(), history.resumptions()) == ((), ())


def test_steps_come_back_as_they_were_logged(tmp_path: Path) -> None:
    steps = (make_step(1, gradient_norm=None), make_step(2, loss=0.1 + 0.2))
    history = History(tmp_path / "state" / "history.jsonl")
    for step in steps:
        history.add(step)
    assert History(tmp_path / "state" / "history.jsonl").steps() == steps


@pytest.mark.parametrize(
    ("events", "steps", "resumptions"),
    [
        pytest.param(
            [make_step(1), make_step(2), resume(1), make_step(2, loss=1.5)],
            [(1, 2.0), (2, 1.5)],
            (1,),
            id="a-repeated-step-counts-as-it-was-last",
        ),
        pytest.param(
            [make_step(1), make_step(2), make_step(3), resume(1)],
            [(1, 2.0)],
            (1,),
            id="steps-after-the-checkpoint-are-undone-at-once",
        ),
        pytest.param(
            [make_step(1), make_step(2), make_step(1, loss=1.9)],
            [(1, 1.9)],
            (),
            id="a-session-from-the-beginning-undoes-all",
        ),
        pytest.param(
            [make_step(10), make_step(20), resume(15), make_step(20, loss=1.5), resume(20), make_step(30, loss=1.0)],
            [(10, 2.0), (20, 1.5), (30, 1.0)],
            (15, 20),
            id="two-resumptions-between-logged-steps",
        ),
    ],
)
def test_a_resumed_run_has_one_history(
    tmp_path: Path,
    events: list[StepEvent | ResumeEvent],
    steps: list[tuple[int, float]],
    resumptions: tuple[int, ...],
) -> None:
    history = History(tmp_path / "history.jsonl")
    for event in events:
        history.add(event)
    assert (kept(history), history.resumptions()) == (steps, resumptions)


@pytest.mark.parametrize(
    ("again", "steps", "held_out"),
    [
        pytest.param([], [5, 10, 15], [5, 10], id="a-step-is-told-after-its-evaluation"),
        pytest.param([resume(10)], [5, 10], [5, 10], id="what-was-measured-at-the-checkpoint-stands"),
        pytest.param([resume(9)], [5], [5], id="what-came-after-it-is-undone"),
        pytest.param([resume(15), make_held_out(15, 0.9)], [5, 10, 15], [5, 10, 15], id="made-up-behind-its-step"),
        pytest.param(
            [resume(15), make_held_out(15, 0.9), make_step(20), resume(15), make_step(20)],
            [5, 10, 15, 20],
            [5, 10, 15],
            id="made-up-once",
        ),
        pytest.param([make_held_out(5, 0.9), make_step(5)], [5], [5], id="begun-anew"),
        pytest.param([make_step(5)], [5], [5], id="begun-anew-and-told-in-other-words"),
    ],
)
def test_evaluations_stand_or_fall_with_their_steps(
    tmp_path: Path, again: list[Told], steps: list[int], held_out: list[int]
) -> None:
    history = History(tmp_path / "history.jsonl")
    first: list[Told] = [make_held_out(5, 1.5), make_step(5), make_held_out(10, 1.0), make_step(10), make_step(15)]
    for event in [*first, *again]:
        history.add(event)
    assert [s.step for s in history.steps()] == steps
    assert [e.step for e in history.held_out()] == held_out


@pytest.mark.parametrize("cut", [1, 20, 1000])
def test_a_line_that_a_kill_cut_short_is_left_out(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "history.jsonl"
    for step in (make_step(1), make_step(2)):
        History(path).add(step)
    whole = path.read_bytes()
    first_line = whole.index(b"\n") + 1
    path.write_bytes(whole[: max(first_line + 1, len(whole) - cut)])
    History(path).add(make_step(3))
    # where only the line's end was cut off, its step is whole
    assert [s.step for s in History(path).steps()] == ([1, 2, 3] if cut == 1 else [1, 3])
