"""Packed rows, trained for real: what they teach is what they teach alone, on any number of ranks, killed or not."""

import signal
from pathlib import Path
from typing import Any, Final

import pytest

from finetune_operator.api.spec import Method
from finetune_trainer.events import ResultEvent, ResumeEvent, StepEvent, WarningEvent
from finetune_trainer.exit_codes import ExitCode
from tests.support.tiny_model import CONFIG
from tests.support.trainer_process import Outcome, kill_rank, run_rank, run_ranks
from tests.support.training_jobs import TinyJob, answer, question, render, tiny_plan, write_rows
from tests.training.test_families import make_model
from tests.training.test_ranks import divide

pytestmark = pytest.mark.usefixtures("stack")

BLOOM: Final[dict[str, Any]] = {
    "model_type": "bloom",
    "architectures": ["BloomForCausalLM"],
    "vocab_size": 320,
    "hidden_size": 64,
    "n_layer": 2,
    "n_head": 4,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
    # large enough for a row to notice another
    "initializer_range": 0.2,
}
"""Its positions are made of the mask, which packed rows go without."""


def prepare(
    folder: Path,
    model: Path,
    packing: str,
    plan: dict[str, Any] | None = None,
    config: dict[str, Any] = CONFIG,
    **adapter: str,
) -> TinyJob:
    """61 rows of very different lengths, eight a step, in four micro-batches of two."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"prompt": question(i) + " so" * (i * i % 23), "completion": answer(i)} for i in range(61)]
    write_rows(folder / "train.jsonl", rows)
    write_rows(folder / "check.jsonl", [{"prompt": question(1000 + i), "completion": answer(i)} for i in range(8)])
    values = {"micro_batch": 2, "accumulation": 4} | (plan or {})
    training = {"epochs": "2", "batchSize": 8, "checkpoint": {"everySteps": 5}, "packing": packing}
    return render(
        folder, model, tiny_plan(Method.LORA, 8, config, **values), training=training, adapter={"rank": 8} | adapter
    )


def assert_alike(one: Outcome, other: Outcome) -> None:
    assert (one.code, other.code) == (0, 0), one.output[-3000:] + other.output[-3000:]
    first, second = one.of(StepEvent), other.of(StepEvent)
    assert len(first) == len(second) == 16
    for mine, theirs in zip(first, second, strict=True):
        assert mine.loss == pytest.approx(theirs.loss, abs=1e-4)
        # counted in micro-batches, of which the last one of an epoch may not be full
        assert mine.epoch == pytest.approx(theirs.epoch, abs=0.04)


def test_packed_rows_teach_what_they_teach_alone(tiny: Path, tmp_path: Path, port: int) -> None:
    packed = run_rank(prepare(tmp_path / "packed", tiny, "BestFit").job_file, port)
    alone = run_rank(prepare(tmp_path / "alone", tiny, "Never").job_file, port)
    assert_alike(packed, alone)
    assert not packed.of(WarningEvent)
    assert packed.of(ResultEvent)[0].tuned["loss"] == pytest.approx(alone.of(ResultEvent)[0].tuned["loss"], abs=1e-3)


@pytest.mark.parametrize("stage", [0, 3])
def test_two_ranks_learn_what_one_learns(stage: int, tiny: Path, tmp_path: Path, port: int) -> None:
    alone = prepare(tmp_path / "one", tiny, "BestFit")
    halves = prepare(tmp_path / "two", tiny, "BestFit", {"accumulation": 2, "zero_stage": stage})
    divide(halves, stage)
    assert_alike(run_rank(alone.job_file, port), run_ranks([halves.job_file] * 2, port))


def test_killed_and_resumed_it_ends_with_the_bytes_of_an_undisturbed_run(tiny: Path, tmp_path: Path, port: int) -> None:
    undisturbed = prepare(tmp_path / "undisturbed", tiny, "BestFit", dropout="0.1")
    killed = prepare(tmp_path / "killed", tiny, "BestFit", dropout="0.1")
    whole = run_rank(undisturbed.job_file, port)
    assert whole.code == 0, whole.output[-3000:]
    # the second epoch's order, in the middle of it
    assert kill_rank(killed.job_file, port, after_step=12) == -signal.SIGKILL
    resumed = run_rank(killed.job_file, port)
    assert resumed.code == 0, resumed.output[-3000:]
    assert [e.step for e in resumed.of(ResumeEvent)] == [10]
    assert resumed.of(ResultEvent)[0].digest == whole.of(ResultEvent)[0].digest


def test_where_rows_would_see_one_another_they_go_by_length_and_it_is_said(tmp_path: Path, port: int) -> None:
    model = make_model(tmp_path / "bloom", BLOOM)
    refused = run_rank(prepare(tmp_path / "asked", model, "BestFit", config=BLOOM).job_file, port)
    leak = "in models of the family bloom rows of one line would see one another"
    assert refused.code == ExitCode.MODEL
    assert f"training.packing: {leak}; write Auto or Never, and another output.path" in refused.output
    left = run_rank(prepare(tmp_path / "left", model, "Auto", config=BLOOM).job_file, port)
    assert left.code == 0, left.output[-3000:]
    assert [w.message for w in left.of(WarningEvent)] == [f"rows aren't packed: {leak}; they go by length"]
