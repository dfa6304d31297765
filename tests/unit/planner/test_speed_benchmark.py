"""benchmarks/speed_model.py as its readers run it."""

import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.planner.efficiency import ASSUMED, FITTED, ONE_DEVICE, QUANTIZED, SEVERAL

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "benchmarks" / "speed_model.py"
PAGE = (ROOT / "docs" / "speed-model.md").read_text(encoding="utf-8")

HEADER = (
    "case,source,model,method,lora_r,targets,quant,seq_len,micro_batch,grad_ckpt,loss_impl,zero,fsdp,world,gpu,framework,"
    "metric,measured_gib,quality,speed,speed_unit,note\n"
)

PUBLISHED = HEADER + (
    'a,fms,Mistral-7B-v0.1,lora,16,"[""q_proj""]",,4096,4,True,hf448,0,False,1,a100,t,allocated,1,A,3324,tokens/s/gpu,\n'
    'b,fms,Mistral-7B-v0.1,lora,16,"[""q_proj""]",,4096,4,True,hf448,0,False,1,a100,t,process,2,A,3324,tokens/s/gpu,x\n'
    "c,fms,Mistral-7B-v0.1,full,,,,4096,4,True,foak,0,True,2,a100,t,allocated,1,A,3373,tokens/s/gpu,\n"
    "d,fms,no-such-model,full,,,,4096,4,True,foak,0,False,1,a100,t,allocated,1,A,1,tokens/s/gpu,\n"
    "e,swift,Mistral-7B-v0.1,full,,,,4096,4,True,foak,0,False,1,a100,t,allocated,1,A,1,samples/s,\n"
    "f,fms,Mistral-7B-v0.1,full,,,,4096,4,True,foak,0,False,1,a100,t,allocated,1,A,,tokens/s/gpu,\n"
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The script's object on a small file."""
    file = tmp_path_factory.mktemp("runs") / "runs.csv"
    file.write_text(PUBLISHED)
    done = subprocess.run([sys.executable, SCRIPT, file, "--json"], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def test_a_run_counts_once_however_many_memory_figures_it_has(found: Any) -> None:
    assert (found["all"]["n"], found["left_out"]) == (2, 2)
    assert set(found["clusters"]) == {"fms/Mistral-7B-v0.1/LoRA", "fms/Mistral-7B-v0.1/Full"}


def test_published_runs_are_met_within_a_tenth(found: Any) -> None:
    assert 0 < found["all"]["mape"] < 10


def test_h100_anchors_are_met_within_a_fifth(found: Any) -> None:
    assert len(found["anchors"]) == 8
    assert max(abs(a["error"]) for a in found["anchors"]) < 20


def test_the_page_has_the_fitted_constants_in_use() -> None:
    said = {name: float(value) for name, value in re.findall(r"^\| `([a-z_]+)` ([0-9.]+)", PAGE, re.MULTILINE)}
    # told in milliseconds
    assert said == {**asdict(FITTED), "launch": 1e3 * FITTED.launch}


def test_the_page_has_the_intervals_in_use() -> None:
    said = re.findall(r"\| ([0-9.]+) to ([0-9.]+)(?:,[^|]*)? \|$", PAGE, re.MULTILINE)
    assert [(float(low), float(high)) for low, high in said] == [ONE_DEVICE, QUANTIZED, SEVERAL, ASSUMED]
