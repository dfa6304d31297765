"""Operations and bytes counted from an architecture."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.api.spec import Method
from finetune_operator.planner.architecture import Architecture, FeedForward, Layer
from finetune_operator.planner.work import adapted_width, count_work
from tests.unit.planner.builders import SEVEN, make_workload

ARCHITECTURE = make_workload(Method.LORA, SEVEN).architecture
LAYER = ARCHITECTURE.groups[0]


def with_layers(*layers: Layer) -> Architecture:
    """The same model with other layers."""
    return replace(ARCHITECTURE, groups=layers)


def test_every_linear_module_and_the_head_are_multiplied_with_each_token() -> None:
    found = count_work(ARCHITECTURE, Method.FULL, 10, 10, quantized=0)
    assert found.matmul == 28 * (2 * 3584 * 3584 + 2 * 3584 * 512 + 3 * 3584 * 18944)
    assert found.head == 152_064 * 3584


def test_of_routed_experts_only_the_active_ones_count() -> None:
    dense = 3 * 3584 * 18944
    experts = FeedForward(width=18944, gated=True, experts=8, active=2, expert_parameters=8 * dense)
    attention = tuple(m for m in LAYER.linears if m.name not in {"gate_proj", "up_proj", "down_proj"})
    routed = with_layers(replace(LAYER, linears=attention, feed_forward=experts))
    plain = count_work(ARCHITECTURE, Method.FULL, 10, 10, quantized=0)
    assert count_work(routed, Method.FULL, 10, 10, quantized=0).matmul - plain.matmul == 28 * dense


@pytest.mark.parametrize(
    ("length", "window", "tokens"),
    [
        pytest.param(4096, None, 2048, id="causal"),
        pytest.param(1024, 4096, 512, id="shorter-than-the-window"),
        pytest.param(4096, 4096, 2048, id="as-long"),
        pytest.param(8192, 4096, 3072, id="twice"),
    ],
)
def test_attention_looks_back_no_further_than_its_window(length: int, window: int | None, tokens: int) -> None:
    windowed = with_layers(replace(LAYER, attention=replace(LAYER.attention, window=window)))
    found = count_work(windowed, Method.FULL, 10, 10, quantized=0)
    assert found.attended(length) == 28 * 2 * 3584 * tokens


@given(st.integers(16, 100_000), st.integers(16, 100_000))
def test_a_window_never_costs_more_than_none(length: int, window: int) -> None:
    windowed = with_layers(replace(LAYER, attention=replace(LAYER.attention, window=window)))
    found, plain = (count_work(a, Method.FULL, 10, 10, quantized=0) for a in (windowed, ARCHITECTURE))
    assert 0 < found.attended(length) <= plain.attended(length)


def test_kinds_of_layers_add_up() -> None:
    half = replace(LAYER, count=14)
    windowed = replace(half, attention=replace(half.attention, window=128))
    found = count_work(with_layers(half, windowed), Method.LORA, 10, 10, quantized=0)
    whole = count_work(ARCHITECTURE, Method.LORA, 10, 10, quantized=0)
    assert (found.layers, found.matmul, found.elementwise) == (whole.layers, whole.matmul, whole.elementwise)
    assert found.attended(4096) == 14 * 2 * 3584 * (2048 + 126)


@pytest.mark.parametrize("method", list(Method))
def test_only_qlora_unpacks_and_only_dora_measures_weights(method: Method) -> None:
    workload = make_workload(method, SEVEN)
    found = count_work(ARCHITECTURE, method, 10, 10, quantized=workload.quantised)
    linear = 28 * LAYER.linear_weights
    assert found.quantized == (linear if method is Method.QLORA else 0)
    assert found.normed_by == (linear if method is Method.DORA else 0)
    assert (found.adapted > 0) is (method is not Method.FULL)


def test_an_adapter_touches_inputs_and_outputs() -> None:
    # query and output 3584 to 3584, key and value 3584 to 512, three of 3584 and 18944
    assert adapted_width(ARCHITECTURE) == 28 * (4 * 3584 + 2 * (3584 + 512) + 3 * (3584 + 18944))
