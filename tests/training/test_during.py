"""What happens while a model is trained, on the tiny one: held-out rows are looked at, and what follows from it."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from numpy.testing import assert_allclose
from safetensors.numpy import load_file

from finetune_operator.api.spec import Method
from finetune_trainer.events import EvaluationEvent, FailureEvent, HeldOutEvent, ResultEvent, ResumeEvent, StepEvent
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.history import History
from tests.support.board_reader import read_board
from tests.support.trainer_process import Outcome, kill_rank, run_rank, run_ranks
from tests.support.training_jobs import TinyJob, question, render, row, tiny_plan, write_data, write_rows
from tests.training.conftest import free_port

pytestmark = pytest.mark.usefixtures("stack")


def prepare(folder: Path, tiny: Path, plan: dict[str, Any] | None = None, **training: Any) -> TinyJob:
    write_data(folder)
    written = {"epochs": "2", "batchSize": 8, "checkpoint": {"everySteps": 5}, **training}
    adapter = {"rank": 8, "dropout": "0"}
    return render(folder, tiny, tiny_plan(Method.LORA, 8, **plan or {}), training=written, adapter=adapter)


def on_two_ranks(job: TinyJob) -> TinyJob:
    for name, change in (("deepspeed.json", _double), ("job.json", _two_devices)):
        path = job.job_file.with_name(name)
        path.write_text(json.dumps(change(json.loads(path.read_bytes()))), encoding="utf-8")
    return job


def _double(config: dict[str, Any]) -> dict[str, Any]:
    return config | {"train_batch_size": 2 * config["train_batch_size"]}


def _two_devices(contract: dict[str, Any]) -> dict[str, Any]:
    return contract | {"world": contract["world"] | {"devices_per_node": 2}}


def hostile(job: TinyJob) -> TinyJob:
    """The job with held-out rows of which less is known the more is learnt."""
    rows = [{"instruction": f"What color is the rose number {i}?", "expected": f"~#%{i}^^ZQ@"} for i in range(4)]
    write_rows(job.output.parent / "check.jsonl", rows)
    return job


def ended(outcome: Outcome) -> Outcome:
    assert outcome.code == 0, outcome.output[-4000:]
    return outcome


@pytest.fixture(scope="module")
def evaluated(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TinyJob, Outcome]:
    """16 steps on one rank with three looks at the held-out rows."""
    job = prepare(tmp_path_factory.mktemp("evaluated"), tiny, evaluate={"everySteps": 6})
    return job, ended(run_rank(job.job_file, free_port()))


def test_held_out_rows_are_looked_at_every_so_many_steps_and_at_the_end(evaluated: tuple[TinyJob, Outcome]) -> None:
    job, outcome = evaluated
    told = outcome.of(HeldOutEvent)
    assert [e.step for e in told] == [6, 12, 16]
    assert [e.rows for e in told] == [8, 8, 8]
    _, tuned = outcome.of(EvaluationEvent)
    # the same rows and the same measure as afterwards
    assert told[-1].loss == pytest.approx(tuned.metrics["loss"], rel=1e-5)
    assert told[0].loss > told[-1].loss
    curves = read_board(job.output / "tensorboard")
    assert [step for step, _ in curves["held_out/loss"]] == [6, 12, 16]
    assert [step for step, _ in curves["train/loss"]] == [s.step for s in outcome.of(StepEvent)]
    assert list(History(job.output / ".finetune" / "history.jsonl").held_out()) == told
    assert "held-out loss while training" in (job.output / "finetune_report.md").read_text(encoding="utf-8")


def test_looking_changes_nothing_that_is_learnt(
    evaluated: tuple[TinyJob, Outcome], tiny: Path, tmp_path: Path, port: int
) -> None:
    outcome = ended(run_rank(prepare(tmp_path, tiny).job_file, port))
    assert not outcome.of(HeldOutEvent)
    assert [s.loss for s in outcome.of(StepEvent)] == [s.loss for s in evaluated[1].of(StepEvent)]


def test_what_is_killed_and_goes_on_learns_and_tells_the_same_once(
    evaluated: tuple[TinyJob, Outcome], tiny: Path, tmp_path: Path, port: int
) -> None:
    job = prepare(tmp_path, tiny, evaluate={"everySteps": 6})
    assert kill_rank(job.job_file, port, after_step=12) == -signal.SIGKILL
    again = ended(run_rank(job.job_file, free_port()))
    whole = evaluated[1]
    # in the midst of the second epoch, whose rows were in another order than the first one's
    assert again.of(ResumeEvent)[0].step in {10, 15}
    assert again.of(ResultEvent)[0].digest == whole.of(ResultEvent)[0].digest
    told = History(job.output / ".finetune" / "history.jsonl").held_out()
    assert [(e.step, e.loss) for e in told] == [(e.step, e.loss) for e in whole.of(HeldOutEvent)]
    assert (
        read_board(job.output / "tensorboard")["held_out/loss"]
        == read_board(evaluated[0].output / "tensorboard")["held_out/loss"]
    )


def test_two_ranks_under_zero_3_measure_what_one_does(
    evaluated: tuple[TinyJob, Outcome], tiny: Path, tmp_path: Path, port: int
) -> None:
    plan = {"micro_batch": 4, "zero_stage": 3}
    job = on_two_ranks(prepare(tmp_path, tiny, plan, evaluate={"everySteps": 6}))
    found = ended(run_ranks([job.job_file] * 2, port)).of(HeldOutEvent)
    assert [e.loss for e in found] == pytest.approx([e.loss for e in evaluated[1].of(HeldOutEvent)], rel=1e-5)


@pytest.fixture(scope="module")
def stopped(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TinyJob, Outcome]:
    """A training that ends early, with a checkpoint at the step where it does."""
    training: dict[str, Any] = {
        "evaluate": {"everySteps": 2},
        "earlyStopping": {"patience": 3},
        "checkpoint": {"everySteps": 2, "keep": 1},
        "epochs": "5",
    }
    job = hostile(prepare(tmp_path_factory.mktemp("stopped"), tiny, **training))
    return job, ended(run_rank(job.job_file, free_port()))


def test_training_ends_when_patience_does_and_the_best_weights_are_the_result(stopped: tuple[TinyJob, Outcome]) -> None:
    job, outcome = stopped
    told = outcome.of(HeldOutEvent)
    best = min(told, key=lambda e: e.loss)
    assert told[-1].step == best.step + 6 < told[-1].steps
    assert outcome.of(StepEvent)[-1].step == told[-1].step
    _, tuned = outcome.of(EvaluationEvent)
    assert tuned.metrics["loss"] == pytest.approx(best.loss, rel=1e-5)
    assert tuned.metrics["loss"] < 0.999 * told[-1].loss
    kept = {p.name for p in (job.output / "checkpoints").glob("checkpoint-*")}
    assert kept == {f"checkpoint-{best.step}", f"checkpoint-{told[-1].step}"}


def test_what_ended_early_and_lost_its_result_takes_no_further_step(
    stopped: tuple[TinyJob, Outcome], port: int
) -> None:
    job, first = stopped
    (job.output / "adapter_model.safetensors").unlink()
    again = ended(run_rank(job.job_file, port))
    assert not again.of(StepEvent)
    assert again.of(ResultEvent)[0].digest == first.of(ResultEvent)[0].digest


def test_accumulated_rows_of_all_lengths_count_as_one_large_batch(tiny: Path, tmp_path: Path) -> None:
    found = []
    for name, plan in (("large", {"micro_batch": 8}), ("small", {"micro_batch": 2, "accumulation": 4})):
        job = prepare(tmp_path / name, tiny, plan, epochs="1")
        # 20 rows: the last step has four
        rows = [row("Alpaca", i) | {"instruction": f"{question(i)} {'Look. ' * (i % 7)}"} for i in range(20)]
        write_rows(tmp_path / name / "train.jsonl", rows)
        found.append((job, ended(run_rank(job.job_file, free_port()))))
    (large, whole), (small, parts) = found
    assert [s.loss for s in parts.of(StepEvent)] == pytest.approx([s.loss for s in whole.of(StepEvent)], rel=1e-5)
    wanted, values = (load_file(j.output / "adapter_model.safetensors") for j in (large, small))
    for key in wanted:
        assert_allclose(values[key], wanted[key], atol=1e-5, rtol=0, err_msg=key)


def test_a_step_that_hangs_ends_with_a_sentence_and_a_checkpoint_to_go_on_from(
    tiny: Path, tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune_trainer import training, watchdog

    work, calls = training._PackedTrainer.training_step, iter(range(100))

    def hang_at_the_eighth(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == 7:
            time.sleep(600)
        return work(*args, **kwargs)

    monkeypatch.setattr(training._PackedTrainer, "training_step", hang_at_the_eighth)
    monkeypatch.setattr(watchdog, "FLOOR_SECONDS", 5.0)
    job = prepare(tmp_path, tiny)
    outcome = run_rank(job.job_file, port)
    assert outcome.code == ExitCode.HUNG
    (failure,) = outcome.of(FailureEvent)
    assert failure.message.startswith("step 8 has not ended in ")
    assert "hang_at_the_eighth" in outcome.output
    assert (job.output / "checkpoints" / "checkpoint-5" / "complete.json").is_file()
