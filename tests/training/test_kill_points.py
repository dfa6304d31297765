"""kill -9 of any rank at any moment: the same job goes on, and ends with the bytes of an undisturbed run.

FINETUNE_KILLS says how many points are drawn, FINETUNE_SEED from what.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from finetune_operator.api.spec import Method
from finetune_trainer.events import ResultEvent
from tests.support.kill_points import Point, draw, kill_at
from tests.support.trainer_process import run_ranks
from tests.support.training_jobs import TinyJob, render, tiny_plan, write_data
from tests.training.conftest import free_port
from tests.training.test_ranks import digest, divide

pytestmark = pytest.mark.usefixtures("stack")

TURNS: Final = {
    "start": 1,
    "data": 1,
    "loading": 1,
    "baseline": 2,
    "training": 1,
    "step": 8,
    "checkpoint": 2,
    "saving": 1,
    "tuned": 1,
    "publishing": 1,
}
POINTS: Final = draw(int(os.environ.get("FINETUNE_KILLS", "6")), int(os.environ.get("FINETUNE_SEED", "6")), TURNS)


def prepare(folder: Path, tiny: Path, ranks: int, stage: int) -> TinyJob:
    """Nine steps with dropout, held-out rows looked at twice, a checkpoint at every third."""
    write_data(folder, train=24, held_out=2)
    checkpoint = {"everySteps": 3, "keep": 4}
    training = {"epochs": "3", "batchSize": 8, "checkpoint": checkpoint, "evaluate": {"everySteps": 4}}
    plan = tiny_plan(Method.LORA, 8, micro_batch=4 // ranks, accumulation=2, zero_stage=stage)
    job = render(folder, tiny, plan, training=training, adapter={"rank": 8, "dropout": "0.1"})
    return divide(job, stage) if ranks == 2 else job


@pytest.fixture(scope="module")
def undisturbed(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], str]:
    """The digest that a run on so many ranks under that stage ends with."""
    known: dict[tuple[int, int], str] = {}

    def train(ranks: int, stage: int) -> str:
        if (ranks, stage) not in known:
            job = prepare(tmp_path_factory.mktemp("undisturbed"), tiny, ranks, stage)
            outcome = run_ranks([job.job_file] * ranks, free_port())
            assert outcome.code == 0, outcome.output[-4000:]
            known[ranks, stage] = digest(job)
        return known[ranks, stage]

    return train


@pytest.mark.parametrize("point", POINTS, ids=lambda p: p.id)
def test_killed_there_it_ends_with_the_bytes_of_an_undisturbed_run(
    point: Point, undisturbed: Callable[[int, int], str], tiny: Path, tmp_path: Path
) -> None:
    wanted = undisturbed(point.ranks, point.stage)
    job = prepare(tmp_path, tiny, point.ranks, point.stage)
    assert kill_at(job, point, free_port()), f"ended before {point.id}"
    again = run_ranks([job.job_file] * point.ranks, free_port())
    assert again.code == 0, again.output[-4000:]
    assert len(again.of(ResultEvent)) == 1
    assert digest(job) == wanted
