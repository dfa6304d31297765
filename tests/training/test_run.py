"""`finetune run` end to end, undisturbed and disturbed: the same command ends with the same result."""

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from finetune_trainer.exit_codes import ExitCode
from tests.support.cli import Said, family, finetune, kill, start, steps_of, wait_until, write_job
from tests.support.training_jobs import CONTRACT, write_data

WHOLE_FAMILY = 3
"""The command, its launcher and its rank."""

LOADER = """
import json, sys
from pathlib import Path
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
out = Path(sys.argv[1])
base = json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"]
tokenizer = AutoTokenizer.from_pretrained(out)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=sys.argv[2]), out).eval()
for line in (out / "evaluation_rows.jsonl").read_text().splitlines():
    row = json.loads(line)
    chat = [{"role": "user", "content": row["prompt"]}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    new = model.generate(**ids, max_new_tokens=60, do_sample=False)[0, ids["input_ids"].shape[1]:]
    assert tokenizer.decode(new, skip_special_tokens=True) == row["tuned"]["output"], row
"""
"""Knows transformers and PEFT, and nothing of ours."""


def prepare(folder: Path, tiny: Path) -> Path:
    write_data(folder)
    dataset = {
        "train": {"source": {"path": "train.jsonl"}},
        "evaluation": {"source": {"path": "check.jsonl"}},
        "maxLength": 256,
        "contract": CONTRACT,
    }
    # dropout draws random numbers at every step: a resumed run has to draw the same ones
    write_job(folder, tiny, dataset=dataset, adapter={"rank": 8, "dropout": "0.1"})
    return folder


def run(folder: Path) -> Said:
    return finetune("run", "job.yaml", "--option", "lora-cpu", cwd=folder)


def digest(folder: Path) -> str:
    status = yaml.safe_load((folder / "out" / "status.yaml").read_text(encoding="utf-8"))["status"]
    assert status["phase"] == "Succeeded"
    return str(status["output"]["digest"])


@pytest.fixture(scope="module")
def undisturbed(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("undisturbed"), tiny)
    said = run(folder)
    assert said.code == 0, said.out + said.err
    return folder


def test_the_output_folder_holds_everything(undisturbed: Path) -> None:
    names = {str(p.relative_to(undisturbed / "out")) for p in (undisturbed / "out").rglob("*") if p.is_file()}
    assert {
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "finetune_config.yaml",
        "finetune_lineage.json",
        "finetune_report.md",
        "evaluation_rows.jsonl",
        "data_report.json",
        "metrics.prom",
        "status.yaml",
    } <= names
    assert any(name.endswith(".png") for name in names)


def test_plain_peft_loads_the_adapter_and_gives_the_same_answers(undisturbed: Path) -> None:
    job = json.loads((undisturbed / "out" / ".finetune" / "bundle" / "job.json").read_text(encoding="utf-8"))
    dtype = {"BF16": "bfloat16", "FP32": "float32"}[job["training"]["precision"]]
    subprocess.run([sys.executable, "-W", "ignore", "-c", LOADER, str(undisturbed / "out"), dtype], check=True)


def test_the_same_command_again_shows_the_result_and_trains_nothing(undisturbed: Path) -> None:
    before = digest(undisturbed)
    steps = len(steps_of(undisturbed / "out"))
    said = run(undisturbed)
    assert said.code == 0
    assert "has run already" in said.out
    assert "decision" in said.out
    assert (digest(undisturbed), len(steps_of(undisturbed / "out"))) == (before, steps)


def test_status_and_report_tell_what_came_out(undisturbed: Path) -> None:
    status = finetune("status", "job.yaml", "-o", "json", cwd=undisturbed)
    assert json.loads(status.out)["evaluation"]["rows"] == 8
    assert "Succeeded" in finetune("status", "out", cwd=undisturbed).out
    report = finetune("report", "job.yaml", cwd=undisturbed)
    assert report.out == (undisturbed / "out" / "finetune_report.md").read_text(encoding="utf-8")


def test_the_repeating_manifest_repeats_the_run(undisturbed: Path, tmp_path: Path) -> None:
    manifest = yaml.safe_load((undisturbed / "out" / "finetune_config.yaml").read_text(encoding="utf-8"))
    manifest["spec"]["output"]["path"] = "again"
    (tmp_path / "job.yaml").write_text(json.dumps(manifest), encoding="utf-8")
    assert finetune("run", "job.yaml", cwd=tmp_path).code == 0
    again = yaml.safe_load((tmp_path / "again" / "status.yaml").read_text(encoding="utf-8"))["status"]
    assert again["output"]["digest"] == digest(undisturbed)


def test_another_job_can_not_take_the_folder(undisturbed: Path) -> None:
    other = (undisturbed / "job.yaml").read_text(encoding="utf-8").replace("3e-3", "4e-3")
    (undisturbed / "other.yaml").write_text(other, encoding="utf-8")
    said = finetune("run", "other.yaml", "--option", "lora-cpu", cwd=undisturbed)
    assert said.code == ExitCode.OUTPUT_CONFLICT
    assert "belongs to another job (spec." in said.err


def test_after_kill_9_of_everything_the_result_is_the_undisturbed_one(
    undisturbed: Path, tiny: Path, tmp_path: Path
) -> None:
    folder = prepare(tmp_path, tiny)
    target = random.SystemRandom().randint(12, 60)
    process = start("run", "job.yaml", "--option", "lora-cpu", cwd=folder)
    wait_until(lambda: len(steps_of(folder / "out")) >= target, process)
    kill(family(process))
    process.wait()
    assert not (folder / "out" / "adapter_model.safetensors").exists()
    said = run(folder)
    assert said.code == 0, said.out + said.err
    assert "resumed" in said.out
    assert digest(folder) == digest(undisturbed), f"killed at step {target}"


@pytest.mark.parametrize("sight", ["staging/adapter_model.safetensors", "tuned.json"])
def test_after_kill_9_behind_training_the_result_is_the_undisturbed_one(
    sight: str, undisturbed: Path, tiny: Path, tmp_path: Path
) -> None:
    folder = prepare(tmp_path, tiny)
    process = start("run", "job.yaml", "--option", "lora-cpu", cwd=folder)
    members: list[psutil.Process] = []

    def seen() -> bool:
        members[:] = members if len(members) == WHOLE_FAMILY else family(process)
        return (folder / "out" / ".finetune" / sight).exists()

    # what comes next takes some milliseconds: looked for without a pause, and killed without looking for whom
    while not seen():
        assert process.poll() is None
    kill(members)
    process.wait()
    psutil.wait_procs(members)
    assert not (folder / "out" / ".finetune" / "result.json").exists()
    said = run(folder)
    assert said.code == 0, said.out + said.err
    assert digest(folder) == digest(undisturbed)


def test_ctrl_c_leaves_a_checkpoint_and_the_same_command_goes_on(undisturbed: Path, tiny: Path, tmp_path: Path) -> None:
    folder = prepare(tmp_path, tiny)
    process = start("run", "job.yaml", "--option", "lora-cpu", cwd=folder)
    wait_until(lambda: len(steps_of(folder / "out")) >= 3, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == ExitCode.INTERRUPTED
    stopped = len(steps_of(folder / "out"))
    assert (folder / "out" / "checkpoints" / f"checkpoint-{stopped}" / "complete.json").is_file()
    status = finetune("status", "job.yaml", cwd=folder)
    assert "Interrupted" in status.out
    said = run(folder)
    assert said.code == 0, said.out + said.err
    assert f"from the checkpoint of step {stopped}" in said.out
    assert digest(folder) == digest(undisturbed)


def test_when_only_the_command_is_killed_the_trainer_stops_with_a_checkpoint(tiny: Path, tmp_path: Path) -> None:
    folder = prepare(tmp_path, tiny)
    process = start("run", "job.yaml", "--option", "lora-cpu", cwd=folder)
    wait_until(lambda: len(steps_of(folder / "out")) >= 2, process)
    below = family(process)[1:]
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(below, timeout=60)
    assert not alive
    assert list((folder / "out" / "checkpoints").glob("checkpoint-*/complete.json"))


def test_when_only_the_launcher_is_killed_the_rank_stops_with_a_checkpoint(tiny: Path, tmp_path: Path) -> None:
    folder = prepare(tmp_path, tiny)
    process = start("run", "job.yaml", "--option", "lora-cpu", cwd=folder)
    wait_until(lambda: len(steps_of(folder / "out")) >= 2, process)
    _, launcher, *ranks = family(process)
    assert len(ranks) == 1
    launcher.kill()
    _, alive = psutil.wait_procs(ranks, timeout=60)
    assert not alive
    assert process.wait(timeout=60) == ExitCode.INTERRUPTED
    assert list((folder / "out" / "checkpoints").glob("checkpoint-*/complete.json"))


def test_a_second_run_at_once_is_refused(tiny: Path, tmp_path: Path) -> None:
    folder = prepare(tmp_path, tiny)
    process = start("run", "job.yaml", "--option", "lora-cpu", cwd=folder)
    wait_until((folder / "out" / "status.yaml").is_file, process)
    said = run(folder)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == ExitCode.INTERRUPTED
    assert said.code == ExitCode.OUTPUT_CONFLICT
    assert f"is being written to by process {process.pid}" in said.err
