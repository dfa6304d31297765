"""Builders of the operator's values with harmless defaults: a test names only what it is about."""

from typing import Any, Final

from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.spec import Accelerator, Method
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.architecture import read_architecture
from finetune_operator.planner.capacity import Device, NodeClass
from finetune_operator.planner.catalogue import CATALOGUE
from finetune_operator.planner.plan import Interval, MemoryEstimate, Plan, PrecisionUsed
from finetune_operator.units import GIB, Bytes

TINY_ARCHITECTURE: Final = read_architecture(CATALOGUE["HuggingFaceTB/SmolLM2-135M-Instruct"])
"""The quick start's model."""


def make_manifest(**spec: Any) -> dict[str, Any]:
    """A job as a user writes it; keyword arguments replace whole parts of the spec."""
    whole: dict[str, Any] = {
        "model": {"source": {"path": "model"}},
        "dataset": {
            "train": {"source": {"path": "train.jsonl"}},
            "evaluation": {"source": {"path": "check.jsonl"}},
        },
        "output": {"path": "out"},
    }
    return {
        "apiVersion": "finetune-operator.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "tickets"},
        "spec": whole | spec,
    }


def make_job(**spec: Any) -> FineTuneJob:
    """The same as a model."""
    return FineTuneJob.model_validate(make_manifest(**spec), strict=False)


def make_device(**changes: Any) -> Device:
    """A GPU of 24 GiB with nothing on it."""
    values: dict[str, Any] = {
        "accelerator": Accelerator.GPU,
        "product": "NVIDIA A10",
        "memory": Bytes(24 * GIB),
        "free": Bytes(24 * GIB),
        "bf16": True,
        "peak_flops": 1.25e14,
    }
    return Device(**values | changes)


def make_class(**changes: Any) -> NodeClass:
    """One node with one such GPU."""
    values: dict[str, Any] = {
        "name": "gpu",
        "device": make_device(),
        "devices_per_node": 1,
        "nodes": 1,
        "cores": 16,
        "ram": Bytes(128 * GIB),
        "free_ram": Bytes(120 * GIB),
        "disk": Bytes(500 * GIB),
        "nvme": False,
    }
    return NodeClass(**values | changes)


def make_memory(**changes: int) -> MemoryEstimate:
    """9 GiB in all."""
    values = dict.fromkeys(("gradients", "optimizer", "logits", "buckets", "gathered", "host"), 0)
    values |= {"weights": 2 * GIB, "activations": 6 * GIB, "context": GIB}
    return MemoryEstimate(**{name: Bytes(count) for name, count in (values | changes).items()})


def make_plan(**changes: Any) -> Plan:
    """LoRA on one GPU of 24 GiB."""
    values: dict[str, Any] = {
        "id": "lora-1x24g",
        "method": Method.LORA,
        "zero_stage": 0,
        "offload": Offload.NONE,
        "node_class": make_class(),
        "nodes": 1,
        "devices_per_node": 1,
        "precision": PrecisionUsed.BF16,
        "micro_batch": 8,
        "accumulation": 2,
        "checkpointing": Checkpointing.NONE,
        "memory": make_memory(),
        "training": make_memory(),
        "phases": {"baseline": Bytes(4 * GIB), "backward": Bytes(9 * GIB), "tuned": Bytes(4 * GIB)},
        "allocated": Bytes(8 * GIB),
        "reserved": Bytes(int(8.5 * GIB)),
        "process": Bytes(int(9.1 * GIB)),
        "available": Bytes(24 * GIB),
        "margin": 0.05,
        "disk": Bytes(GIB),
        "total_parameters": 134_515_008,
        "trainable_parameters": 4_884_480,
        "learning_rate": "2e-4",
        "tokens_per_second": Interval(low=900.0, mid=1000.0, high=1100.0),
        "seconds": Interval(low=50.0, mid=60.0, high=70.0),
        "cost": None,
        "quality": "close to full",
        "best_for": "quick iteration",
        "serving": "the adapter (9 MiB) on the base model in 16 bits, or merged into it: 1.0 GiB",
        "tight": False,
        "because": "it is the fastest",
    }
    return Plan(**values | changes)
