"""Two nodes that train one model: each has its own launcher, and they meet where the first one listens."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from safetensors.numpy import load_file

from finetune_operator.api.spec import Method
from finetune_trainer.events import Event, FailureEvent, ResultEvent, parse_event
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.meeting import MASTER, NODE
from finetune_trainer.termination import MAX_BYTES, TERMINATION
from tests.support.trainer_process import run_ranks
from tests.support.training_jobs import TinyJob, render, tiny_plan, write_data

pytestmark = pytest.mark.usefixtures("stack")

TWO: Final[dict[str, Any]] = {"micro_batch": 2, "accumulation": 2, "zero_stage": 2}


def prepare(folder: Path, tiny: Path, **world: int) -> TinyJob:
    write_data(folder, train=16, held_out=2)
    job = render(folder, tiny, tiny_plan(Method.LORA, 8, **TWO), training={"epochs": "2", "batchSize": 8})
    contract = json.loads(job.job_file.read_text(encoding="utf-8"))
    contract["world"].update(world)
    job.job_file.write_text(json.dumps(contract), encoding="utf-8")
    engine_file = job.job_file.with_name("deepspeed.json")
    engine = json.loads(engine_file.read_text(encoding="utf-8"))
    engine["train_batch_size"] = 8
    engine_file.write_text(json.dumps(engine), encoding="utf-8")
    return job


def node(job: TinyJob, number: int, port: int) -> "subprocess.Popen[str]":
    """A launcher as a pod of an Indexed Job starts it."""
    environment = {MASTER: f"localhost:{port}", NODE: str(number), TERMINATION: str(said(job, number))}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "finetune_trainer.launch", str(job.job_file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )


def said(job: TinyJob, number: int) -> Path:
    return job.job_file.with_name(f"termination-{number}")


def last_words(job: TinyJob, number: int) -> Event | None:
    text = said(job, number).read_text(encoding="utf-8")
    assert len(text.encode()) <= MAX_BYTES
    return parse_event(text)


def ends(nodes: Sequence["subprocess.Popen[str]"]) -> list[tuple[int, str]]:
    told = [process.communicate(timeout=180) for process in nodes]
    return [(process.returncode, err[-2000:]) for process, (_, err) in zip(nodes, told, strict=True)]


def weights(job: TinyJob) -> dict[str, Any]:
    return load_file(job.output / "adapter_model.safetensors")


def test_two_nodes_learn_what_two_ranks_of_one_node_learn(tiny: Path, tmp_path: Path, port: int) -> None:
    near = prepare(tmp_path / "near", tiny, nodes=1, devices_per_node=2)
    assert run_ranks([near.job_file] * 2, port).code == ExitCode.OK
    far = prepare(tmp_path / "far", tiny, nodes=2, devices_per_node=1)
    # the first one comes last: the others wait for it
    second, first = node(far, 1, port), node(far, 0, port)
    assert [code for code, _ in ends([first, second])] == [ExitCode.OK, ExitCode.OK]
    assert isinstance(last_words(far, 0), ResultEvent)
    assert not said(far, 1).exists()
    expected, found = weights(near), weights(far)
    assert expected.keys() == found.keys()
    assert all((expected[name] == found[name]).all() for name in expected)


def test_when_a_node_fails_the_other_says_that_it_was_lost(tiny: Path, tmp_path: Path, port: int) -> None:
    job = prepare(tmp_path / "here", tiny, nodes=2, devices_per_node=1)
    elsewhere = prepare(tmp_path / "elsewhere", tiny, nodes=2, devices_per_node=1)
    contract = json.loads(elsewhere.job_file.read_text(encoding="utf-8"))
    contract["model"]["path"] = str(tmp_path / "nowhere")
    elsewhere.job_file.write_text(json.dumps(contract), encoding="utf-8")
    first, second = node(job, 0, port), node(elsewhere, 1, port)
    (lost, _), (code, _) = ends([first, second])
    cause, echo = last_words(elsewhere, 1), last_words(job, 0)
    assert (lost, code) == (ExitCode.RANK_LOST, ExitCode.MODEL)
    assert isinstance(cause, FailureEvent)
    assert isinstance(echo, FailureEvent)
    assert (cause.code, echo.code) == (ExitCode.MODEL, ExitCode.RANK_LOST)
