"""Going on from an adapter: what was learnt is what training begins with, and the result tells where it comes from."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.api.spec import Method, Objective
from finetune_trainer.events import EvaluationEvent, ResultEvent, ResumeEvent, StepEvent, WarningEvent
from finetune_trainer.exit_codes import ExitCode
from tests.support.trainer_process import Outcome, kill_rank, run_rank
from tests.support.training_jobs import TinyJob, answer, question, render, tiny_plan, write_rows
from tests.training.test_objectives import pair

pytestmark = pytest.mark.usefixtures("stack")

HELD_OUT = 8


def taught(folder: Path, tiny: Path, port: int, method: Method = Method.LORA) -> TinyJob:
    """An adapter that has learnt to answer in this form."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"messages": [{"role": "user", "content": question(i)}, {"role": "assistant", "content": answer(i)}]}
        for i in range(64)
    ]
    write_rows(folder / "train.jsonl", rows[:56])
    write_rows(folder / "check.jsonl", rows[56:])
    job = render(folder, tiny, tiny_plan(method, 8, learning_rate="1e-2"))
    outcome = run_rank(job.job_file, port)
    assert outcome.code == 0, outcome.output[-3000:]
    return job


def go_on(
    folder: Path, tiny: Path, parent: Path, objective: str = "DPO", method: Method = Method.LORA, **adapter: Any
) -> TinyJob:
    """Preferring the right colour, from the parent on."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "train.jsonl", [pair(i) for i in range(61)])
    write_rows(folder / "check.jsonl", [pair(1000 + i) for i in range(HELD_OUT)])
    plan = tiny_plan(method, 8, objective=Objective(objective), learning_rate="5e-3")
    spec = {"objective": objective, "adapter": {"rank": 8} | adapter, "method": method.value}
    return render(folder, tiny, plan, adapter_folder=parent, **spec)


def losses(outcome: Outcome, subject: int) -> float:
    return outcome.of(EvaluationEvent)[subject].metrics["loss"]


@pytest.mark.parametrize("method", [Method.LORA, Method.DORA, Method.QLORA])
def test_dpo_goes_on_from_sft(method: Method, tiny: Path, tmp_path: Path, port: int) -> None:
    first = taught(tmp_path / "sft", tiny, port, method)
    job = go_on(tmp_path / "dpo", tiny, first.output, method=method)
    outcome = run_rank(job.job_file, port)
    assert outcome.code == 0, outcome.output[-3000:]
    assert not outcome.of(WarningEvent)
    # what it begins with is what the first run ended with, and the reference with it
    learnt = json.loads((first.output / ".finetune" / "tuned.json").read_text(encoding="utf-8"))["metrics"]["loss"]
    assert losses(outcome, 0) == pytest.approx(learnt, rel=0.5)
    assert outcome.of(StepEvent)[0].loss == pytest.approx(0.6931, abs=1e-3)
    assert outcome.of(StepEvent)[-1].loss < 0.5
    assert outcome.of(EvaluationEvent)[1].metrics["preference-accuracy"] == 1
    lineage = json.loads((job.output / "finetune_lineage.json").read_text(encoding="utf-8"))
    before = json.loads((first.output / "finetune_lineage.json").read_text(encoding="utf-8"))
    assert [r["objective"] for r in lineage["runs"]] == ["SFT", "DPO"]
    assert lineage["runs"][:1] == before["runs"]
    assert lineage["base_digest"] == before["base_digest"]
    result = json.loads((first.output / ".finetune" / "result.json").read_text(encoding="utf-8"))
    assert lineage["runs"][1]["began_from"] == result["digest"]
    assert "went on from the adapter" in (job.output / "finetune_report.md").read_text(encoding="utf-8")


def test_killed_and_resumed_it_ends_with_the_bytes_of_an_undisturbed_run(tiny: Path, tmp_path: Path, port: int) -> None:
    first = taught(tmp_path / "sft", tiny, port)
    undisturbed = go_on(tmp_path / "undisturbed", tiny, first.output, dropout="0.1")
    killed = go_on(tmp_path / "killed", tiny, first.output, dropout="0.1")
    whole = run_rank(undisturbed.job_file, port)
    assert whole.code == 0, whole.output[-3000:]
    assert kill_rank(killed.job_file, port, after_step=14) == -signal.SIGKILL
    resumed = run_rank(killed.job_file, port)
    assert [e.step for e in resumed.of(ResumeEvent)] == [10]
    assert resumed.of(ResultEvent)[0].digest == whole.of(ResultEvent)[0].digest


def test_a_reward_model_begins_with_what_was_learnt(tiny: Path, tmp_path: Path, port: int) -> None:
    first = taught(tmp_path / "sft", tiny, port)
    outcome = run_rank(go_on(tmp_path / "reward", tiny, first.output, "Reward").job_file, port)
    assert outcome.code == 0, outcome.output[-3000:]
    again = run_rank(go_on(tmp_path / "back", tiny, tmp_path / "reward" / "out").job_file, port)
    assert again.code == ExitCode.MODEL
    assert "is a reward model's, and scores; DPO needs one that writes" in again.output


def test_what_does_not_belong_together_is_refused(tiny: Path, tmp_path: Path, port: int) -> None:
    first = taught(tmp_path / "sft", tiny, port)
    some = run_rank(go_on(tmp_path / "some", tiny, first.output, targetModules=["q_proj"]).job_file, port)
    assert some.code == ExitCode.MODEL
    assert "which adapter.targetModules leaves out; write the targetModules that it was trained with" in some.output
    lineage = first.output / "finetune_lineage.json"
    known = json.loads(lineage.read_text(encoding="utf-8"))
    lineage.write_text(json.dumps(known | {"base_digest": "sha256:0", "base": "another"}), encoding="utf-8")
    other = run_rank(go_on(tmp_path / "other", tiny, first.output).job_file, port)
    assert other.code == ExitCode.MODEL
    assert "was trained on another, and model.source is tiny, with other weights; name that base model" in other.output
    lineage.unlink()
    unknown = run_rank(go_on(tmp_path / "unknown", tiny, first.output).job_file, port)
    assert unknown.code == 0, unknown.output[-3000:]
    (told,) = unknown.of(WarningEvent)
    assert told.message.endswith("doesn't say which base model it was trained on; it is taken to be tiny")
