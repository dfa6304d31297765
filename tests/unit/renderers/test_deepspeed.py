"""deepspeed.json for every ZeRO stage and offload: golden files, and what must hold in all of them."""

import json
from typing import Any

import pytest

from finetune_operator.api.spec import Accelerator, Method, Training
from finetune_operator.api.status import Offload
from finetune_operator.planner.plan import Plan, PrecisionUsed
from finetune_operator.renderers.deepspeed import render_deepspeed
from tests.support.golden import check_golden
from tests.support.plans import make_class, make_device, make_plan

FULL = {"method": Method.FULL, "total_parameters": 7_615_616_512, "trainable_parameters": 7_615_616_512}
WORLD_8 = {"devices_per_node": 8, "micro_batch": 2, "accumulation": 1}
CPU = {"node_class": make_class(device=make_device(accelerator=Accelerator.CPU))}

CASES: dict[str, dict[str, Any]] = {
    "z0-lora-1": {},
    "z0-lora-1-fp16": {"precision": PrecisionUsed.FP16},
    "z0-lora-cpu-fp32": CPU | {"precision": PrecisionUsed.FP32},
    "z0-full-8": FULL | WORLD_8,
    "z1-full-8": FULL | WORLD_8 | {"zero_stage": 1},
    "z2-full-8": FULL | WORLD_8 | {"zero_stage": 2},
    "z2-offload-full-1": FULL | {"zero_stage": 2, "offload": Offload.OPTIMIZER},
    "z2-offload-full-cpu": FULL | CPU | {"zero_stage": 2, "offload": Offload.OPTIMIZER},
    "z3-full-8": FULL | WORLD_8 | {"zero_stage": 3},
    "z3-offload-full-8": FULL | WORLD_8 | {"zero_stage": 3, "offload": Offload.OPTIMIZER},
    "z3-offload-params-full-1": FULL | {"zero_stage": 3, "offload": Offload.PARAMETERS},
}


def render(plan: Plan) -> dict[str, Any]:
    return render_deepspeed(Training(), plan, hidden_size=3584)


@pytest.mark.parametrize("name", CASES)
def test_the_configuration_is_the_reviewed_one(name: str) -> None:
    check_golden(f"deepspeed/{name}.json", json.dumps(render(make_plan(**CASES[name])), indent=2) + "\n")


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_left_to_be_decided_elsewhere(name: str) -> None:
    text = json.dumps(render(make_plan(**CASES[name])))
    assert '"auto"' not in text
    assert '"optimizer":' not in text
    assert '"scheduler":' not in text


@pytest.mark.parametrize("name", CASES)
def test_the_batch_adds_up(name: str) -> None:
    plan = make_plan(**CASES[name])
    config = render(plan)
    product = config["train_micro_batch_size_per_gpu"] * config["gradient_accumulation_steps"] * plan.world
    assert config["train_batch_size"] == product


def test_a_small_adapter_gets_no_bucket_for_a_large_model() -> None:
    config = render(make_plan(zero_stage=2, devices_per_node=2))
    assert config["zero_optimization"]["reduce_bucket_size"] == 4_884_480


@pytest.mark.parametrize(
    ("accelerator", "pinned"),
    [pytest.param(Accelerator.GPU, True, id="gpu"), pytest.param(Accelerator.CPU, False, id="cpu")],
)
def test_host_memory_is_pinned_for_a_gpu_only(accelerator: Accelerator, *, pinned: bool) -> None:
    node_class = make_class(device=make_device(accelerator=accelerator))
    config = render(make_plan(zero_stage=2, offload=Offload.OPTIMIZER, node_class=node_class))
    assert config["zero_optimization"]["offload_optimizer"] == {"device": "cpu", "pin_memory": pinned}
    assert config["zero_force_ds_cpu_optimizer"] is pinned
