"""Measured memory: what live tensors hold is what was counted, to the byte; what the process holds is told by phase."""

from pathlib import Path
from typing import Any

import pytest

from finetune_operator.api.spec import Method
from finetune_operator.planner.plan import PrecisionUsed
from finetune_trainer.events import MEMORY_FILE, Event, MemoryEvent, ResultEvent
from finetune_trainer.job_config import STATE_FOLDER, JobConfig
from finetune_trainer.memory import CPU_MEASURE, SAMPLED_MEASURE, MemoryMeter, ResidentGauge
from finetune_trainer.memory_watch import MemoryWatch, conclude, read_memory
from tests.support.tiny_model import CONFIG
from tests.support.trainer_builders import make_job, make_memory
from tests.support.trainer_process import run_rank
from tests.support.training_jobs import render, tiny_plan, write_data

pytestmark = pytest.mark.usefixtures("stack")

MIB = 1024**2

LAYERS = int(CONFIG["num_hidden_layers"])

TENSORS = {Method.FULL: 2 + 9 * LAYERS, Method.LORA: 2 * 7 * LAYERS}
"""That are trained: embedding, last norm and nine a layer; two for each of seven linear modules."""

GROUPS = {Method.FULL: 2, Method.LORA: 1}
"""That ZeRO lays flat: with and without weight decay; an adapter has no norms."""

STEP_BYTES = 4
"""AdamW counts the steps of each tensor that it steps on."""


@pytest.mark.parametrize("stage", [0, 2, 3])
@pytest.mark.parametrize("method", [Method.LORA, Method.FULL])
def test_tensors_are_as_large_as_counted(method: Method, stage: int, tiny: Path, tmp_path: Path, port: int) -> None:
    plan = tiny_plan(method, 8, precision=PrecisionUsed.BF16, zero_stage=stage)
    told = measured(plan, tiny, tmp_path, port)
    trained = plan.trainable_parameters
    stepped = TENSORS[method] if stage == 0 else GROUPS[method]
    for event in told:
        assert {n: b for n, b in event.tensors.items() if n != "gathered"} == {
            "weights": 2 * plan.total_parameters,
            "optimizer": 12 * trained + STEP_BYTES * stepped,
            "gradients": 2 * trained,
            # the only bucket that is still there after the backward pass: hidden size squared
            **({"buckets": 2 * int(CONFIG["hidden_size"]) ** 2} if stage == 3 else {}),
        }


def test_the_process_is_told_by_phase_and_component(tiny: Path, tmp_path: Path, port: int) -> None:
    plan = tiny_plan(Method.LORA, 8, micro_batch=4, accumulation=2)
    told = measured(plan, tiny, tmp_path, port)
    assert len(told) <= 6
    last = told[-1]
    assert set(last.phases) == {"loading", "baseline", "preparing", "forward", "backward", "step", "saving", "tuned"}
    assert last.measured == last.phases[last.peak] == max(last.phases[p] for p in ("forward", "backward", "step"))
    assert sum(last.components.values()) == last.measured
    assert last.components["weights"] == 4 * plan.total_parameters
    assert last.predicted == plan.memory.components()
    assert last.measured >= last.idle > 100 * 1024**2


def test_a_phase_has_a_peak_of_its_own() -> None:
    meter = MemoryMeter("CPU")
    meter.begin()
    held = b"x" * (64 * MIB)
    del held
    meter.end("loading")
    meter.begin()
    meter.end("baseline")
    phases = meter.phases()
    assert meter.measured_by == CPU_MEASURE
    assert phases["loading"] - phases["baseline"] > 48 * MIB


def test_a_phase_that_comes_again_keeps_its_highest_peak() -> None:
    meter = MemoryMeter("CPU")
    for size in (1, 64, 1):
        meter.begin()
        held = b"x" * (size * MIB)
        del held
        meter.end("forward")
    meter.end("step")
    assert meter.highest() == meter.phases()["forward"] > meter.phases()["step"] + 48 * MIB


def test_where_a_peak_can_not_be_reset_samples_are_taken_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: ResidentGauge) -> None:
        raise PermissionError

    monkeypatch.setattr(ResidentGauge, "reset", refuse)
    meter = MemoryMeter("CPU")
    meter.begin()
    meter.end("loading")
    assert meter.measured_by == SAMPLED_MEASURE
    assert meter.phases()["loading"] > MIB


def test_phases_after_training_join_those_of_training(tmp_path: Path) -> None:
    job = make_job(output=str(tmp_path))
    keep(job, make_memory(phases={"forward": 5 * MIB, "saving": 4 * MIB}))
    meter = MemoryMeter("CPU")
    meter.end("tuned")
    told: list[Event] = []
    last = conclude(job, meter, told.append)
    assert last.phases == {"forward": 5 * MIB, "saving": 4 * MIB} | meter.phases()
    assert told == [last]
    assert read_memory(job) == last


@pytest.mark.parametrize(("kept", "stands"), [(1, 0), (10**15, 1)], ids=["lower", "higher"])
def test_the_peak_of_an_earlier_session_stands_where_it_is_higher(kept: int, stands: int, tmp_path: Path) -> None:
    from transformers import TrainerState

    job = make_job(output=str(tmp_path))
    earlier = make_memory(measured=kept)
    keep(job, earlier)
    told: list[Event] = []
    meter = MemoryMeter("CPU")
    watch = MemoryWatch(job, {"zero_optimization": {"stage": 0}}, meter, told.append)
    meter.end("step")
    unread: Any = None
    watch.on_train_end(unread, TrainerState(), unread)
    assert (read_memory(job) == earlier) == bool(stands)
    assert len(told) == 1 - stands


def test_what_another_version_kept_is_measured_anew(tmp_path: Path) -> None:
    job = make_job(output=str(tmp_path))
    keep(job, make_memory())
    (tmp_path / STATE_FOLDER / MEMORY_FILE).write_text('{"event": "memory"}', encoding="utf-8")
    assert read_memory(job) is None


def keep(job: JobConfig, event: MemoryEvent) -> None:
    path = Path(job.output) / STATE_FOLDER / MEMORY_FILE
    path.parent.mkdir()
    path.write_text(event.model_dump_json(), encoding="utf-8")


def measured(plan: Any, tiny: Path, folder: Path, port: int) -> list[MemoryEvent]:
    write_data(folder)
    job = render(folder, tiny, plan, training={"epochs": "1", "batchSize": 8})
    outcome = run_rank(job.job_file, port)
    assert outcome.code == 0, outcome.output[-3000:]
    told = outcome.of(MemoryEvent)
    assert told[0].step == 2
    assert outcome.of(ResultEvent)[0].memory_measured == told[-1].measured
    return told
