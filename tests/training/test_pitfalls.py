"""Known pitfalls of the stack that no other test is about; all of them are in docs/pitfalls.md."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from finetune_operator.api.spec import Method
from finetune_trainer.events import EvaluationEvent, FailureEvent, StepEvent
from finetune_trainer.exit_codes import ExitCode
from tests.support.trainer_process import run_rank, run_ranks
from tests.support.training_jobs import TinyJob, render, tiny_plan, write_data
from tests.training.test_families import MIXTRAL, make_model
from tests.training.test_ranks import divide

pytestmark = pytest.mark.usefixtures("stack")

DROP_A_WEIGHT = """
import sys
from safetensors.torch import load_file, save_file
found = load_file(sys.argv[1])
del found["model.layers.1.mlp.down_proj.weight"]
save_file(found, sys.argv[1], metadata={"format": "pt"})
"""


def on_a_copy(tiny: Path, folder: Path) -> Path:
    """A model to be spoilt."""
    return shutil.copytree(tiny, folder / "model")


def prepare(folder: Path, model: Path, targets: tuple[str, ...] = ()) -> TinyJob:
    write_data(folder, train=16, held_out=2)
    job = render(folder, model, tiny_plan(Method.LORA, 8))
    if targets:
        contract = json.loads(job.job_file.read_bytes())
        contract["adapter"]["target_modules"] = list(targets)
        job.job_file.write_text(json.dumps(contract), encoding="utf-8")
    return job


def test_routed_experts_are_trained_under_zero_3_by_two_ranks(tmp_path: Path, port: int) -> None:
    model = make_model(tmp_path / "model", MIXTRAL)
    # a row or two for each rank: they choose different experts
    write_data(tmp_path, train=16, held_out=2)
    training = {"epochs": "3", "batchSize": 4}
    plan = tiny_plan(Method.FULL, 8, MIXTRAL, zero_stage=3, micro_batch=1, accumulation=2)
    job = divide(render(tmp_path, model, plan, adapter={}, training=training), 3)
    outcome = run_ranks([job.job_file] * 2, port)
    assert outcome.code == 0, outcome.output[-4000:]
    steps = outcome.of(StepEvent)
    assert len(steps) == 12
    assert steps[-1].loss < 0.9 * steps[0].loss


def test_a_token_that_the_model_has_no_embedding_of_is_refused(tiny: Path, tmp_path: Path, port: int) -> None:
    model = on_a_copy(tiny, tmp_path)
    path = model / "tokenizer.json"
    tokenizer = json.loads(path.read_bytes())
    like = tokenizer["added_tokens"][-1] | {"special": False}
    # the model has 320 embeddings, and every row has the last of these words
    for number in range(len(tokenizer["model"]["vocab"]), 321):
        content = "number" if number == 320 else f"~{number}~"
        tokenizer["added_tokens"].append(like | {"id": number, "content": content})
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    outcome = run_rank(prepare(tmp_path, model).job_file, port)
    assert outcome.code == ExitCode.MODEL
    told = outcome.of(FailureEvent)[0].message
    assert "has the token number (id 320), and the model has embeddings for 320 tokens" in told
    assert not outcome.of(EvaluationEvent)


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_heads_and_embeddings_are_no_targets(target: str, tiny: Path, tmp_path: Path, port: int) -> None:
    outcome = run_rank(prepare(tmp_path, tiny, ("q_proj", target)).job_file, port)
    assert outcome.code == ExitCode.MODEL
    assert f"{target} is not in LlamaForCausalLM" in outcome.of(FailureEvent)[0].message
    assert not outcome.of(StepEvent)


def test_weights_that_are_missing_are_named(tiny: Path, tmp_path: Path, port: int) -> None:
    model = on_a_copy(tiny, tmp_path)
    path = model / "model.safetensors"
    subprocess.run([sys.executable, "-W", "ignore", "-c", DROP_A_WEIGHT, str(path)], check=True, capture_output=True)
    outcome = run_rank(prepare(tmp_path, model).job_file, port)
    assert outcome.code == ExitCode.MODEL
    assert "the weights lack model.layers.1.mlp.down_proj.weight" in outcome.of(FailureEvent)[0].message
    assert not outcome.of(StepEvent)
