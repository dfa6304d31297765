"""Builds models on the meta device, in a process of its own, and says what they are made of.

Reads cases from standard input as JSON, and writes one set of facts for each to standard output.
"""

import json
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

NOT_FIELDS = {"model_type", "architectures", "quantization_config"}


def built(config: Mapping[str, Any]) -> Any:
    """Transformers' own model of that configuration, without weights."""
    fields = {k: v for k, v in config.items() if k not in NOT_FIELDS}
    with torch.device("meta"):
        made = AutoConfig.for_model(config["model_type"], **fields)
        model: Any = AutoModelForCausalLM.from_config(made)  # type: ignore[no-untyped-call]  # transformers has no annotation there
        return model


def facts(case: Mapping[str, Any]) -> dict[str, Any]:
    """What the planner has to say of this model, too."""
    model, targets = built(case["config"]), case["targets"]
    config = model.config
    found = {
        "name": type(model).__name__,
        "total": sum(p.numel() for p in model.parameters()),
        "linears": sorted([*module, count] for module, count in linears(model).items()),
        "experts": sum(p.numel() for n, p in model.named_parameters() if ".experts." in n and p.dim() > 1),
        "sdpa": type(model)._supports_sdpa,
        "max_positions": getattr(config, "max_position_embeddings", None),
        "softcapped": bool(getattr(config, "final_logit_softcapping", None)),
        "layer_types": getattr(config, "layer_types", None),
        "window": getattr(config, "sliding_window", None),
    }
    if targets:
        found["lora"] = trainable(model, targets, dora=False)
        found["dora"] = trainable(built(case["config"]), targets, dora=True)
    return found


def linears(model: Any) -> Counter[tuple[str, int, int, bool, bool]]:
    """Linear modules but the output head: name, inputs, outputs, whether biased, whether quantised by transformers."""
    head = model.get_output_embeddings()
    found: Counter[tuple[str, int, int, bool, bool]] = Counter()
    for path, module in model.named_modules():
        name = path.rpartition(".")[2]
        if isinstance(module, Conv1D):
            found[name, module.nx, module.nf, True, True] += 1
        elif isinstance(module, nn.Linear) and module is not head:
            quantised = type(module) is nn.Linear
            found[name, module.in_features, module.out_features, module.bias is not None, quantised] += 1
    return found


def trainable(model: Any, targets: str | list[str], *, dora: bool) -> int:
    """Trainable parameters of an adapter of rank 8."""
    adapter = LoraConfig(r=8, task_type="CAUSAL_LM", target_modules=targets, use_dora=dora)
    return sum(p.numel() for p in get_peft_model(model, adapter).parameters() if p.requires_grad)


if __name__ == "__main__":
    json.dump([facts(case) for case in json.load(sys.stdin)], sys.stdout)
