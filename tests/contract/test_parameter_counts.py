"""The planner's counts are those of transformers' own models, and its activations what autograd really keeps."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from finetune_operator.api.spec import Adapter, Method
from finetune_operator.planner.architecture import read_architecture
from finetune_operator.planner.catalogue import CATALOGUE
from finetune_operator.planner.workload import read_workload

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 176,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
}
FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
ATTENTION = ["q_proj", "v_proj"]
EVERY = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def real_model(config: Mapping[str, Any], device: str = "meta", dtype: torch.dtype = torch.bfloat16) -> Any:
    """Transformers' model of that configuration, without weights on the meta device."""
    fields = {k: v for k, v in config.items() if k not in {"model_type", "architectures"}}
    with torch.device(device):
        made = AutoConfig.for_model(config["model_type"], **fields)
        model: Any = AutoModelForCausalLM.from_config(made, dtype=dtype, attn_implementation="sdpa")  # type: ignore[no-untyped-call]  # transformers has no annotation there
        return model


def count(model: Any, *, trainable: bool = False) -> int:
    """Parameters, a tied table once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="plain"),
        pytest.param({"tie_word_embeddings": True}, id="tied"),
        pytest.param({"head_dim": 32}, id="head-dim"),
        pytest.param({"attention_bias": True, "mlp_bias": True}, id="biases"),
    ],
)
def test_count_is_transformers(family: str, change: dict[str, Any]) -> None:
    config = SMALL | {"model_type": family} | change
    assert read_architecture(config).total_parameters == count(real_model(config))


@pytest.mark.parametrize(
    ("family", "change"),
    [
        pytest.param("llama", {"num_key_value_heads": None}, id="llama"),
        pytest.param("mistral", {"num_attention_heads": 8, "num_key_value_heads": None}, id="mistral"),
        pytest.param("qwen2", {"num_attention_heads": 32, "num_key_value_heads": None}, id="qwen2"),
        pytest.param("qwen3", {"num_attention_heads": 32, "num_key_value_heads": None, "head_dim": None}, id="qwen3"),
    ],
)
def test_defaults_are_transformers(family: str, change: dict[str, Any]) -> None:
    config = {k: v for k, v in (SMALL | {"model_type": family} | change).items() if v is not None}
    assert read_architecture(config).total_parameters == count(real_model(config))


@pytest.mark.parametrize(
    "repo",
    [
        pytest.param("HuggingFaceTB/SmolLM2-135M-Instruct", id="llama-135m"),
        pytest.param("meta-llama/Llama-3.2-1B", id="llama-1b"),
        pytest.param("mistralai/Mistral-7B-v0.3", id="mistral-7b"),
        pytest.param("Qwen/Qwen2.5-7B-Instruct", id="qwen2-7b"),
        pytest.param("Qwen/Qwen3-0.6B", id="qwen3-600m"),
    ],
)
def test_count_of_a_real_model(repo: str) -> None:
    assert read_architecture(CATALOGUE[repo]).total_parameters == count(real_model(CATALOGUE[repo]))


@pytest.mark.parametrize(
    ("family", "targets"),
    [
        pytest.param("llama", ATTENTION, id="llama-attention"),
        pytest.param("mistral", ["down_proj"], id="mistral-down"),
        pytest.param("qwen2", EVERY, id="qwen2-every-module"),
        pytest.param("qwen3", ATTENTION, id="qwen3-attention"),
    ],
)
def test_trainable_count_is_pefts(family: str, targets: list[str]) -> None:
    config = SMALL | {"model_type": family}
    adapted = get_peft_model(real_model(config), LoraConfig(r=8, target_modules=targets))
    workload = read_workload(read_architecture(config), Method.LORA, Adapter(rank=8, target_modules=tuple(targets)))
    assert workload.trainable == count(adapted, trainable=True)
    assert workload.parameters == count(adapted)


def test_all_linear_is_pefts() -> None:
    config = SMALL | {"model_type": "llama"}
    adapted = get_peft_model(real_model(config), LoraConfig(r=8, task_type="CAUSAL_LM", target_modules="all-linear"))
    workload = read_workload(read_architecture(config), Method.LORA, Adapter(rank=8))
    assert workload.trainable == count(adapted, trainable=True)


def saved_bytes(model: Any, rows: int, length: int, *, padded: bool) -> int:
    """Bytes that autograd keeps of one forward pass, parameters not counted."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    ids, mask = torch.ones((rows, length), dtype=torch.long), torch.ones((rows, length), dtype=torch.long)
    if padded:
        mask[0, -4:] = 0
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        model(input_ids=ids, attention_mask=mask, use_cache=False)
    return sum(storage.nbytes() for storage in kept.values())


def bytes_per_layer(config: dict[str, Any], adapter: LoraConfig | None, dtype: torch.dtype, *, padded: bool) -> float:
    """What one layer keeps of one token: the difference between models of 2 layers and of 1."""
    rows, length, found = 2, 32, []
    for layers in (1, 2):
        model = real_model(config | {"num_hidden_layers": layers}, "cpu", dtype)
        if adapter is not None:
            model = get_peft_model(model, adapter, autocast_adapter_dtype=False)
        body = (model.base_model.model if adapter is not None else model).model
        found.append(saved_bytes(body.train(), rows, length, padded=padded))
    return (found[1] - found[0]) / (rows * length)


@pytest.mark.parametrize(
    ("family", "targets", "dropout", "element", "padded"),
    [
        pytest.param("llama", None, "0", 2, False, id="full"),
        pytest.param("llama", None, "0", 4, True, id="full-fp32-padded"),
        pytest.param("llama", EVERY, "0", 2, False, id="adapter"),
        pytest.param("llama", EVERY, "0", 4, False, id="adapter-fp32"),
        pytest.param("llama", EVERY, "0", 2, True, id="adapter-padded"),
        pytest.param("llama", ATTENTION, "0", 2, False, id="adapter-attention"),
        pytest.param("llama", EVERY, "0.1", 2, False, id="adapter-dropout"),
        pytest.param("llama", ATTENTION, "0.1", 4, False, id="adapter-attention-dropout-fp32"),
        pytest.param("mistral", EVERY, "0", 2, False, id="mistral"),
        pytest.param("qwen2", None, "0", 2, False, id="qwen2-full"),
        pytest.param("qwen3", None, "0", 2, False, id="qwen3-full"),
        pytest.param("qwen3", EVERY, "0", 4, False, id="qwen3-adapter-fp32"),
    ],
)
def test_activations_are_what_autograd_keeps(
    family: str,
    targets: list[str] | None,
    dropout: str,
    element: int,
    padded: bool,  # noqa: FBT001 a table's column
) -> None:
    config = SMALL | {"model_type": family}
    architecture = read_architecture(config)
    peft = None
    if targets is not None:
        peft = LoraConfig(r=4, target_modules=targets, lora_dropout=float(dropout))
    adapter = Adapter(rank=4, dropout=dropout, target_modules=tuple(targets or ("all-linear",)))
    kept = read_workload(architecture, Method.FULL if peft is None else Method.LORA, adapter).costs[0]
    # on a CPU the mask of a dropout is as wide as what it drops
    expected = kept.fixed_bytes + element * kept.elements + 2 * element * kept.dropped
    if padded:
        expected += element * (kept.masked + 32)
    dtype = torch.bfloat16 if element == 2 else torch.float32
    assert bytes_per_layer(config, peft, dtype, padded=padded) == expected
