"""One rank, trained for real: ZeRO stages and offload, both methods, every row format, precision, checkpointing."""

from pathlib import Path
from typing import Any

import pytest

from finetune_operator.api.spec import Method
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.plan import PrecisionUsed
from finetune_trainer.events import EvaluationEvent, ResultEvent, StepEvent
from tests.support.trainer_process import run_rank
from tests.support.training_jobs import render, tiny_plan, write_data

pytestmark = pytest.mark.usefixtures("stack")

BF16 = {"precision": PrecisionUsed.BF16}
Z2_OFFLOAD = {"zero_stage": 2, "offload": Offload.OPTIMIZER}
Z3_OFFLOAD = {"zero_stage": 3, "offload": Offload.PARAMETERS}

CASES: list[Any] = [
    pytest.param(Method.LORA, "Alpaca", {}, id="lora-z0-fp32-alpaca"),
    pytest.param(Method.LORA, "Messages", BF16, id="lora-z0-bf16-messages"),
    pytest.param(Method.LORA, "PromptCompletion", BF16 | {"zero_stage": 1}, id="lora-z1-bf16-prompt-completion"),
    pytest.param(Method.LORA, "Text", BF16 | {"zero_stage": 2}, id="lora-z2-bf16-text"),
    pytest.param(Method.LORA, "Alpaca", BF16 | {"zero_stage": 3}, id="lora-z3-bf16"),
    pytest.param(Method.LORA, "Alpaca", BF16 | Z3_OFFLOAD, id="lora-z3-offload-bf16"),
    pytest.param(Method.FULL, "Alpaca", {}, id="full-z0-fp32"),
    pytest.param(Method.FULL, "Alpaca", BF16, id="full-z0-bf16"),
    pytest.param(Method.FULL, "Messages", BF16 | {"zero_stage": 1}, id="full-z1-bf16"),
    pytest.param(Method.FULL, "Alpaca", BF16 | Z2_OFFLOAD, id="full-z2-offload-bf16"),
    pytest.param(Method.FULL, "Text", BF16 | {"zero_stage": 3}, id="full-z3-bf16-text"),
    pytest.param(Method.FULL, "Alpaca", BF16 | Z3_OFFLOAD, id="full-z3-offload-bf16"),
    pytest.param(
        Method.LORA,
        "Alpaca",
        {"checkpointing": Checkpointing.FULL, "micro_batch": 4, "accumulation": 2},
        id="lora-z0-fp32-checkpointing-accumulation",
    ),
]


@pytest.mark.parametrize(("method", "row_format", "changes"), CASES)
def test_the_loss_falls_and_the_result_is_published(
    method: Method, row_format: str, changes: dict[str, Any], tiny: Path, tmp_path: Path, port: int
) -> None:
    write_data(tmp_path, row_format)
    job = render(tmp_path, tiny, tiny_plan(method, 8, **changes))
    outcome = run_rank(job.job_file, port)
    assert outcome.code == 0, outcome.output[-3000:]
    steps = outcome.of(StepEvent)
    assert steps[-1].step == steps[-1].steps == 32
    assert steps[-1].loss < 0.8 * steps[0].loss
    before, after = outcome.of(EvaluationEvent)
    assert after.metrics["loss"] < 0.8 * before.metrics["loss"]
    result = outcome.of(ResultEvent)[0]
    assert result.tuned == after.metrics
    assert result.memory_measured > 100 * 1024**2
    weights = "adapter_model.safetensors" if method is Method.LORA else "model.safetensors"
    for name in (weights, "tokenizer.json", "finetune_report.md", "finetune_config.yaml", "evaluation_rows.jsonl"):
        assert (job.output / name).is_file(), name
    assert not list(job.output.glob("*.bin"))
