"""Real transformers models on fake tensors, as our trainer would have them on a device: the weights have no bytes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

import bitsandbytes
import torch
from bitsandbytes.functional import QuantState
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from finetune_operator.api.spec import ALL_LINEAR, Adapter, Method

BLOCK: Final = 64
"""Weights that share a scale in bitsandbytes' 4-bit formats."""

SCALES: Final = 256
"""Scales that share a scale of their own under double quantisation."""


def build_model(config: Mapping[str, Any], method: Method, adapter: Adapter) -> tuple[Any, PreTrainedModel]:
    """The model to be trained, and the base model in it, with the loss head that TRL puts on.

    Args:
        config: what config.json says.
        method: how it is trained.
        adapter: of all methods but Full.
    """
    from trl.trainer.utils import add_fused_lm_head

    fields = {k: v for k, v in config.items() if k != "architectures"}
    made = AutoConfig.for_model(fields.pop("model_type"), **fields)
    base = _from_config(made)
    if method is Method.QLORA:
        _quantise(base)
    add_fused_lm_head(base, outputs=("log_probs", "entropy", "is_top1"))
    if method is Method.FULL:
        return base.train(), base
    with _weights_stay():
        model = adapted(base, method, adapter)
    return model.train(), base


def adapted(base: PreTrainedModel, method: Method, adapter: Adapter) -> Any:
    """With an adapter in the arithmetic of the base model, as DeepSpeed casts it."""
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=float(adapter.dropout),
        target_modules=_targets(base, adapter),
        bias="none",
        use_dora=method is Method.DORA,
        use_rslora=adapter.rank_stabilized,
    )
    return get_peft_model(base, lora, autocast_adapter_dtype=False)


def tensors_of(model: nn.Module) -> list[Any]:
    """Everything that the model keeps on its device."""
    states = [s for m in model.modules() if (s := getattr(getattr(m, "weight", None), "quant_state", None))]
    scales = [(s.absmax, s.code, s.offset, s.state2.absmax, s.state2.code) for s in states]
    return [*model.parameters(), *model.buffers(), *scales]


def _from_config(config: Any) -> PreTrainedModel:
    """With SDPA, but for families that can't: they get plain attention."""
    loader: Any = AutoModelForCausalLM
    kind = loader._model_mapping[type(config)]
    attention = "sdpa" if kind._supports_sdpa else "eager"
    return cast("PreTrainedModel", loader.from_config(config, dtype=torch.bfloat16, attn_implementation=attention))


def _targets(model: PreTrainedModel, adapter: Adapter) -> list[str]:
    """Names of linear modules: PEFT's own "all-linear" would put adapters on routed experts' tensors, too."""
    if adapter.target_modules != (ALL_LINEAR,):
        return list(adapter.target_modules)
    head: Any = cast("Any", model).get_output_embeddings()
    found = [n for n, m in model.named_modules() if isinstance(m, nn.Linear | Conv1D) and m is not head]
    return sorted({n.rsplit(".", 1)[-1] for n in found})


@contextmanager
def _weights_stay() -> Iterator[None]:
    """New weights in 16 bits at once: torch can't convert a module of fake tensors."""
    apply = nn.Module._apply
    torch.set_default_dtype(torch.bfloat16)
    nn.Module._apply = lambda self, _fn, _recurse=True: self  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module._apply = apply  # type: ignore[method-assign]
        torch.set_default_dtype(torch.float32)


def _quantise(model: PreTrainedModel) -> None:
    """Four bits for every linear module but the output head, as transformers loads with bitsandbytes."""
    head: Any = cast("Any", model).get_output_embeddings()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and child is not head:
                setattr(parent, name, _four_bit(child))
    model.is_loaded_in_4bit = True  # type: ignore[assignment]


def _four_bit(linear: nn.Linear) -> nn.Module:
    """A module of bitsandbytes around fake tensors, put together by hand: its own constructor wants real ones."""
    count = linear.in_features * linear.out_features
    scales = count // BLOCK
    nested = QuantState(absmax=torch.empty(-(-scales // SCALES)), blocksize=SCALES, code=torch.empty(256))
    nested.dtype = torch.float32
    weight: Any = nn.Parameter(torch.empty((count // 2, 1), dtype=torch.uint8), requires_grad=False)
    weight.quant_state = QuantState(
        absmax=torch.empty(scales, dtype=torch.uint8),
        shape=torch.Size((linear.out_features, linear.in_features)),
        code=torch.empty(16),
        blocksize=BLOCK,
        quant_type="nf4",
        dtype=torch.bfloat16,
        offset=torch.empty(()),
        state2=nested,
    )
    weight.compress_statistics, weight.quant_type = True, "nf4"
    module: Any = bitsandbytes.nn.Linear4bit.__new__(bitsandbytes.nn.Linear4bit)
    nn.Module.__init__(module)
    module.in_features, module.out_features = linear.in_features, linear.out_features
    module.compute_dtype, module.compute_type_is_set = torch.bfloat16, True
    module.support_avx512bf16_for_cpu = False
    module.weight, module.bias = weight, linear.bias
    if linear.bias is not None:
        linear.bias.requires_grad = False
    return cast("nn.Module", module)
