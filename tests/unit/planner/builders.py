"""Jobs, facts and hardware for the planner's tests."""

import json
from typing import Any

from finetune_operator.api.spec import Accelerator, Adapter, FineTuneJobSpec, Method, Objective
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.architecture import read_architecture
from finetune_operator.planner.capacity import Capacity, Device, NodeClass
from finetune_operator.planner.catalogue import CATALOGUE
from finetune_operator.planner.facts import DatasetFacts, Facts, ModelFacts, evaluated_at_most
from finetune_operator.planner.plan import PrecisionUsed
from finetune_operator.planner.question import Question, pose
from finetune_operator.planner.recipe import OURS, Recipe
from finetune_operator.planner.setting import Setting
from finetune_operator.planner.states import Sharding
from finetune_operator.planner.workload import Workload, read_workload
from finetune_operator.units import GIB, Bytes

TINY = "HuggingFaceTB/SmolLM2-135M-Instruct"
SEVEN = "Qwen/Qwen2.5-7B-Instruct"
SEVENTY = "meta-llama/Llama-3.3-70B-Instruct"


def make_spec(**overrides: Any) -> FineTuneJobSpec:
    """A job with only what has no default, and the given fields of spec as they stand in YAML."""
    fields: dict[str, Any] = {
        "model": {"source": {"path": "model"}},
        "dataset": {"train": {"source": {"path": "train.jsonl"}}, "evaluation": {"fraction": "0.1"}},
        "output": {"path": "out"},
    }
    return FineTuneJobSpec.model_validate_json(json.dumps(fields | overrides))


def make_data(rows: int = 12_400, longest: int = 2048, p50: int = 280, p95: int = 800, mean: int = 330) -> DatasetFacts:
    """Training rows of which only the sizes are known."""
    return DatasetFacts(
        rows=rows,
        tokens=rows * mean,
        p50=p50,
        p95=p95,
        longest=longest,
        evaluated=evaluated_at_most(longest, min(longest, 60)),
    )


def make_facts(repo: str = SEVEN, data: DatasetFacts | None = None, **config: Any) -> Facts:
    """A model of the catalogue, whose weights are here already, and data."""
    return Facts(
        model=ModelFacts(config={**CATALOGUE[repo], **config}, weight_bytes=Bytes(1)),
        dataset=data if data is not None else make_data(),
    )


def make_gpus(
    gib: float = 80, devices: int = 8, nodes: int = 1, free: float | None = None, **overrides: Any
) -> NodeClass:
    """A class of GPU nodes."""
    device = Device(
        accelerator=Accelerator.GPU,
        product=overrides.pop("product", "NVIDIA-A100"),
        memory=Bytes(int(gib * GIB)),
        free=Bytes(int((gib if free is None else free) * GIB)),
        bf16=overrides.pop("bf16", True),
        peak_flops=overrides.pop("peak_flops", 312e12),
    )
    fields: dict[str, Any] = {
        "name": f"gpu-{gib}",
        "device": device,
        "devices_per_node": devices,
        "nodes": nodes,
        "cores": 32,
        "ram": Bytes(512 * GIB),
        "free_ram": Bytes(480 * GIB),
        "disk": Bytes(10_000 * GIB),
        "nvme": True,
    }
    return NodeClass(**(fields | overrides))


def make_cpu(gib: float = 24, free: float | None = None, *, bf16: bool = True, nodes: int = 1) -> NodeClass:
    """A class of CPU nodes."""
    memory, left = Bytes(int(gib * GIB)), Bytes(int((gib if free is None else free) * GIB))
    device = Device(accelerator=Accelerator.CPU, product="EPYC", memory=memory, free=left, bf16=bf16, peak_flops=0.6e12)
    return NodeClass(
        name="cpu",
        device=device,
        devices_per_node=1,
        nodes=nodes,
        cores=2,
        ram=memory,
        free_ram=left,
        disk=Bytes(100 * GIB),
        nvme=False,
    )


def make_capacity(*classes: NodeClass, max_devices: int | None = None) -> Capacity:
    """Hardware as a nodes file would give it."""
    return Capacity(classes=classes, origin="fleet.yaml", max_devices=max_devices)


def make_fleet() -> Capacity:
    """24, 40 and 80 GiB GPUs."""
    return make_capacity(
        make_gpus(24, 8, 2, product="NVIDIA-GeForce-RTX-4090", peak_flops=165e12, price_per_device_hour=0.5),
        make_gpus(40, 4, 1, product="NVIDIA-A100-SXM4-40GB"),
        make_gpus(80, 8, 4, product="NVIDIA-H100-80GB-HBM3", peak_flops=989e12),
    )


def make_question(spec: FineTuneJobSpec | None = None, facts: Facts | None = None, *classes: NodeClass) -> Question:
    """A question, for checks that look at one candidate."""
    return pose(spec or make_spec(), facts or make_facts(), make_capacity(*(classes or (make_gpus(),))))


def make_workload(
    method: Method = Method.LORA,
    repo: str = SEVEN,
    objective: Objective = Objective.SFT,
    recipe: Recipe = OURS,
    **adapter: Any,
) -> Workload:
    """A model of the catalogue and a method."""
    return read_workload(read_architecture(CATALOGUE[repo]), method, Adapter(**adapter), objective, recipe)


def make_setting(
    stage: int = 0, offload: Offload = Offload.NONE, world: int = 1, micro_batch: int = 1, **overrides: Any
) -> Setting:
    """Rows of 2048 tokens, one at a time, with checkpointing, in bfloat16 on GPUs of one node."""
    precision = overrides.pop("precision", PrecisionUsed.BF16)
    fields: dict[str, Any] = {
        "accelerator": Accelerator.GPU,
        "ranks_per_node": world,
        "length": 2048,
        "accumulation": 1,
        "checkpointing": Checkpointing.FULL,
    }
    return Setting(
        sharding=Sharding(stage=stage, offload=offload, world=world, precision=precision),
        micro_batch=micro_batch,
        **(fields | overrides),
    )
