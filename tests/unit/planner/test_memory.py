"""The estimate: published figures, sums, and what must grow with what."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.api.spec import Accelerator, Method, Objective
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.head import logits_bytes
from finetune_operator.planner.memory import PROCESS, Peak, estimate, heap_bytes, kept_activations, layer_bytes, moments
from finetune_operator.planner.plan import MemoryEstimate, PrecisionUsed
from finetune_operator.planner.recipe import PACKED
from finetune_operator.planner.setting import Setting
from finetune_operator.planner.states import device_states
from finetune_operator.planner.workload import Workload
from finetune_operator.units import GIB
from tests.unit.planner.builders import SEVEN, SEVENTY, TINY, make_setting, make_workload

STRATEGIES = (
    (0, Offload.NONE),
    (1, Offload.NONE),
    (2, Offload.NONE),
    (3, Offload.NONE),
    (2, Offload.OPTIMIZER),
    (3, Offload.PARAMETERS),
)
WORKLOADS = {(m, r): make_workload(m, r) for m in Method for r in (TINY, SEVEN, "Qwen/Qwen3-8B")}

settings = st.builds(
    lambda strategy, **fields: make_setting(strategy[0], strategy[1], **fields),
    st.sampled_from(STRATEGIES),
    world=st.sampled_from((1, 2, 4, 8)),
    micro_batch=st.integers(1, 16),
    length=st.integers(16, 4096),
    accumulation=st.sampled_from((1, 2, 8)),
    checkpointing=st.sampled_from(Checkpointing),
    precision=st.sampled_from(PrecisionUsed),
    accelerator=st.sampled_from(Accelerator),
)
workloads = st.sampled_from(sorted(WORKLOADS)).map(WORKLOADS.__getitem__)


def allocated(memory: MemoryEstimate) -> float:
    """GiB that an allocator would report."""
    return (memory.device_total - memory.context) / GIB


@pytest.mark.parametrize(
    ("repo", "method", "stage", "world", "gib", "tolerance"),
    [
        pytest.param(SEVEN, Method.LORA, 0, 1, 15.7, 0.02, id="lora-7b"),
        pytest.param("meta-llama/Llama-2-7b-hf", Method.LORA, 0, 1, 14.0, 0.02, id="lora-llama-2-7b"),
        pytest.param("meta-llama/Llama-3.1-8B", Method.LORA, 0, 1, 16.5, 0.02, id="lora-llama-3-8b"),
        pytest.param("meta-llama/Llama-2-13b-hf", Method.LORA, 0, 1, 26.4, 0.02, id="lora-13b"),
        pytest.param(SEVENTY, Method.LORA, 0, 1, 134.7, 0.03, id="lora-70b"),
        pytest.param(SEVEN, Method.FULL, 1, 1, 156.0, 0.02, id="full-7b-one-device"),
        pytest.param(SEVEN, Method.FULL, 2, 4, 49.7, 0.02, id="full-7b-zero-2"),
        pytest.param(SEVEN, Method.FULL, 3, 4, 35.0, 0.05, id="full-7b-zero-3"),
    ],
)
def test_estimate_is_the_known_figure(
    repo: str, method: Method, stage: int, world: int, gib: float, tolerance: float
) -> None:
    found = allocated(estimate(make_workload(method, repo), make_setting(stage, world=world)))
    assert found == pytest.approx(gib, rel=tolerance)


@given(workloads, settings)
def test_components_add_up_to_the_total(workload: Workload, setting: Setting) -> None:
    memory = estimate(workload, setting)
    assert sum(memory.components().values()) == memory.device_total
    assert all(count >= 0 for count in memory.components().values())


@given(workloads, settings)
def test_more_rows_never_need_less(workload: Workload, setting: Setting) -> None:
    more = setting._replace(micro_batch=setting.micro_batch + 1)
    assert estimate(workload, more).device_total >= estimate(workload, setting).device_total


@given(workloads, settings)
def test_longer_rows_never_need_less(workload: Workload, setting: Setting) -> None:
    longer = setting._replace(length=setting.length + 1)
    assert estimate(workload, longer).device_total >= estimate(workload, setting).device_total


@given(settings, st.integers(1, 256))
def test_a_higher_rank_never_needs_less(setting: Setting, rank: int) -> None:
    small, large = (make_workload(Method.LORA, TINY, rank=r) for r in (rank, rank + 1))
    assert estimate(large, setting).device_total >= estimate(small, setting).device_total


@given(workloads, settings)
def test_checkpointing_never_needs_more(workload: Workload, setting: Setting) -> None:
    kept, again = (setting._replace(checkpointing=c) for c in (Checkpointing.NONE, Checkpointing.FULL))
    assert estimate(workload, again).device_total <= estimate(workload, kept).device_total


@given(workloads, st.sampled_from((2, 4, 8)), st.sampled_from(PrecisionUsed))
def test_more_zero_never_needs_more_state(workload: Workload, world: int, precision: PrecisionUsed) -> None:
    states = [device_states(workload, make_setting(s, world=world, precision=precision).sharding) for s in range(4)]
    held = [s.weights + s.optimizer for s in states]
    assert held == sorted(held, reverse=True)


def test_the_highest_moment_counts() -> None:
    workload, setting = make_workload(Method.FULL), make_setting()
    found = moments(workload, setting, device_states(workload, setting.sharding))
    assert max(found, key=lambda name: found[name]) is Peak.STEP
    memory = estimate(workload, setting)
    assert (memory.activations, memory.logits) == (0, 0)
    assert memory.gradients == 6 * workload.trainable


def test_accumulated_gradients_are_there_beside_activations() -> None:
    workload = make_workload(Method.FULL)
    setting = make_setting(2, Offload.NONE, 8, 8, checkpointing=Checkpointing.NONE)
    once, often = (estimate(workload, setting._replace(accumulation=n)) for n in (1, 2))
    assert once.gradients == 0
    assert often.gradients == 2 * workload.trainable // 8


def test_one_row_needs_no_padding_and_no_mask() -> None:
    workload = make_workload()
    one, two = (layer_bytes(workload, workload.costs[0], make_setting(micro_batch=n)) for n in (1, 2))
    # 2048 tokens a row: for each a mask of 2048 values and keys and values for 28 heads instead of 4
    assert two - 2 * one == 2 * 2048 * 2 * (2048 + 2 * (28 - 4) * 128)


def test_rows_that_lie_end_to_end_need_a_mask_in_one_line_too() -> None:
    packed, alone = make_workload(recipe=PACKED), make_workload()
    one, line = (layer_bytes(w, w.costs[0], make_setting(micro_batch=1)) for w in (alone, packed))
    assert line - one == 2048 * 2 * (2048 + 2 * (28 - 4) * 128)


def test_without_checkpointing_every_layer_is_kept() -> None:
    workload, setting = make_workload(), make_setting(checkpointing=Checkpointing.NONE)
    assert kept_activations(workload, setting) == 28 * layer_bytes(workload, workload.costs[0], setting)


def test_dropout_masks_are_wider_on_a_cpu() -> None:
    workload = make_workload(dropout="0.1")
    gpu, cpu = (
        layer_bytes(workload, workload.costs[0], make_setting(accelerator=a))
        for a in (Accelerator.GPU, Accelerator.CPU)
    )
    assert cpu - gpu == 2048 * workload.costs[0].dropped


def test_full_training_pays_for_the_heads_gradient() -> None:
    setting, table = make_setting(), 152_064 * 3584
    full, lora = (logits_bytes(make_workload(m), setting) for m in (Method.FULL, Method.LORA))
    assert full - lora == 6 * table


def test_loss_on_a_cpu_is_computed_in_32_bits() -> None:
    gpu, cpu = (
        logits_bytes(make_workload(), make_setting(length=100, accelerator=a))
        for a in (Accelerator.GPU, Accelerator.CPU)
    )
    # and the tile's part of the head is copied for it
    assert cpu - gpu == 100 * 32_768 * 32 + 4 * 32_768 * 3584


def test_a_small_vocabulary_is_charged_on_a_cpu_for_what_it_writes() -> None:
    workload = make_workload(Method.LORA, TINY)
    small = replace(workload, architecture=replace(workload.architecture, vocab=320))
    precise = make_setting(length=100, accelerator=Accelerator.CPU, precision=PrecisionUsed.FP32)
    # eight 32-bit copies and the tile of 320 columns; of the norm, the head's input and its gradient 576 wide rows
    assert logits_bytes(small, precise) == 100 * 320 * 36 + 100 * 576 * 12
    gpu = make_setting(length=100)
    assert logits_bytes(small, gpu) == logits_bytes(workload, gpu)


def test_a_cpu_holds_the_process_itself_and_has_no_other_ram() -> None:
    workload, setting = make_workload(Method.LORA, TINY), make_setting(length=95, accelerator=Accelerator.CPU)
    memory = estimate(workload, setting)
    assert (memory.context, memory.host) == (PROCESS + heap_bytes(workload, setting), 0)


@pytest.mark.parametrize(
    ("longest", "mib"),
    [
        # peaks of a whole run, in bfloat16: 96 steps with rows of 95 tokens, 176 steps with rows of 111
        pytest.param(95, 2393, id="96-steps"),
        pytest.param(111, 2868, id="176-steps"),
    ],
)
def test_a_cpu_is_estimated_as_it_was_measured(longest: int, mib: int) -> None:
    setting = make_setting(
        micro_batch=2, length=longest, accumulation=4, checkpointing=Checkpointing.NONE, accelerator=Accelerator.CPU
    )
    found = estimate(make_workload(Method.LORA, TINY), setting).device_total / 1024**2
    assert found == pytest.approx(mib, rel=0.1)


def test_what_a_heap_keeps_has_a_limit() -> None:
    setting = make_setting(length=2048, accelerator=Accelerator.CPU, checkpointing=Checkpointing.NONE)
    assert heap_bytes(make_workload(), setting) == 2 * GIB


def test_several_devices_need_buffers_for_talking() -> None:
    one, two = (estimate(make_workload(), make_setting(world=w)) for w in (1, 2))
    assert two.context - one.context == 600 * 1024**2


@pytest.mark.parametrize("repo", [SEVEN, TINY])
def test_a_reward_model_pays_for_no_vocabulary(repo: str) -> None:
    workload = make_workload(Method.FULL, repo, Objective.REWARD)
    found = moments(workload, make_setting(accumulation=1), device_states(workload, make_setting().sharding))
    assert {m.logits for m in found.values()} == {0}
