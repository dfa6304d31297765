"""SIGTERM at any time: all ranks end with the code for it, nothing is lost, and the same job goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from finetune_operator.api.spec import Method
from finetune_trainer.events import Event, HeldOutEvent, PhaseEvent, ResultEvent, ResumeEvent, StepEvent
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.history import History
from tests.support.trainer_process import Ranks, run_ranks
from tests.support.training_jobs import TinyJob, render, tiny_plan, write_data
from tests.training.conftest import free_port
from tests.training.test_ranks import digest, divide

pytestmark = pytest.mark.usefixtures("stack")

ENDS: Final = {ExitCode.INTERRUPTED, ExitCode.RANK_LOST}
"""A rank may find the other gone before it looks at its own request; the launcher tells the first cause alone."""


def prepare(folder: Path, tiny: Path, rows: int = 24, held_out: int = 2, stage: int = 2) -> TinyJob:
    write_data(folder, train=rows, held_out=held_out)
    training = {
        "epochs": "2",
        "batchSize": 8,
        "checkpoint": {"everySteps": 50},
        "evaluate": {"everySteps": 2},
    }
    plan = tiny_plan(Method.LORA, 8, micro_batch=4, accumulation=1, zero_stage=stage)
    return divide(render(folder, tiny, plan, training=training, adapter={"rank": 8, "dropout": "0.1"}), stage)


class Moment(NamedTuple):
    sight: Callable[[Event], bool]
    never: type[Event]
    """What isn't told any more."""
    job: dict[str, int]


def phase(name: str) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, PhaseEvent) and event.phase == name


MOMENTS: Final = {
    # so many rows that reading them outlasts the signal's way
    "tokenising": Moment(phase("data"), StepEvent, {"rows": 8_000}),
    "evaluation": Moment(phase("baseline"), StepEvent, {"held_out": 60}),
    # each needs the other's part of every layer
    "divided-evaluation": Moment(phase("baseline"), StepEvent, {"held_out": 60, "stage": 3}),
    "saving": Moment(phase("saving"), ResultEvent, {}),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_ranks_that_are_asked_to_stop_end_with_its_code(name: str, tiny: Path, tmp_path: Path) -> None:
    sight, never, size = MOMENTS[name]
    ranks = Ranks(prepare(tmp_path, tiny, **size).job_file, free_port(), 2)
    assert ranks.wait_for(lambda: any(map(sight, ranks.events())))
    assert ranks.stop()
    assert ExitCode.INTERRUPTED in ranks.codes
    assert set(ranks.codes) <= ({ExitCode.INTERRUPTED} if name == "divided-evaluation" else ENDS)
    assert not any(isinstance(e, never) for e in ranks.events())
    said = [f.message for f in ranks.failures() if f.code == ExitCode.INTERRUPTED]
    assert said[0].startswith("stopped on request")
    assert said[0].endswith("to go on from the checkpoint" if name == "saving" else "run the same command again")


def test_a_look_at_held_out_rows_is_broken_off_and_made_up_for(tiny: Path, tmp_path: Path) -> None:
    whole, stopped = (prepare(tmp_path / n, tiny, held_out=40) for n in ("whole", "stopped"))
    undisturbed = run_ranks([whole.job_file] * 2, free_port())
    assert undisturbed.code == 0, undisturbed.output[-4000:]
    ranks = Ranks(stopped.job_file, free_port(), 2)
    # the second step is told after the look that comes with it
    assert ranks.wait_for(lambda: any(isinstance(e, StepEvent) for e in ranks.events()))
    assert ranks.stop()
    assert set(ranks.codes) == {ExitCode.INTERRUPTED}
    again = run_ranks([stopped.job_file] * 2, free_port())
    assert again.code == 0, again.output[-4000:]
    assert again.of(ResumeEvent)
    assert digest(stopped) == digest(whole)
    assert points(stopped) == points(whole)


def points(job: TinyJob) -> list[Any]:
    """Steps and looks, each as often as it was told."""
    history = History(job.output / ".finetune" / "history.jsonl")
    looks: list[HeldOutEvent] = list(history.held_out())
    return [*((e.step, e.loss) for e in looks), *((s.step, s.loss) for s in history.steps())]
