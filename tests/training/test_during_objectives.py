"""Held-out rows are looked at by the objective's own loss while a model is trained on judged answers."""

from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.events import HeldOutEvent, StepEvent
from tests.support.judged_losses import judged_loss
from tests.support.trainer_process import Outcome, run_rank, run_ranks
from tests.support.training_jobs import TinyJob, write_rows
from tests.training.conftest import free_port
from tests.training.test_objectives import pair, prepare, single
from tests.training.test_ranks import divide

pytestmark = pytest.mark.usefixtures("stack")

ROWS = 20
"""Of pairs three batches, which two ranks don't share evenly."""


def made(folder: Path, tiny: Path, objective: str, plan: dict[str, Any] | None = None, **training: Any) -> TinyJob:
    written = {"epochs": "2", "batchSize": 8, "checkpoint": {"everySteps": 10}, "evaluate": {"everySteps": 6}}
    job = prepare(folder, tiny, objective, plan=plan or {}, training=written | training)
    make = single if objective == "KTO" else pair
    write_rows(folder / "check.jsonl", [make(1000 + i) for i in range(ROWS)])
    return job


def ended(outcome: Outcome) -> list[HeldOutEvent]:
    assert outcome.code == 0, outcome.output[-4000:]
    return outcome.of(HeldOutEvent)


@pytest.mark.parametrize("objective", ["DPO", "ORPO", "KTO", "Reward"])
def test_the_loss_is_the_objectives_own_on_any_number_of_ranks(objective: str, tiny: Path, tmp_path: Path) -> None:
    alone = made(tmp_path / "one", tiny, objective)
    one = run_rank(alone.job_file, free_port())
    told = ended(one)
    assert [e.step for e in told] == [6, 12, 16]
    assert {e.rows for e in told} == {ROWS}
    # what was looked at is what is read from the disk
    assert told[-1].loss == pytest.approx(judged_loss(objective, alone.output), rel=1e-3)
    assert told[-1].loss < judged_loss(objective, alone.output, "baseline")
    report = (alone.output / "finetune_report.md").read_text(encoding="utf-8")
    assert "held-out loss while training" in report
    shared = divide(made(tmp_path / "two", tiny, objective, {"micro_batch": 4, "zero_stage": 3}), 3)
    two = run_ranks([shared.job_file] * 2, free_port())
    found = ended(two)
    assert [e.loss for e in found] == pytest.approx([e.loss for e in told], rel=1e-3)
    assert found[-1].loss == pytest.approx(judged_loss(objective, shared.output), rel=1e-3)


@pytest.mark.parametrize("objective", ["DPO", "KTO", "Reward"])
def test_it_ends_early_with_the_best_weights(objective: str, tiny: Path, tmp_path: Path, port: int) -> None:
    training: dict[str, Any] = {
        "evaluate": {"everySteps": 2},
        "earlyStopping": {"patience": 3},
        "checkpoint": {"everySteps": 2, "keep": 1},
        "epochs": "5",
    }
    job = made(tmp_path, tiny, objective, **training)
    # the more is learnt, the less is right
    rows = [(single if objective == "KTO" else pair)(1000 + i) for i in range(4)]
    for r in rows:
        if objective == "KTO":
            r["label"] = not r["label"]
        else:
            r["chosen"], r["rejected"] = r["rejected"], r["chosen"]
    write_rows(tmp_path / "check.jsonl", rows)
    outcome = run_rank(job.job_file, port)
    told = ended(outcome)
    best = min(told, key=lambda e: e.loss)
    assert told[-1].step == best.step + 6 < told[-1].steps
    assert outcome.of(StepEvent)[-1].step == told[-1].step
    assert judged_loss(objective, job.output) == pytest.approx(best.loss, rel=1e-3)
    assert best.loss < 0.999 * told[-1].loss
    kept = {p.name for p in (job.output / "checkpoints").glob("checkpoint-*")}
    assert kept == {f"checkpoint-{best.step}", f"checkpoint-{told[-1].step}"}
