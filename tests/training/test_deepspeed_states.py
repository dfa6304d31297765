"""The plan's weights, gradients and optimizer state against DeepSpeed's own, on one and two ranks of CPU."""

from collections.abc import Mapping, Sequence

import pytest

from finetune_operator.api.status import Offload
from finetune_operator.planner.architecture import read_architecture
from finetune_operator.planner.plan import PrecisionUsed
from finetune_operator.planner.recipe import our_recipe
from finetune_operator.planner.states import RANK_HOST, Sharding, States, device_states, host_bytes
from finetune_operator.planner.workload import Workload, read_workload
from tests.support.measured_apart import measure_apart
from tests.support.oracle_states import ADAPTER, CONFIG, RUNS, Run

OFF_BY = 0.01
"""Share of what an engine holds that the plan may differ by."""

ON_DEVICE = [run for run in RUNS if run.offload is Offload.NONE]
OFFLOADED = [run for run in RUNS if run.offload is Offload.OPTIMIZER]

Measured = Mapping[str, Sequence[Mapping[str, int]]]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """What each rank of each engine counted, in processes of their own: this one must not touch a tensor."""
    file = tmp_path_factory.mktemp("states") / "measured.json"
    found: Measured = measure_apart("tests.support.oracle_states", file)
    return found


@pytest.mark.parametrize("run", RUNS, ids=lambda r: r.name)
def test_weights_are_the_engines(run: Run, measured: Measured) -> None:
    for rank in measured[run.name]:
        assert rank["weights"] == pytest.approx(_states(run).weights, rel=OFF_BY)


@pytest.mark.parametrize("run", ON_DEVICE, ids=lambda r: r.name)
def test_weights_and_optimizer_state_stay_between_steps(run: Run, measured: Measured) -> None:
    states = _states(run)
    planned = states.weights + states.optimizer
    if run.stage == 3:
        # its parts of the gradients and its bucket stay, too
        planned += states.accumulated + states.buckets
    for rank in measured[run.name]:
        assert rank["steady"] == pytest.approx(planned, rel=OFF_BY)


@pytest.mark.parametrize("run", ON_DEVICE, ids=lambda r: r.name)
def test_gradients_stay_between_micro_batches(run: Run, measured: Measured) -> None:
    states = _states(run)
    # ZeRO-2 lets go of its bucket after each backward pass
    planned = states.weights + states.optimizer + states.accumulated + (0 if run.stage == 2 else states.buckets)
    for rank in measured[run.name]:
        assert rank["carried"] == pytest.approx(planned, rel=OFF_BY)


@pytest.mark.parametrize("run", ON_DEVICE, ids=lambda r: r.name)
def test_the_step_takes_what_is_planned(run: Run, measured: Measured) -> None:
    states = _states(run)
    planned = states.weights + states.optimizer + states.step_gradients + (states.buckets if run.stage == 3 else 0)
    for rank in measured[run.name]:
        assert rank["step"] == pytest.approx(planned, rel=OFF_BY)


@pytest.mark.parametrize("run", OFFLOADED, ids=lambda r: r.name)
def test_an_offloaded_optimizer_is_planned_in_ram(run: Run, measured: Measured) -> None:
    states, workload = _states(run), _workload(run)
    host = host_bytes(workload, _sharding(run), run.world, accumulates=True) / run.world - RANK_HOST
    for rank in measured[run.name]:
        assert rank["carried"] <= (states.weights + states.buckets + states.step_gradients + host) * (1 + OFF_BY)
        assert rank["carried"] >= (states.weights + 0.9 * host) * (1 - OFF_BY)


def _workload(run: Run) -> Workload:
    return read_workload(read_architecture(CONFIG), run.method, ADAPTER, recipe=our_recipe(run.optimizer))


def _sharding(run: Run) -> Sharding:
    return Sharding(stage=run.stage, offload=run.offload, world=run.world, precision=PrecisionUsed.BF16)


def _states(run: Run) -> States:
    return device_states(_workload(run), _sharding(run))
