"""Going on with another number of ranks, or another ZeRO stage: the loss curve is that of an undisturbed run."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from finetune_operator.api.spec import Method
from finetune_operator.api.status import Offload
from finetune_operator.planner.plan import PrecisionUsed
from finetune_trainer.events import FailureEvent, ResumeEvent, StepEvent, WarningEvent
from finetune_trainer.exit_codes import ExitCode
from tests.support.trainer_process import Outcome, run_ranks
from tests.support.training_jobs import TinyJob, render, tiny_plan, write_data
from tests.training.conftest import free_port
from tests.training.test_ranks import divide

pytestmark = pytest.mark.usefixtures("stack")

SAVED_AT: Final = 5
STEPS: Final = 9
CLOSE: Final = 1e-3
"""Share of a loss that it may differ by; seen are some 1e-7 in 32 bits, and some 2e-4 in 16."""


class Way(NamedTuple):
    """How many ranks, and how they share."""

    ranks: int
    stage: int
    offload: Offload = Offload.NONE

    @property
    def id(self) -> str:
        return f"{self.ranks}x-z{self.stage}" + ("-offload" if self.offload is not Offload.NONE else "")


ALONE: Final = Way(1, 0)
TURNS: Final = (
    (ALONE, Way(2, 0)),
    (ALONE, Way(2, 2)),
    (ALONE, Way(2, 3)),
    (Way(2, 0), ALONE),
    (Way(2, 1), ALONE),
    (Way(2, 2), Way(1, 3, Offload.PARAMETERS)),
    (Way(2, 3), ALONE),
    (Way(2, 3), Way(2, 1)),
)
"""From, to: more ranks and fewer, between all stages."""

KINDS: Final = {
    "lora": (Method.LORA, PrecisionUsed.FP32),
    "full": (Method.FULL, PrecisionUsed.FP32),
    "full-bf16": (Method.FULL, PrecisionUsed.BF16),
    "dora-bf16": (Method.DORA, PrecisionUsed.BF16),
    "full-8bit": (Method.FULL, PrecisionUsed.BF16),
}


def prepare(folder: Path, tiny: Path, kind: str, way: Way, *, dropout: str = "0", batch: int = 8) -> TinyJob:
    write_data(folder, train=22, held_out=2)
    method, precision = KINDS[kind]
    training: dict[str, Any] = {"epochs": "3", "batchSize": batch, "checkpoint": {"everySteps": SAVED_AT}}
    if kind.endswith("8bit"):
        training["optimizer"] = "AdamW8bit"
    plan: dict[str, Any] = {"zero_stage": way.stage, "offload": way.offload, "precision": precision}
    whole = tiny_plan(method, 8, micro_batch=batch // 2 // way.ranks, accumulation=2, **plan)
    job = render(folder, tiny, whole, training=training, adapter={"rank": 8, "dropout": dropout})
    return divide(job, way.stage) if way.ranks == 2 else job


def run(job: TinyJob, way: Way) -> Outcome:
    return run_ranks([job.job_file] * way.ranks, free_port())


def losses(outcome: Outcome) -> dict[int, float]:
    assert outcome.code == 0, outcome.output[-6000:]
    return {s.step: s.loss for s in outcome.of(StepEvent)}


Saved = Callable[[str, Way], tuple[TinyJob, dict[int, float]]]


@pytest.fixture(scope="module")
def saved(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A whole training of that kind, with its losses, made when it is first asked for."""
    known: dict[tuple[str, Way], tuple[TinyJob, dict[int, float]]] = {}

    def train(kind: str, way: Way) -> tuple[TinyJob, dict[int, float]]:
        if (kind, way) not in known:
            job = prepare(tmp_path_factory.mktemp("saved"), tiny, kind, way)
            known[kind, way] = job, losses(run(job, way))
        return known[kind, way]

    return train


def go_on_from(before: TinyJob, job: TinyJob) -> None:
    """Give a job another one's checkpoint."""
    name = f"checkpoint-{SAVED_AT}"
    shutil.copytree(before.output / "checkpoints" / name, job.output / "checkpoints" / name)


def cases() -> Sequence[Any]:
    every = [(kind, turn) for kind in ("lora", "full") for turn in TURNS]
    rounded = [("full-bf16", turn) for turn in (TURNS[2], TURNS[4], TURNS[6])] + [("dora-bf16", TURNS[6])]
    undivided = [("full-8bit", turn) for turn in (TURNS[0], TURNS[3])]
    return [pytest.param(k, f, t, id=f"{k}-{f.id}-to-{t.id}") for k, (f, t) in (*every, *rounded, *undivided)]


@pytest.mark.parametrize(("kind", "origin", "target"), cases())
def test_the_losses_are_those_of_an_undisturbed_run(
    kind: str, origin: Way, target: Way, saved: Saved, tiny: Path, tmp_path: Path
) -> None:
    before, undisturbed = saved(kind, origin)
    assert len(undisturbed) == STEPS
    job = prepare(tmp_path, tiny, kind, target)
    go_on_from(before, job)
    outcome = run(job, target)
    found = losses(outcome)
    assert [e.step for e in outcome.of(ResumeEvent)] == [SAVED_AT]
    assert sorted(found) == list(range(SAVED_AT + 1, STEPS + 1))
    assert found == pytest.approx({step: undisturbed[step] for step in found}, rel=CLOSE)
    assert any("its state is divided anew for" in w.message for w in outcome.of(WarningEvent))


def test_a_step_of_other_rows_is_refused(saved: Saved, tiny: Path, tmp_path: Path) -> None:
    before, _ = saved("lora", ALONE)
    job = prepare(tmp_path, tiny, "lora", Way(2, 2), batch=16)
    go_on_from(before, job)
    outcome = run(job, Way(2, 2))
    assert outcome.code == ExitCode.OUTPUT_CONFLICT
    assert "was saved with 8 rows a step, and this job has 16;" in outcome.of(FailureEvent)[0].message
    assert not outcome.of(StepEvent)


def test_moments_of_another_optimizer_are_refused(saved: Saved, tiny: Path, tmp_path: Path) -> None:
    before, _ = saved("full-bf16", Way(2, 1))
    job = prepare(tmp_path, tiny, "full-8bit", ALONE)
    go_on_from(before, job)
    outcome = run(job, ALONE)
    assert outcome.code == ExitCode.OUTPUT_CONFLICT
    assert "with the state of AdamW, and this job steps by AdamW8bit;" in outcome.of(FailureEvent)[0].message


def test_with_dropout_it_is_said_that_noise_differs_and_the_same_twice(
    saved: Saved, tiny: Path, tmp_path: Path
) -> None:
    before, _ = saved("lora", ALONE)
    found = []
    for name in ("one", "again"):
        job = prepare(tmp_path / name, tiny, "lora", Way(2, 0), dropout="0.1")
        go_on_from(before, job)
        outcome = run(job, Way(2, 0))
        found.append(losses(outcome))
        assert any("dropout is drawn anew" in w.message for w in outcome.of(WarningEvent))
    assert found[0] == found[1]
