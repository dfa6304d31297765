"""QLoRA and DoRA, trained for real on one rank: what sets them apart from LoRA really happens, and happens again."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from finetune_operator.api.spec import Method
from finetune_operator.api.status import Checkpointing
from finetune_operator.planner.plan import PrecisionUsed
from finetune_trainer.events import EvaluationEvent, ResultEvent, ResumeEvent, StepEvent
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.job_config import Precision, QuantizationConfig, load_job
from tests.support.trainer_process import Outcome, failure_in_fork, kill_rank, run_rank
from tests.support.training_jobs import TinyJob, render, tiny_plan, write_data

pytestmark = pytest.mark.usefixtures("stack")

BF16: Final = {"precision": PrecisionUsed.BF16}
FOUR_BITS: Final = QuantizationConfig(kind="nf4", double=True, storage="uint8")

LOADER: Final = """
import json, sys, warnings
import torch
from pathlib import Path
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
out, four_bits, times = Path(sys.argv[1]), sys.argv[2] == "QLoRA", float(sys.argv[3])
torch.set_num_threads(1)
base = json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"]
tokenizer = AutoTokenizer.from_pretrained(out)
def load(**how):
    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, **how), out).eval()
def answer(model, prompt):
    chat = [{"role": "user", "content": prompt}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    new = model.generate(**ids, max_new_tokens=60, do_sample=False)[0, ids["input_ids"].shape[1]:]
    return tokenizer.decode(new, skip_special_tokens=True), model(**ids).logits
plain = load()
if four_bits:
    model = load(quantization_config=BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype="float32"
    ))
    for module in model.modules():
        # its kernel for answering computes in bfloat16, and answers of a model so small hang on that
        module.support_avx512bf16_for_cpu = False
else:
    model = plain
assert {m.scaling["default"] for m in model.modules() if hasattr(m, "lora_A")} == {times}
rows = [json.loads(line) for line in (out / "evaluation_rows.jsonl").read_text().splitlines()]
for row in rows:
    assert answer(model, row["prompt"])[0] == row["tuned"]["output"], row
_, before = answer(plain, rows[0]["prompt"])
_, merged = answer(plain.merge_and_unload(), rows[0]["prompt"])
assert torch.isfinite(before).all()
torch.testing.assert_close(merged, before, atol=1e-3, rtol=1e-3)
"""
"""Knows transformers and PEFT, and nothing of ours: the base as it was judged, the unrounded base, the merged model."""


def prepare(
    folder: Path, tiny: Path, method: Method, dropout: str = "0", *, stabilized: bool = False, **plan: Any
) -> TinyJob:
    write_data(folder)
    adapter = {"rank": 8, "alpha": 16, "dropout": dropout, "rankStabilized": stabilized}
    return render(folder, tiny, tiny_plan(method, 8, **plan), adapter=adapter)


def assert_learnt(outcome: Outcome) -> None:
    assert outcome.code == 0, outcome.output[-3000:]
    steps = outcome.of(StepEvent)
    assert steps[-1].step == steps[-1].steps == 32
    assert steps[-1].loss < 0.8 * steps[0].loss
    before, after = outcome.of(EvaluationEvent)
    assert after.metrics["loss"] < 0.8 * before.metrics["loss"]
    assert "gemm_4bit_forward" not in outcome.output


def tensors(folder: Path, rounded: str = "") -> dict[str, list[Any]]:
    """Name to type and values of a safetensors file's tensors; read elsewhere, since no tensor may be touched here."""
    code = (
        "import json, sys; from safetensors.torch import load_file; found = load_file(sys.argv[1]); "
        f"print(json.dumps({{k: [str(t.dtype), t{rounded}.float().flatten().tolist()] for k, t in found.items()}}))"
    )
    path = next(folder.glob("*model.safetensors"))
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(path)], check=True, capture_output=True)
    found: dict[str, list[Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"zero_stage": 2}, id="z2"),
        pytest.param({"zero_stage": 3, "checkpointing": Checkpointing.FULL}, id="z3-checkpointing"),
    ],
)
def test_qlora_learns_and_leaves_an_ordinary_adapter(
    changes: dict[str, Any], tiny: Path, tmp_path: Path, port: int
) -> None:
    job = prepare(tmp_path, tiny, Method.QLORA, "0.1", **BF16 | changes)
    assert_learnt(run_rank(job.job_file, port))
    found = tensors(job.output)
    assert {dtype for dtype, _ in found.values()} == {"torch.bfloat16"}
    assert {name.split(".")[-2] for name in found} == {"lora_A", "lora_B"}
    assert "quant" not in (job.output / "adapter_config.json").read_text(encoding="utf-8")
    report = (job.output / "finetune_report.md").read_text(encoding="utf-8")
    assert "rounded to 4 bits (NF4, scales rounded as well), in both evaluations" in report


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="z0"),
        pytest.param({"zero_stage": 1}, id="z1"),
        pytest.param({"zero_stage": 2}, id="z2"),
        pytest.param({"zero_stage": 3, "checkpointing": Checkpointing.FULL}, id="z3-checkpointing"),
    ],
)
def test_doras_magnitudes_move_in_sixteen_bits(changes: dict[str, Any], tiny: Path, tmp_path: Path, port: int) -> None:
    # so slow that in bfloat16 no magnitude would ever reach its next number
    job = prepare(tmp_path, tiny, Method.DORA, "0.1", learning_rate="5e-5", **BF16 | changes)
    outcome = run_rank(job.job_file, port)
    assert outcome.code == 0, outcome.output[-3000:]
    before, after = outcome.of(EvaluationEvent)
    assert after.metrics["loss"] < before.metrics["loss"]
    weights = tensors(tiny, ".bfloat16()")
    moved: list[bool] = []
    for name, (dtype, values) in tensors(job.output).items():
        if not name.endswith("lora_magnitude_vector"):
            assert dtype == "torch.bfloat16"
            continue
        assert dtype == "torch.float32"
        _, weight = weights[name.removeprefix("base_model.model.").replace("lora_magnitude_vector", "weight")]
        width = len(weight) // len(values)
        norms = (math.sqrt(sum(w * w for w in weight[i * width : (i + 1) * width])) for i in range(len(values)))
        moved.extend(1e-5 < abs(value - norm) < 1e-3 for value, norm in zip(values, norms, strict=True))
    assert len(moved) == 1024
    assert sum(moved) > 0.9 * len(moved)


@pytest.mark.parametrize(
    ("method", "stabilized"),
    [(Method.QLORA, False), (Method.QLORA, True), (Method.LORA, True), (Method.DORA, True)],
)
def test_killed_and_resumed_it_ends_with_the_bytes_of_an_undisturbed_run(
    method: Method,
    stabilized: bool,  # noqa: FBT001  a parameter of the table
    tiny: Path,
    tmp_path: Path,
    port: int,
) -> None:
    undisturbed = prepare(tmp_path / "undisturbed", tiny, method, "0.1", stabilized=stabilized)
    killed = prepare(tmp_path / "killed", tiny, method, "0.1", stabilized=stabilized)
    whole = run_rank(undisturbed.job_file, port)
    assert_learnt(whole)
    # TRL puts QLoRA's adapter into bfloat16 where nobody puts it back into the run's arithmetic
    assert {dtype for dtype, _ in tensors(undisturbed.output).values()} == {"torch.float32"}
    assert kill_rank(killed.job_file, port, after_step=14) == -signal.SIGKILL
    resumed = run_rank(killed.job_file, port)
    assert resumed.code == 0, resumed.output[-3000:]
    assert [e.step for e in resumed.of(ResumeEvent)] == [10]
    assert resumed.of(ResultEvent)[0].digest == whole.of(ResultEvent)[0].digest
    saved = json.loads((undisturbed.output / "adapter_config.json").read_text(encoding="utf-8"))
    assert saved["use_rslora"] == stabilized
    times = 16 / math.sqrt(8) if stabilized else 16 / 8
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOADER, str(undisturbed.output), method.value, repr(times)],
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def check_layers(job_file: Path, weights: Path) -> None:
    import torch
    from bitsandbytes.nn import Linear4bit
    from safetensors.torch import load_file

    from finetune_trainer.modeling import load_base

    torch.set_num_threads(1)
    model = load_base(load_job(job_file), torch.device("cpu"))
    layers = {n: m for n, m in model.named_modules() if isinstance(m, Linear4bit)}
    assert len(layers) == 14
    original = load_file(weights)
    for name, layer in layers.items():
        inputs = torch.randn(3, layer.in_features)
        with torch.inference_mode():
            judged = layer.eval()(inputs)
        outputs = layer.train()(inputs.requires_grad_())
        assert torch.equal(judged, outputs)
        (gradient,) = torch.autograd.grad(outputs.sum(), inputs)
        # 4 bits are near the weights; nothing, or another order of them, is not
        weight = original[f"{name}.weight"]
        for got, wanted in ((outputs, inputs @ weight.T), (gradient, weight.sum(0).expand_as(inputs))):
            assert (got - wanted).norm() < 0.15 * wanted.norm()


def test_a_layer_that_was_judged_still_passes_gradients_on(tiny: Path, tmp_path: Path) -> None:
    job = prepare(tmp_path, tiny, Method.QLORA)
    assert failure_in_fork(check_layers, job.job_file, tiny / "model.safetensors") is None


def check_engine(storage: str, zero: dict[str, Any]) -> None:
    from finetune_trainer import quantization

    config = FOUR_BITS.model_copy(update={"storage": storage})
    quantization.check_engine(config, Precision.BF16, {"zero_optimization": zero})


@pytest.mark.parametrize(
    ("storage", "zero", "says"),
    [
        pytest.param("uint8", {"stage": 3}, "stored as bfloat16, and it is uint8; render the job again", id="bytes"),
        pytest.param("float16", {"stage": 3}, "stored as bfloat16, and it is float16", id="another-type"),
        pytest.param(
            "bfloat16", {"stage": 3, "offload_param": {}}, "choose a QLoRA option without offload", id="offload"
        ),
    ],
)
def test_what_deepspeed_can_not_do_with_four_bits_is_refused(storage: str, zero: dict[str, Any], says: str) -> None:
    failure = failure_in_fork(check_engine, storage, zero)
    assert failure is not None
    assert failure[0] is ExitCode.CONFIGURATION
    assert says in failure[1]


@pytest.mark.parametrize(("storage", "stage"), [("bfloat16", 3), ("uint8", 0)])
def test_what_deepspeed_can_do_with_four_bits_passes(storage: str, stage: int) -> None:
    assert failure_in_fork(check_engine, storage, {"stage": stage}) is None


def test_moments_in_eight_bits_are_those_of_the_undisturbed_run(tiny: Path, tmp_path: Path, port: int) -> None:
    jobs = {name: render_eight_bits(tmp_path / name, tiny, Method.LORA, **BF16) for name in ("undisturbed", "killed")}
    whole = run_rank(jobs["undisturbed"].job_file, port)
    assert_learnt(whole)
    report = (jobs["undisturbed"].output / "finetune_report.md").read_text(encoding="utf-8")
    assert "| optimizer | AdamW, its moments in 8 bits (bitsandbytes) |" in report
    assert kill_rank(jobs["killed"].job_file, port, after_step=14) == -signal.SIGKILL
    resumed = run_rank(jobs["killed"].job_file, port)
    assert resumed.code == 0, resumed.output[-3000:]
    assert [e.step for e in resumed.of(ResumeEvent)] == [10]
    assert resumed.of(ResultEvent)[0].digest == whole.of(ResultEvent)[0].digest


def check_moments(job_file: Path) -> None:
    import torch

    from finetune_trainer.saved_state import counters

    checkpoint = max((job_file.parents[1] / "out" / "checkpoints").glob("checkpoint-*"))
    saved = counters(next(checkpoint.glob("global_step*")))["optimizer"]
    state = saved.get("optimizer_state_dict", saved)["state"]
    kinds = {}
    for known in state.values():
        found = known.get("__bnb_optimizer_quant_state__", known)
        kinds[found["state1"].numel()] = found["state1"].dtype
    assert kinds[max(kinds)] is torch.float32, "the table of embeddings is rounded"
    del kinds[max(kinds)]
    assert {dtype for size, dtype in kinds.items() if size >= 4096} == {torch.uint8}
    assert {dtype for size, dtype in kinds.items() if size < 4096} == {torch.float32}


@pytest.mark.parametrize("precision", [PrecisionUsed.BF16, PrecisionUsed.FP32])
def test_moments_of_embeddings_stay_wide(precision: PrecisionUsed, tiny: Path, tmp_path: Path, port: int) -> None:
    job = render_eight_bits(tmp_path, tiny, Method.FULL, precision=precision)
    assert_learnt(run_rank(job.job_file, port))
    assert failure_in_fork(check_moments, job.job_file) is None


def test_eight_bits_are_not_divided(tiny: Path, tmp_path: Path, port: int) -> None:
    refused = run_rank(render_eight_bits(tmp_path, tiny, Method.FULL, zero_stage=2).job_file, port)
    assert refused.code == ExitCode.CONFIGURATION
    assert "zero_optimization.stage is 2, and AdamW8bit's state is whole on every device" in refused.output


def render_eight_bits(folder: Path, tiny: Path, method: Method, **plan: Any) -> TinyJob:
    write_data(folder)
    training = {"epochs": "4", "batchSize": 8, "checkpoint": {"everySteps": 10}, "optimizer": "AdamW8bit"}
    # matrices of 4096 elements and more are rounded, smaller ones aren't
    spec: dict[str, Any] = {} if method is Method.FULL else {"adapter": {"rank": 64}}
    return render(folder, tiny, tiny_plan(method, 64, **plan), training=training, **spec)
