"""The arithmetic of a plan, line by line."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.planner.explain import Explanation, explain, setting_of
from finetune_operator.planner.memory import estimate
from finetune_operator.planner.plan import Plan
from finetune_operator.planner.planner import plan
from finetune_operator.planner.recipe import PACKED
from tests.unit.planner.builders import (
    SEVEN,
    SEVENTY,
    TINY,
    make_capacity,
    make_cpu,
    make_data,
    make_facts,
    make_fleet,
    make_gpus,
    make_spec,
    make_workload,
)

FLEET = make_fleet()
PLANS = {
    repo: {p.id: p for p in (*found.viable, *found.unlisted)}
    for repo in (SEVEN, SEVENTY)
    for found in [plan(make_spec(), make_facts(repo), FLEET)]
}


def told(repo: str, option: str) -> Explanation:
    """The explanation of an option of the fleet."""
    return explain(PLANS[repo][option], make_spec(), make_facts(repo))


def every() -> list[tuple[str, str]]:
    """All plans of the fleet."""
    return [(repo, option) for repo, plans in PLANS.items() for option in plans]


@given(st.sampled_from(every()))
def test_lines_add_up_to_what_a_device_must_hold(case: tuple[str, str]) -> None:
    repo, option = case
    each: Plan = PLANS[repo][option]
    found = told(repo, option)
    assert sum(line.bytes for line in found.lines) == each.memory.device_total
    assert all(line.formula for line in found.lines)


@given(st.sampled_from(every()))
def test_a_plan_can_be_estimated_again_from_what_it_says(case: tuple[str, str]) -> None:
    repo, option = case
    each = PLANS[repo][option]
    assert estimate(make_workload(each.method, repo, recipe=PACKED), setting_of(each, make_data())) == each.memory


def test_an_adapter_on_one_gpu() -> None:
    found = told(SEVEN, "lora-1x24g")
    assert found.peak == "backward pass"
    assert {line.component: line.formula for line in found.lines} == {
        "weights": "7.6 B frozen and 40.4 M adapter parameters x 2 bytes",
        "gradients": "40.4 M trainable x 2 bytes",
        "optimizer": "40.4 M trainable x 12 bytes (32-bit copy and AdamW's two moments)",
        "activations": (
            "1 line of 2048 tokens x 28 layers' inputs of 7.2 k bytes a token; one layer's backward pass 0.61 GiB: "
            "its own activations, computed again, its gradients"
        ),
        "context": "0.55 GiB for the driver, 2% of the rest for the allocator",
    }
    assert found.host is not None
    assert found.host.formula == "RAM a node: 1 process, and a tensor each, the largest, while weights are read"


@pytest.mark.parametrize(
    ("repo", "option", "component", "formula"),
    [
        pytest.param(
            SEVEN,
            "full-z3-4x80g",
            "optimizer",
            "7.6 B trainable x 12 bytes (32-bit copy and AdamW's two moments) / 4 devices (ZeRO-3)",
            id="shared-optimizer",
        ),
        pytest.param(
            SEVEN, "full-z3-4x80g", "weights", "7.6 B parameters x 2 bytes / 4 devices (ZeRO-3)", id="weights"
        ),
        pytest.param(
            SEVEN,
            "lora-z3-4x80g",
            "gathered",
            "weights gathered for the layers at work, at most about 1.0 B x 2 bytes, and the embeddings",
            id="gathered",
        ),
        pytest.param(
            SEVEN,
            "full-z3-4x80g",
            "buckets",
            "gradients on their way between devices: ZeRO's reduce bucket",
            id="buckets",
        ),
        pytest.param(
            SEVEN,
            "full-z1-4x80g",
            "context",
            "0.55 GiB for the driver, 0.59 GiB for NCCL, 2% of the rest for the allocator",
            id="nccl",
        ),
    ],
)
def test_formula(repo: str, option: str, component: str, formula: str) -> None:
    assert {line.component: line.formula for line in told(repo, option).lines}[component] == formula


def test_offloading_is_told_in_ram() -> None:
    host = told(SEVEN, "full-z2-offload-1x80g").host
    assert host is not None
    assert host.formula == (
        "RAM a node: 1 process, with gradients, optimizer state and 32-bit copies; pinned buffers are powers of two"
    )


def test_figures_hold_one_another() -> None:
    for plans in PLANS.values():
        for each in plans.values():
            assert each.allocated == each.memory.device_total - each.memory.context
            assert each.allocated <= each.reserved <= each.process <= each.available


def test_qlora_names_what_is_in_four_bits_and_what_is_unpacked() -> None:
    lines = {line.component: line.formula for line in told(SEVEN, "qlora-1x24g").lines}
    assert lines["weights"].startswith(
        "6.5 B in 4 bits x 0.5159 bytes; 1.1 B not quantised and 40.4 M adapter x 2 bytes"
    )
    assert "4-bit weights unpacked one at a time" in lines["activations"]


def test_a_cpu_has_no_ram_beside_its_memory() -> None:
    facts = make_facts(TINY, make_data(rows=240, longest=131, p50=75, p95=110, mean=80))
    first = plan(make_spec(), facts, make_capacity(make_cpu())).viable[0]
    found = explain(first, make_spec(), facts)
    assert found.host is None
    assert found.lines[-1].formula == (
        "0.88 GiB for Python, torch and what stands on them, 1.1 GiB that the heap keeps of freed tensors"
    )
    assert sum(line.bytes for line in found.lines) == first.memory.device_total


def test_moments_in_8_bits_are_told() -> None:
    spec = make_spec(method="Full", training={"optimizer": "AdamW8bit"})
    (found, *_) = plan(spec, make_facts(TINY), FLEET).viable
    (line,) = (n for n in explain(found, spec, make_facts(TINY)).lines if n.component == "optimizer")
    assert line.bytes == found.memory.optimizer
    assert line.formula == (
        "135 M trainable: 32-bit copy, and AdamW's two moments in 8 bits with a scale for each 256; 28.3 M of them "
        "in 32 bits"
    )


@pytest.mark.parametrize(
    ("repo", "fields", "rows", "words"),
    [
        pytest.param(
            SEVEN,
            {},
            12_400,
            "they lie end to end, about 5.1 on a line of 2048 tokens: a step of 16 rows takes about 3.1 forward passes "
            "instead of 16",
            id="packed",
        ),
        pytest.param(
            "openai/gpt-oss-20b",
            {},
            12_400,
            "they go by length, each by itself: in models of the family gpt_oss rows of one line would see one another",
            id="leaking",
        ),
        pytest.param(
            SEVEN,
            {"training": {"packing": "Never"}},
            12_400,
            "they go by length, each by itself: spec.training.packing is Never",
            id="never",
        ),
        pytest.param(SEVEN, {}, 1, "they go by length, each by itself: there is one row", id="one"),
        pytest.param(
            SEVEN,
            {"objective": "KTO"},
            12_400,
            "they stay in the order drawn, each by itself: with KTO they aren't laid end to end",
            id="another-objective",
        ),
    ],
)
def test_it_says_how_rows_lie_and_why(repo: str, fields: dict[str, Any], rows: int, words: str) -> None:
    spec, facts = make_spec(method="LoRA", **fields), make_facts(repo, make_data(rows=rows))
    found = plan(spec, facts, make_capacity(make_gpus(80, 1)))
    (first,) = (p for p in (*found.viable, *found.unlisted) if p.id == "lora-1x80g")
    assert explain(first, spec, facts).rows == words
