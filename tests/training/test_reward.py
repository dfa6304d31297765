"""A reward model, trained for real: the chosen answer scores higher, and plain libraries load the same scores."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from finetune_operator.api.spec import Method
from finetune_operator.planner.families import FAMILIES
from finetune_operator.planner.families.unscored import UNSCORED
from finetune_trainer.events import EvaluationEvent, ResultEvent, ResumeEvent, StepEvent
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.job_config import Precision
from finetune_trainer.modeling import load_model
from finetune_trainer.quantization import DTYPES
from tests.support.trainer_process import failure_in_fork, kill_rank, run_rank, run_ranks
from tests.support.training_jobs import write_rows
from tests.training.test_objectives import assert_learnt, pair, prepare
from tests.training.test_ranks import divide

pytestmark = pytest.mark.usefixtures("stack")

LOADER: Final = """
import json, sys, torch
from pathlib import Path
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer
out, check = map(Path, sys.argv[1:])
torch.set_num_threads(1)
loader = AutoModelForSequenceClassification
tokenizer = AutoTokenizer.from_pretrained(out)
adapter = out / "adapter_config.json"
if adapter.exists():
    base = json.loads(adapter.read_text())["base_model_name_or_path"]
    model = PeftModel.from_pretrained(loader.from_pretrained(base, num_labels=1, dtype=torch.float32), out).eval()
else:
    model = loader.from_pretrained(out, dtype=torch.float32).eval()
end = tokenizer.convert_tokens_to_ids("<|im_end|>")
def score(prompt, answer):
    ids = tokenizer.apply_chat_template(prompt + answer, return_dict=True)["input_ids"]
    ids = ids[: len(ids) - ids[::-1].index(end)]
    return model(torch.tensor([ids])).logits[0, 0].item()
rows = [json.loads(line) for line in check.read_text().splitlines()]
print(json.dumps([[score(r["prompt"], r[k]) for k in ("chosen", "rejected")] for r in rows]))
"""
"""Knows transformers and PEFT, and nothing of ours: the scores of both answers to every prompt."""


def plainly_loaded(output: Path) -> list[list[float]]:
    """The scores of the held-out pairs by a model that nothing of ours has loaded."""
    command = [sys.executable, "-W", "ignore", "-c", LOADER, str(output), str(output.parent / "check.jsonl")]
    done = subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    found: list[list[float]] = json.loads(done.stdout)
    return found


def well_formed(index: int) -> dict[str, Any]:
    """The right answer against a refusal."""
    return pair(index) | {"rejected": [{"role": "assistant", "content": "I don't know."}]}


def judged_scores(output: Path, subject: str = "tuned") -> list[Any]:
    judged = json.loads((output / ".finetune" / f"{subject}.json").read_text(encoding="utf-8"))["judged"]
    return [row["scores"] for row in judged]


@pytest.mark.parametrize("method", [Method.LORA, Method.FULL, Method.QLORA, Method.DORA])
def test_the_chosen_answer_scores_higher(method: Method, tiny: Path, tmp_path: Path, port: int) -> None:
    job = prepare(tmp_path, tiny, "Reward", method)
    # what an adapter on random weights can tell apart: an answer in the right form from one that isn't
    for name, begin, count in (("train", 0, 61), ("check", 1000, 8)):
        write_rows(tmp_path / f"{name}.jsonl", [well_formed(begin + i) for i in range(count)])
    outcome = run_rank(job.job_file, port)
    assert_learnt(outcome, "preference-accuracy")
    before, after = outcome.of(EvaluationEvent)
    assert set(before.metrics) == set(after.metrics) == {"loss", "preference-accuracy"}
    # nothing is preferred before anything is learnt
    assert before.metrics["preference-accuracy"] == 0.5
    assert before.metrics["loss"] == pytest.approx(0.6931, abs=1e-3)
    assert after.metrics["loss"] < 0.2
    report = (job.output / "finetune_report.md").read_text(encoding="utf-8")
    assert "AutoModelForSequenceClassification" in report
    assert "generate(" not in report
    if method is not Method.QLORA:
        for mine, theirs in zip(judged_scores(job.output), plainly_loaded(job.output), strict=True):
            assert mine == pytest.approx(theirs, abs=1e-3)


def test_killed_and_resumed_it_ends_with_the_bytes_of_an_undisturbed_run(tiny: Path, tmp_path: Path, port: int) -> None:
    undisturbed = prepare(tmp_path / "undisturbed", tiny, "Reward", dropout="0.1")
    killed = prepare(tmp_path / "killed", tiny, "Reward", dropout="0.1")
    whole = run_rank(undisturbed.job_file, port)
    assert whole.code == 0, whole.output[-3000:]
    assert kill_rank(killed.job_file, port, after_step=14) == -signal.SIGKILL
    resumed = run_rank(killed.job_file, port)
    assert resumed.code == 0, resumed.output[-3000:]
    assert [e.step for e in resumed.of(ResumeEvent)] == [10]
    assert resumed.of(ResultEvent)[0].digest == whole.of(ResultEvent)[0].digest


@pytest.mark.parametrize("stage", [2, 3])
def test_two_ranks_learn_what_one_learns(stage: int, tiny: Path, tmp_path: Path, port: int) -> None:
    alone = prepare(tmp_path / "one", tiny, "Reward", plan={"zero_stage": stage})
    halves = prepare(tmp_path / "two", tiny, "Reward", plan={"zero_stage": stage, "micro_batch": 4})
    divide(halves, stage)
    one, two = run_rank(alone.job_file, port), run_ranks([halves.job_file] * 2, port)
    assert (one.code, two.code) == (0, 0), two.output[-3000:]
    for whole, shared in zip(one.of(StepEvent), two.of(StepEvent), strict=True):
        assert shared.loss == pytest.approx(whole.loss, abs=1e-3)
        assert shared.reward_accuracy == pytest.approx(whole.reward_accuracy, abs=0.02)
    # the score is saved whole, however it was divided
    for mine, theirs in zip(judged_scores(halves.output), plainly_loaded(halves.output), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-3)


def test_activations_that_are_computed_anew_change_nothing(tiny: Path, tmp_path: Path, port: int) -> None:
    from finetune_operator.api.status import Checkpointing

    kept = run_rank(prepare(tmp_path / "kept", tiny, "Reward").job_file, port)
    anew = prepare(tmp_path / "anew", tiny, "Reward", plan={"checkpointing": Checkpointing.FULL})
    again = run_rank(anew.job_file, port)
    assert (kept.code, again.code) == (0, 0), again.output[-3000:]
    for one, other in zip(kept.of(StepEvent), again.of(StepEvent), strict=True):
        assert other.loss == pytest.approx(one.loss, abs=1e-4)


def test_a_family_without_a_score_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "granite"}), encoding="utf-8")
    found = failure_in_fork(_load_scored, tmp_path)
    assert found is not None
    code, message = found
    assert code is ExitCode.MODEL
    assert message == (
        f"{tmp_path}: transformers has no model of the family granite with a score; for objective: Reward take a model "
        "of another family, such as llama or qwen2"
    )


def _load_scored(folder: Path) -> None:
    load_model(folder, DTYPES[Precision.FP32], scored=True)


def test_exactly_the_families_without_a_score_are_refused_when_they_are_planned() -> None:
    code = """
import json
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as NAMES
print(json.dumps(list(NAMES)))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True)
    assert FAMILIES.keys() - set(json.loads(done.stdout.splitlines()[-1])) == UNSCORED
