import ast
import json
import math
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from finetune_trainer.events import StepEvent
from finetune_trainer.evidence import RunRecord
from finetune_trainer.report import charts, write_report, writer
from finetune_trainer.report.facts import render_training
from finetune_trainer.report.rows import pairs_of
from finetune_trainer.report.text import render
from finetune_trainer.report.usage import render_usage
from tests.support.golden import check_golden
from tests.support.trainer_builders import (
    make_answer,
    make_environment,
    make_evaluation,
    make_facts,
    make_fault,
    make_gpu_memory,
    make_held_out,
    make_job,
    make_record,
    make_step,
)

CHARTS = (
    "curves/evaluation.png",
    "curves/memory.png",
    "curves/loss.png",
    "curves/tokens_per_second.png",
    "curves/gradient_norm.png",
)
ALWAYS = {"curves/evaluation.png", "curves/memory.png"}
WIDTH = 1800
FOUR_BITS = {"kind": "nf4", "double": True, "storage": "uint8"}


def make_full_record() -> RunRecord:
    """Of everything that the text can tell: resumed, offloaded, with faults, judged by a rule with conditions."""
    job = make_job(acceptance={"must_not_regress": ["json-valid"]}, training={"gradient_checkpointing": True})
    hostile = "| `x` | <b>\nno JSON |" + "y" * 300
    return make_record(
        job=job,
        deepspeed={"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}},
        train=make_facts(skipped=12, faults=(make_fault(), make_fault(90, 'priority "urgent" | no')), fault_count=12),
        tuned=make_evaluation(answers=[make_answer(1, output=hostile), make_answer(2)]),
        resumed_from=(40, 60),
        environment=make_environment(device="Example GPU", driver="NVIDIA 580.1"),
        memory=make_gpu_memory(),
    )


def text_of(record: RunRecord) -> str:
    return render(record, pairs_of(record), CHARTS)


def section(text: str, title: str) -> str:
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_report_of_a_simple_run_reads_as_it_should() -> None:
    check_golden("report/simple.md", text_of(make_record()))


def test_the_report_with_everything_in_it_reads_as_it_should() -> None:
    check_golden("report/full.md", text_of(make_full_record()))


def test_a_full_fine_tuning_on_plain_text_has_no_answers_to_compare() -> None:
    job = make_job(
        method="Full", adapter=None, acceptance={"metric": "loss", "minimum": None}, prediction={"tokens_per_second": 0}
    )
    record = make_record(
        job=job,
        train=make_facts(format="Text"),
        baseline=make_evaluation("baseline", answers=()),
        tuned=make_evaluation(answers=()),
        history=(),
        output_files={"model.safetensors": 269_000_000},
    )
    check_golden("report/text.md", render(record, pairs_of(record), ("curves/evaluation.png",)))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(make_full_record(), tmp_path_factory.mktemp("report"))


def test_everything_that_the_text_names_is_there(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    named = set(re.findall(r"\]\(([^)]+)\)", text)) - {"data_report.json"}
    assert named == {*CHARTS, "evaluation_rows.jsonl"}
    found = {str(p.relative_to(written.parent)) for p in written.parent.rglob("*") if p.is_file()}
    assert found == {*named, "finetune_report.md"}


@pytest.mark.parametrize("name", CHARTS)
def test_a_picture_is_a_png_of_the_promised_width(written: Path, name: str) -> None:
    content = (written.parent / name).read_bytes()
    assert content.startswith(b"\x89PNG\r\n")
    width, height = struct.unpack(">II", content[16:24])
    assert width == WIDTH
    assert 400 <= height <= 1400


def test_rows_are_kept_for_programs(written: Path) -> None:
    lines = (written.parent / "evaluation_rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["line"] for line in lines] == [1, 2]


def test_the_report_is_absent_where_a_picture_can_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "finetune_report.md").write_text("of an earlier attempt", encoding="utf-8")
    # a file where the folder belongs
    (tmp_path / "curves").write_text("", encoding="utf-8")
    monkeypatch.setattr(writer, "draw", lambda _: {"curves/loss.png": b"png"})
    with pytest.raises(OSError, match="exists"):
        write_report(make_record(), tmp_path)
    assert not (tmp_path / "finetune_report.md").exists()


def test_pictures_hold_whatever_a_run_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = {"loss": math.nan, "perplexity": 5.2e21, "exact-match": 0.0, "field:$x_{2$ <b> 優先\x1b": 1.0}
    steps = (
        make_step(1, loss=math.nan, gradient_norm=None),
        make_step(2, gradient_norm=None, tokens_per_second=math.inf),
    )
    record = make_record(
        baseline=make_evaluation("baseline", odd), tuned=make_evaluation("tuned", odd), history=steps, resumed_from=(1,)
    )
    monkeypatch.setattr(charts, "DOTS_PER_INCH", 20)
    assert set(charts.draw(record)) == {*CHARTS} - {"curves/gradient_norm.png"}


def test_held_out_losses_are_a_curve_that_ends_with_the_last_of_them() -> None:
    record = make_record(
        job=make_job(training={"evaluate_every_steps": 40}),
        held_out=(make_held_out(40, 0.9), make_held_out(80, 0.5), make_held_out(90, 0.55)),
    )
    line = next(x for x in charts._loss(record).axes[0].get_lines() if x.get_label() == "held-out rows")
    wanted = [(0, record.baseline.metrics["loss"]), (40, 0.9), (80, 0.5), (90, 0.55)]
    assert np.asarray(line.get_xydata()).tolist() == [list(point) for point in wanted]
    assert "| held-out loss while training | every 40 steps; lowest 0.5 at step 80 |" in render_training(record)


@pytest.mark.parametrize(
    ("history", "missing"),
    [
        pytest.param((make_step(1), make_step(2, gradient_norm=None)), set(), id="something-to-draw"),
        pytest.param((make_step(1, gradient_norm=None),), {"curves/gradient_norm.png"}, id="no-gradient-norm-told"),
        pytest.param((), {*CHARTS} - ALWAYS, id="no-step-logged"),
    ],
)
def test_what_was_not_measured_is_not_drawn(history: tuple[StepEvent, ...], missing: set[str]) -> None:
    assert set(charts.choose(make_record(history=history))) == {*CHARTS} - missing


@pytest.mark.parametrize(
    ("changes", "files", "row_format", "expected"),
    [
        pytest.param({}, ["chat_template.jinja"], "Alpaca", ["PeftModel", "apply_chat_template"], id="lora-template"),
        pytest.param({}, ["x"], "Messages", ["PeftModel", "### Instruction"], id="lora-without-a-template"),
        pytest.param({}, ["chat_template.jinja"], "PromptCompletion", ["PeftModel", "tokenizer(prompt"], id="strings"),
        pytest.param(
            {"method": "Full", "adapter": None}, ["chat_template.jinja"], "Alpaca", ["dtype=", "apply_chat"], id="full"
        ),
        pytest.param(
            {"method": "QLoRA", "quantization": FOUR_BITS},
            ["chat_template.jinja"],
            "Alpaca",
            [
                "BitsAndBytesConfig(",
                'load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True',
                'bnb_4bit_compute_dtype="bfloat16"',
                "quantization_config=bits",
                "PeftModel",
            ],
            id="qlora",
        ),
        pytest.param({"method": "DoRA"}, ["chat_template.jinja"], "Alpaca", ["PeftModel"], id="dora"),
    ],
)
def test_the_lines_to_use_it_are_python(
    changes: dict[str, object], files: list[str], row_format: str, expected: list[str]
) -> None:
    record = make_record(
        job=make_job(output='/out/a "b" \\c', **changes),
        output_files=dict.fromkeys(files, 1),
        train=make_facts(format=row_format),
        tuned=make_evaluation(answers=[make_answer(prompt='```\n"quoted" \\ 優先 \U000e0041\u202e\x00')]),
    )
    text = render_usage(record)
    lines = text.split("````python\n")[1].removesuffix("\n````")
    assert all(line.isprintable() for line in lines.splitlines())
    strings = [n.value for n in ast.walk(ast.parse(lines)) if isinstance(n, ast.Constant)]
    assert '/out/a "b" \\c' in strings
    assert any('```\n"quoted" \\ 優先 \U000e0041\u202e\x00' in s for s in strings if isinstance(s, str))
    assert [e for e in expected if e in lines] == expected
    assert ("PeftModel" in lines) == (record.job.method != "Full")
    assert ("BitsAndBytesConfig" in lines) == (record.job.method == "QLoRA")


@pytest.mark.parametrize(
    ("model", "revision", "loaded"),
    [("Qwen/Qwen2.5-7B", "abc", '"Qwen/Qwen2.5-7B", revision="abc", dtype='), ("qwen", None, '"qwen", dtype=')],
)
def test_paths_in_a_pod_aren_t_what_is_used(model: str, revision: str | None, loaded: str) -> None:
    where = '"tickets" is on the volume of claim adapters'
    shown = {"model": model, "revision": revision, "output": "tickets", "where": where}
    text = render_usage(make_record(job=make_job(output="/finetune/claim-1/tickets", shown=shown)))
    assert f"# {where}\n" in text
    assert f"from_pretrained({loaded}" in text
    assert 'PeftModel.from_pretrained(base, "tickets")' in text
    assert "/finetune" not in text


def test_the_report_says_that_the_base_was_judged_in_four_bits() -> None:
    job = make_job(method="QLoRA", quantization=FOUR_BITS)
    line = "base model's weights | rounded to 4 bits (NF4, scales rounded as well), in both evaluations as in training"
    assert line in render_training(make_record(job=job))
    assert "rounded to 4 bits" not in render_training(make_record())


def test_a_long_prompt_is_not_repeated_in_the_lines() -> None:
    record = make_record(tuned=make_evaluation(answers=[make_answer(prompt="x" * 401)]))
    assert "xxx" not in render_usage(record)


def test_time_of_a_resumed_run_is_not_held_against_the_prediction() -> None:
    line = next(
        s for s in section(text_of(make_full_record()), "Predicted against measured").splitlines() if "time" in s
    )
    assert line == "| training time | 23 s | 3 min 20 s (last session) | - |"
