"""Two ranks that train one model: what they learn is what one rank learns, and the end of one is the end of both."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import psutil
import pytest
from numpy.testing import assert_allclose
from safetensors.numpy import load_file

from finetune_operator.api.spec import Method
from finetune_operator.api.status import Offload
from finetune_operator.planner.zero import overlaps
from finetune_trainer.events import (
    CheckpointEvent,
    EvaluationEvent,
    Event,
    FailureEvent,
    ResultEvent,
    ResumeEvent,
    StepEvent,
    parse_event,
)
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.ranks import check_devices
from tests.support.trainer_process import Outcome, run_rank, run_ranks
from tests.support.training_jobs import TinyJob, render, tiny_plan, write_data
from tests.training.conftest import free_port

pytestmark = pytest.mark.usefixtures("stack")

ROWS: Final = 22
"""Two batches of eight, and one of six that four and four rows of two ranks don't divide evenly."""

ONE: Final = {"micro_batch": 4, "accumulation": 2}
TWO: Final = {"micro_batch": 2, "accumulation": 2}
SAME: Final = 1e-5
"""Relative difference of losses that the order of additions may make; seen are 3e-7."""

CLOSE: Final = 1e-5
"""Difference of weights likewise; seen are 8e-7."""

E = TypeVar("E")


def prepare(folder: Path, tiny: Path, method: Method, rows: int = ROWS, **plan: Any) -> TinyJob:
    write_data(folder, train=rows, held_out=2)
    training = {"epochs": "3", "batchSize": 8, "checkpoint": {"everySteps": 5}}
    # another dropout is drawn on each rank
    adapter = {"rank": 8, "dropout": "0"}
    return render(folder, tiny, tiny_plan(method, 8, **plan), training=training, adapter=adapter)


def divide(job: TinyJob, stage: int = 0) -> TinyJob:
    """The job for two ranks, as it is rendered for two GPUs: plans for a CPU have one."""
    deepspeed = job.job_file.with_name("deepspeed.json")
    config = json.loads(deepspeed.read_bytes())
    config["train_batch_size"] *= 2
    if stage:
        config["zero_optimization"]["overlap_comm"] = overlaps(stage, 2)
    deepspeed.write_text(json.dumps(config), encoding="utf-8")
    contract = json.loads(job.job_file.read_bytes())
    contract["world"]["devices_per_node"] = 2
    job.job_file.write_text(json.dumps(contract), encoding="utf-8")
    return job


def losses(outcome: Outcome) -> list[float]:
    assert outcome.code == 0, outcome.output[-6000:]
    return [s.loss for s in outcome.of(StepEvent)]


def weights(job: TinyJob) -> dict[str, Any]:
    return dict(load_file(next(job.output.glob("*model.safetensors"))))


def digest(job: TinyJob) -> str:
    result = json.loads((job.output / ".finetune" / "result.json").read_bytes())
    return str(result["digest"])


@pytest.fixture(scope="module")
def alone(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Method], tuple[TinyJob, Outcome]]:
    """One rank's training, made when it is first asked for."""
    found: dict[Method, tuple[TinyJob, Outcome]] = {}

    def train(method: Method) -> tuple[TinyJob, Outcome]:
        if method not in found:
            job = prepare(tmp_path_factory.mktemp("alone"), tiny, method, **ONE)
            found[method] = job, run_rank(job.job_file, free_port())
        return found[method]

    return train


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        *(pytest.param(Method.LORA, {"zero_stage": z}, id=f"lora-z{z}") for z in range(4)),
        *(pytest.param(Method.FULL, {"zero_stage": z}, id=f"full-z{z}") for z in range(4)),
        pytest.param(Method.DORA, {"zero_stage": 2}, id="dora-z2"),
        pytest.param(Method.DORA, {"zero_stage": 3}, id="dora-z3"),
        pytest.param(Method.LORA, {"zero_stage": 3, "offload": Offload.PARAMETERS}, id="lora-z3-offload"),
    ],
)
def test_two_ranks_learn_what_one_learns(
    method: Method,
    changes: dict[str, Any],
    alone: Callable[[Method], tuple[TinyJob, Outcome]],
    tiny: Path,
    tmp_path: Path,
    port: int,
) -> None:
    of_one, one = alone(method)
    of_two = divide(prepare(tmp_path, tiny, method, **TWO, **changes), changes["zero_stage"])
    two = run_ranks([of_two.job_file] * 2, port)
    assert losses(two) == pytest.approx(losses(one), rel=SAME)
    assert len(losses(two)) == 9
    found, wanted = weights(of_two), weights(of_one)
    # the head is tied to the embedding: ZeRO-3 saves it once
    assert wanted.keys() - found.keys() <= {"lm_head.weight"}
    for name, values in found.items():
        assert_allclose(values, wanted[name], atol=CLOSE, rtol=0, err_msg=name)
    (base, tuned), (base_of_one, tuned_of_one) = two.of(EvaluationEvent), one.of(EvaluationEvent)
    assert base == base_of_one
    assert tuned.metrics == pytest.approx(tuned_of_one.metrics, rel=1e-4)


@pytest.fixture(scope="module")
def undisturbed(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    job = divided(tmp_path_factory.mktemp("undisturbed"), tiny)
    assert run_ranks([job.job_file] * 2, free_port()).code == 0
    return digest(job)


def divided(folder: Path, tiny: Path) -> TinyJob:
    """24 steps under ZeRO-2, a checkpoint at every fifth."""
    return divide(prepare(folder, tiny, Method.LORA, rows=64, zero_stage=2, **TWO), 2)


class Launched:
    """A job under its launcher, with all that it says."""

    def __init__(self, job: TinyJob) -> None:
        self.events: list[Event] = []
        self._log = (job.job_file.parent / "launch.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "finetune_trainer.launch", str(job.job_file)],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    def until(self, kind: type[Event]) -> None:
        """Listen until that is told."""
        for line in self._process.stdout or ():
            if (event := parse_event(line)) is not None:
                self.events.append(event)
                if isinstance(event, kind):
                    return
        raise AssertionError(f"ended without {kind.__name__}: {self.events[-3:]}")

    def ranks(self) -> dict[int, psutil.Process]:
        """The ranks by number."""
        return {int(p.environ()["RANK"]): p for p in psutil.Process(self._process.pid).children()}

    def ask_to_stop(self) -> None:
        """As an operator would."""
        self._process.terminate()

    def end(self) -> int:
        """Its exit code, with all that it said until then."""
        rest, _ = self._process.communicate(timeout=60)
        self.events += [e for line in rest.splitlines() if (e := parse_event(line)) is not None]
        self._log.close()
        return self._process.returncode

    def of(self, kind: type[E]) -> list[E]:
        """Events of one kind in order."""
        return [e for e in self.events if isinstance(e, kind)]


def test_when_a_rank_is_killed_all_end_with_its_code_and_the_same_job_goes_on(
    undisturbed: str, tiny: Path, tmp_path: Path, port: int
) -> None:
    job = divided(tmp_path, tiny)
    launched = Launched(job)
    launched.until(CheckpointEvent)
    ranks = launched.ranks()
    assert sorted(ranks) == [0, 1]
    ranks[1].kill()
    assert launched.end() == ExitCode.HOST_OUT_OF_MEMORY
    assert not any(p.is_running() for p in ranks.values())
    assert [f.code for f in launched.of(FailureEvent)] == [ExitCode.HOST_OUT_OF_MEMORY]
    again = run_ranks([job.job_file] * 2, port)
    assert again.code == 0, again.output[-6000:]
    assert again.of(ResumeEvent)
    assert digest(job) == undisturbed


def test_ranks_stop_together_and_the_same_job_goes_on(undisturbed: str, tiny: Path, tmp_path: Path, port: int) -> None:
    job = divided(tmp_path, tiny)
    launched = Launched(job)
    launched.until(StepEvent)
    launched.ask_to_stop()
    assert launched.end() == ExitCode.INTERRUPTED
    assert [f.code for f in launched.of(FailureEvent)] == [ExitCode.INTERRUPTED]
    stopped = launched.of(CheckpointEvent)[-1].step
    assert stopped < 24
    again = run_ranks([job.job_file] * 2, port)
    assert again.code == 0, again.output[-6000:]
    assert [r.step for r in again.of(ResumeEvent)] == [stopped]
    assert len(again.of(ResultEvent)) == 1
    assert digest(job) == undisturbed


def test_one_rank_where_two_are_planned_is_refused(tiny: Path, tmp_path: Path, port: int) -> None:
    job = divided(tmp_path, tiny)
    outcome = run_rank(job.job_file, port)
    assert outcome.code == ExitCode.WORLD_SIZE_MISMATCH
    assert "the plan is for 2 ranks, 1 were started" in outcome.of(FailureEvent)[0].message
    assert not outcome.of(EvaluationEvent)


def test_ranks_that_begin_with_different_models_are_refused(tiny: Path, tmp_path: Path, port: int) -> None:
    job = divided(tmp_path, tiny)
    other = shutil.copytree(tiny, tmp_path / "other")
    file = other / "model.safetensors"
    content = bytearray(file.read_bytes())
    begin = 8 + int.from_bytes(content[:8], "little")
    # the lowest bit of every 32-bit value
    content[begin::4] = bytes(b ^ 1 for b in content[begin::4])
    file.write_bytes(content)
    contract = json.loads(job.job_file.read_bytes())
    contract["model"]["path"] = str(other)
    elsewhere = job.job_file.with_name("elsewhere.json")
    elsewhere.write_text(json.dumps(contract), encoding="utf-8")
    outcome = run_ranks([job.job_file, elsewhere], port)
    assert outcome.code == ExitCode.WORLD_SIZE_MISMATCH
    assert "rank 1 begins with another model than rank 0" in outcome.of(FailureEvent)[0].message
    assert not outcome.of(StepEvent)


@pytest.mark.parametrize(
    ("devices", "says"),
    [
        pytest.param(["GPU a"], "the plan is for 2 ranks, 1 came together", id="too-few"),
        pytest.param(["GPU a", "GPU b", "GPU c"], "the plan is for 2 ranks, 3 came together", id="too-many"),
        pytest.param(["GPU a", "GPU a"], "ranks 0 and 1 were given the same device (GPU a)", id="the-same-device"),
    ],
)
def test_each_rank_has_a_device_of_its_own(devices: list[str], says: str) -> None:
    check_devices(2, ["GPU a", "GPU b"])
    with pytest.raises(TrainerError) as refused:
        check_devices(2, devices)
    assert refused.value.code is ExitCode.WORLD_SIZE_MISMATCH
    assert says in refused.value.message
