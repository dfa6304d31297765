"""DPO, ORPO and KTO, trained for real: losses fall, the right answers win, and what is reloaded is what was judged."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from finetune_operator.api.spec import Method, Objective
from finetune_trainer.events import EvaluationEvent, ResultEvent, ResumeEvent, StepEvent
from tests.support.trainer_process import Outcome, kill_rank, run_rank, run_ranks
from tests.support.training_jobs import TinyJob, answer, question, render, tiny_plan, write_rows
from tests.training.test_ranks import divide

pytestmark = pytest.mark.usefixtures("stack")


def pair(index: int) -> dict[str, Any]:
    """The right colour against the other, laid out by the chat template."""
    turns = [[{"role": "assistant", "content": answer(i)}] for i in (index, index + 1)]
    return {"prompt": [{"role": "user", "content": question(index)}], "chosen": turns[0], "rejected": turns[1]}


def single(index: int) -> dict[str, Any]:
    """A question's right answer or, for another question, its wrong one."""
    wanted = index % 4 < 2
    turn = {"role": "assistant", "content": answer(index if wanted else index + 1)}
    return {"prompt": [{"role": "user", "content": question(index)}], "completion": [turn], "label": wanted}


def prepare(
    folder: Path, tiny: Path, objective: str, method: Method = Method.LORA, *, dropout: str = "0", **changes: Any
) -> TinyJob:
    folder.mkdir(parents=True, exist_ok=True)
    make = single if objective == "KTO" else pair
    write_rows(folder / "train.jsonl", [make(i) for i in range(61)])
    write_rows(folder / "check.jsonl", [make(1000 + i) for i in range(8)])
    plan = {"learning_rate": "1e-3" if method is Method.FULL else "5e-3"} | changes.pop("plan", {})
    spec = {"objective": objective, "preference": {"beta": "0.5"} if objective != "Reward" else None} | changes
    if method is not Method.FULL:
        spec["adapter"] = {"rank": 8, "dropout": dropout}
    return render(folder, tiny, tiny_plan(method, 8, objective=Objective(objective), **plan), **spec)


def assert_learnt(outcome: Outcome, metric: str) -> None:
    assert outcome.code == 0, outcome.output[-3000:]
    steps = outcome.of(StepEvent)
    assert steps[-1].step == steps[-1].steps == 32
    assert steps[-1].loss < 0.8 * steps[0].loss
    assert all(e.reward_accuracy is not None and e.reward_margin is not None for e in steps)
    last = steps[-1]
    assert (last.reward_accuracy or 0) > 0.9
    assert (last.reward_margin or 0) > 0.05
    before, after = outcome.of(EvaluationEvent)
    assert before.rows == after.rows == 8
    assert before.metrics[metric] <= 0.75
    assert after.metrics[metric] == 1
    (result,) = outcome.of(ResultEvent)
    assert result.decision == "Keep"
    assert result.because.startswith(f"{metric} went from")


@pytest.mark.parametrize("method", [Method.LORA, Method.FULL])
def test_dpo_prefers_what_was_chosen(method: Method, tiny: Path, tmp_path: Path, port: int) -> None:
    job = prepare(tmp_path, tiny, "DPO", method)
    outcome = run_rank(job.job_file, port)
    assert_learnt(outcome, "preference-accuracy")
    before, after = outcome.of(EvaluationEvent)
    assert before.metrics["reward-accuracy"] == 0.5
    assert after.metrics["reward-accuracy"] == 1
    # a model that compares with itself: neither answer is ahead, and the loss is that of a coin
    assert outcome.of(StepEvent)[0].loss == pytest.approx(0.6931, abs=1e-3)
    report = (job.output / "finetune_report.md").read_text(encoding="utf-8")
    assert "| beta | 0.5 |" in report
    assert "**preference-accuracy** (decides)" in report


@pytest.mark.parametrize("method", [Method.LORA, Method.FULL])
def test_orpo_prefers_what_was_chosen_and_learns_it(method: Method, tiny: Path, tmp_path: Path, port: int) -> None:
    job = prepare(tmp_path, tiny, "ORPO", method)
    outcome = run_rank(job.job_file, port)
    assert_learnt(outcome, "preference-accuracy")
    before, after = outcome.of(EvaluationEvent)
    assert after.metrics["loss"] < 0.5 * before.metrics["loss"]
    assert "reward-accuracy" not in after.metrics


@pytest.mark.parametrize("method", [Method.LORA, Method.FULL])
def test_kto_wants_what_is_wanted_and_nothing_else(method: Method, tiny: Path, tmp_path: Path, port: int) -> None:
    job = prepare(tmp_path, tiny, "KTO", method)
    outcome = run_rank(job.job_file, port)
    assert_learnt(outcome, "reward-accuracy")
    before, after = outcome.of(EvaluationEvent)
    assert before.metrics["reward-accuracy"] == 0.5
    assert "preference-accuracy" not in after.metrics
    rows = (job.output / "evaluation_rows.jsonl").read_text(encoding="utf-8").splitlines()
    # only a wanted answer is a reference
    assert len(rows) == 4


LOADER: Final = """
import json, sys, torch
from pathlib import Path
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
out, check = map(Path, sys.argv[1:])
torch.set_num_threads(1)
base = json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"]
tokenizer = AutoTokenizer.from_pretrained(out)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), out).eval()
def total(prompt, answer):
    ids = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)["input_ids"]
    both = torch.tensor([tokenizer.apply_chat_template(prompt + answer, return_dict=True)["input_ids"]])
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    stop = both[0].tolist().index(end, len(ids)) + 1
    logs = model(both).logits[0].log_softmax(-1)
    return sum(logs[i - 1, both[0, i]].item() for i in range(len(ids), stop))
rows = [json.loads(line) for line in check.read_text().splitlines()]
print(json.dumps([[total(r["prompt"], r[k]) for k in ("chosen", "rejected")] for r in rows]))
"""
"""Knows transformers and PEFT, and nothing of ours: the log-probabilities of both answers to every prompt."""


@pytest.mark.parametrize("objective", ["DPO", "KTO"])
def test_killed_and_resumed_it_ends_with_the_bytes_of_an_undisturbed_run(
    objective: str, tiny: Path, tmp_path: Path, port: int
) -> None:
    undisturbed = prepare(tmp_path / "undisturbed", tiny, objective, dropout="0.1")
    killed = prepare(tmp_path / "killed", tiny, objective, dropout="0.1")
    whole = run_rank(undisturbed.job_file, port)
    assert whole.code == 0, whole.output[-3000:]
    assert kill_rank(killed.job_file, port, after_step=14) == -signal.SIGKILL
    resumed = run_rank(killed.job_file, port)
    assert resumed.code == 0, resumed.output[-3000:]
    assert [e.step for e in resumed.of(ResumeEvent)] == [10]
    assert resumed.of(ResultEvent)[0].digest == whole.of(ResultEvent)[0].digest
    if objective != "DPO":
        return
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            LOADER,
            str(undisturbed.output),
            str(undisturbed.output.parent / "check.jsonl"),
        ],
        check=True,
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    judged = json.loads((undisturbed.output / ".finetune" / "tuned.json").read_text(encoding="utf-8"))["judged"]
    for mine, theirs in zip(judged, json.loads(done.stdout), strict=True):
        assert mine["log_probs"] == pytest.approx(theirs, abs=2e-3)


@pytest.mark.parametrize(
    ("objective", "stage"), [("DPO", 3), ("KTO", 2), ("ORPO", 0)], ids=["dpo-z3", "kto-z2", "orpo-z0"]
)
def test_two_ranks_learn_what_one_learns(objective: str, stage: int, tiny: Path, tmp_path: Path, port: int) -> None:
    # 61 rows: in each epoch's last step one rank has less to learn from, and fills up
    alone = prepare(tmp_path / "one", tiny, objective, plan={"zero_stage": stage})
    halves = prepare(tmp_path / "two", tiny, objective, plan={"zero_stage": stage, "micro_batch": 4})
    divide(halves, stage)
    one, two = run_rank(alone.job_file, port), run_ranks([halves.job_file] * 2, port)
    assert (one.code, two.code) == (0, 0), two.output[-3000:]
    for whole, shared in zip(one.of(StepEvent), two.of(StepEvent), strict=True):
        assert shared.loss == pytest.approx(whole.loss, abs=1e-3)
        assert shared.reward_accuracy == pytest.approx(whole.reward_accuracy, abs=0.02)
        assert shared.reward_margin == pytest.approx(whole.reward_margin, abs=1e-2)
    (base, _), (base_of_one, _) = two.of(EvaluationEvent), one.of(EvaluationEvent)
    assert base == base_of_one


def test_accumulated_micro_batches_are_one_batch(tiny: Path, tmp_path: Path, port: int) -> None:
    whole = run_rank(prepare(tmp_path / "whole", tiny, "DPO").job_file, port)
    parts = run_rank(
        prepare(tmp_path / "parts", tiny, "DPO", plan={"micro_batch": 2, "accumulation": 4}).job_file, port
    )
    assert (whole.code, parts.code) == (0, 0), parts.output[-3000:]
    for at_once, summed in zip(whole.of(StepEvent), parts.of(StepEvent), strict=True):
        assert summed.loss == pytest.approx(at_once.loss, abs=1e-3)


def test_losses_are_those_of_trl(tiny: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.training.trl_losses", str(tiny)],
        check=True,
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TRL_EXPERIMENTAL_SILENCE": "1"},
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == {"DPO", "ORPO", "KTO", "Reward"}
    for objective, (ours, theirs) in found.items():
        assert ours == pytest.approx(theirs, rel=1e-4), objective
        assert ours != pytest.approx(0.6931, abs=1e-2)
