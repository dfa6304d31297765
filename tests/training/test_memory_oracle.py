"""The plan's memory against torch's own count of a training step, for real models without their weights."""

import statistics
import sys
from collections.abc import Mapping

import pytest

from finetune_operator.api.spec import Accelerator
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.architecture import read_architecture
from finetune_operator.planner.memory import estimate
from finetune_operator.planner.plan import PrecisionUsed
from finetune_operator.planner.setting import Setting
from finetune_operator.planner.states import Sharding
from finetune_operator.planner.workload import Workload, read_workload
from tests.support.measured_apart import measure_apart
from tests.support.oracle_cases import CASES, Case

WORST = 0.06
"""Share of the measured peak that a plan may be off by, at most."""

MEDIAN = 0.02
"""Likewise, in half of the cases."""

Measured = Mapping[str, Mapping[str, int]]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Every case, measured in another process: this one must not touch a tensor."""
    found: Measured = measure_apart("tests.support.peak_oracle", tmp_path_factory.mktemp("oracle") / "measured.json")
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_planned_peak_is_the_one_that_torch_counts(name: str, measured: Measured) -> None:
    plan, count = _planned(CASES[name]), _peak(measured[name])
    assert abs(plan - count) <= WORST * count, f"{plan / 1e9:.2f} GB planned, {count / 1e9:.2f} GB counted"


def test_half_of_all_plans_are_within_two_percent(measured: Measured) -> None:
    errors = {name: _planned(case) / _peak(measured[name]) - 1 for name, case in CASES.items()}
    sizes = [abs(e) for e in errors.values()]
    _show(errors, measured, f"{len(sizes)} cases, median {statistics.median(sizes):.2%}, worst {max(sizes):.2%}")
    assert len(sizes) >= 40
    assert statistics.median(sizes) <= MEDIAN


@pytest.mark.parametrize("name", CASES)
def test_the_planned_trainable_parameters_are_the_models(name: str, measured: Measured) -> None:
    assert _workload(CASES[name]).trainable == measured[name]["trainable"]


def _workload(case: Case) -> Workload:
    return read_workload(read_architecture(case.config), case.method, case.adapter)


def _planned(case: Case) -> int:
    """What the plan says that the allocator hands out: all but what is outside of it, and what it holds back."""
    sharding = Sharding(stage=0, offload=Offload.NONE, world=1, precision=PrecisionUsed.BF16)
    setting = Setting(
        accelerator=Accelerator.GPU,
        sharding=sharding,
        ranks_per_node=1,
        micro_batch=case.micro_batch,
        length=case.length,
        accumulation=case.accumulation,
        checkpointing=Checkpointing.FULL if case.checkpointing else Checkpointing.NONE,
    )
    plan = estimate(_workload(case), setting)
    return plan.device_total - plan.context


def _peak(count: Mapping[str, int]) -> int:
    return max(count["forward"], count["backward"], count["step"])


def _show(errors: Mapping[str, float], measured: Measured, summary: str) -> None:
    """Write the table that pytest shows with -s."""
    for name, error in errors.items():
        counted, planned = _peak(measured[name]) / 1e9, _planned(CASES[name]) / 1e9
        sys.stdout.write(f"{name:76} counted {counted:6.2f} GB  planned {planned:6.2f} GB  {error:+7.2%}\n")
    sys.stdout.write(f"{summary}\n")
