"""Published runs whose speed is known: a CSV file's rows as the planner's values, and a few anchors beside them."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from finetune_operator.api.spec import Accelerator, Method
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.architecture import Architecture, Attention, FeedForward, Layer, Linear, Norm
from finetune_operator.planner.capacity import Device, NodeClass
from finetune_operator.planner.devices import find_product
from finetune_operator.planner.efficiency import Stack
from finetune_operator.planner.plan import PrecisionUsed
from finetune_operator.planner.setting import Setting
from finetune_operator.planner.states import Sharding
from finetune_operator.planner.work import Work, count_work
from finetune_operator.units import GIB, Bytes

MODELS: Final[dict[str, tuple[int, int, int, tuple[int, int, int], int, str]]] = {
    "Llama-2-7b": (4096, 11008, 32, (32, 32, 128), 32000, ""),
    "Llama-2-13b": (5120, 13824, 40, (40, 40, 128), 32000, ""),
    "Llama-2-70b": (8192, 28672, 80, (64, 8, 128), 32000, ""),
    "Llama-3-8B": (4096, 14336, 32, (32, 8, 128), 128256, ""),
    "Llama-3-70B": (8192, 28672, 80, (64, 8, 128), 128256, ""),
    "Llama-3.2-1B": (2048, 8192, 16, (32, 8, 64), 128256, "tied"),
    "Llama-3.2-3B": (3072, 8192, 28, (24, 8, 128), 128256, "tied"),
    "Mistral-7B-v0.1": (4096, 14336, 32, (32, 8, 128), 32000, ""),
    "Mistral-7B-v0.3": (4096, 14336, 32, (32, 8, 128), 32768, ""),
    "Mixtral-8x7B": (4096, 14336, 32, (32, 8, 128), 32000, "experts"),
    "Qwen-1.8B": (2048, 5504, 24, (16, 16, 128), 151936, ""),
    "Qwen-7B": (4096, 11008, 32, (32, 32, 128), 151936, ""),
    "Qwen-14B": (5120, 13696, 40, (40, 40, 128), 152064, ""),
    "Qwen-72B": (8192, 24576, 80, (64, 64, 128), 152064, ""),
    "Qwen2.5-1.5B": (1536, 8960, 28, (12, 2, 128), 151936, "tied"),
    "Qwen2.5-3B": (2048, 11008, 36, (16, 2, 128), 151936, "tied"),
    "Qwen2.5-7B": (3584, 18944, 28, (28, 4, 128), 152064, ""),
    "Qwen3-0.6B": (1024, 3072, 28, (16, 8, 128), 151936, "tied"),
    "Qwen3-1.7B": (2048, 6144, 28, (16, 8, 128), 151936, "tied"),
    "Qwen3-8B": (4096, 12288, 36, (32, 8, 128), 151936, ""),
    "PowerLM-3b": (2304, 9216, 40, (36, 36, 64), 49152, "tied"),
    "TinyLlama-1.1B": (2048, 5632, 22, (32, 4, 64), 32000, ""),
    "SmolLM2-1.7B": (2048, 8192, 24, (32, 32, 64), 49152, "tied"),
    "deepseek-coder-1.3b": (2048, 5504, 24, (16, 16, 128), 32256, ""),
    "santacoder": (2048, 8192, 24, (16, 1, 128), 49280, "tied plain"),
    "Yi-6B": (4096, 11008, 32, (32, 4, 128), 64000, ""),
    "Yi-34B": (7168, 20480, 60, (56, 8, 128), 64000, ""),
    "MPT-1B": (2048, 8192, 24, (16, 16, 128), 50368, "tied plain"),
    "MPT-3B": (2560, 10240, 32, (20, 20, 128), 50368, "tied plain"),
    "MPT-7B": (4096, 16384, 32, (32, 32, 128), 50368, "tied plain"),
}
"""Hidden size, feed-forward width, layers, (heads, key and value heads, head size), vocabulary, and in words: a tied
head, a plain feed-forward part with layer norms instead of a gated one, eight experts of which two are active."""

CARDS: Final = {
    "a100": ("NVIDIA A100-SXM4-80GB", 80),
    "h100": ("NVIDIA H100 80GB HBM3", 80),
    "t4": ("Tesla T4", 15),
    "rtx3090": ("NVIDIA GeForce RTX 3090", 24),
    "rtx4090": ("NVIDIA GeForce RTX 4090", 24),
    "a10": ("NVIDIA A10", 24),
    "a6000": ("NVIDIA RTX A6000", 48),
    "v100": ("Tesla V100-SXM2-32GB", 32),
    "l4": ("NVIDIA L4", 24),
    "l40s": ("NVIDIA L40S", 48),
}
"""Names in the `gpu` column, as drivers give them, and GiB."""

FUSED: Final = frozenset({"foak", "liger", "cce"})
"""Loss implementations that come with fused norms, rotary positions and activations."""

EAGER_STACK: Final = Stack(elementwise=1.0, logits=1.0, head_passes=1)
"""transformers' own layers and loss."""

FUSED_STACK: Final = Stack(elementwise=0.4, logits=0.33, head_passes=1)
"""Kernels that fuse norms, rotary positions, activations and the loss (fitted)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One published run."""

    source: str
    model: str
    work: Work
    setting: Setting
    node: NodeClass
    stack: Stack
    measured: float
    """Tokens a second and device."""

    @property
    def cluster(self) -> str:
        """Runs of one sweep aren't independent: errors are judged by source, model and method too."""
        return f"{self.source}/{self.model}/{self.work.method.value}"


ANCHORS: Final = (
    ("NeMo AutoModel, performance summary", "Llama-3-8B", Method.LORA, (4096, 2), False, 1, FUSED_STACK, 12473),
    ("NeMo AutoModel, performance summary", "Qwen2.5-7B", Method.LORA, (4096, 2), False, 1, FUSED_STACK, 14110),
    ("llm-foundry, benchmarks", "MPT-1B", Method.FULL, (2048, 8), False, 8, FUSED_STACK, 45455),
    ("llm-foundry, benchmarks", "MPT-3B", Method.FULL, (1024, 8), False, 8, FUSED_STACK, 27046),
    ("llm-foundry, benchmarks", "MPT-7B", Method.FULL, (2048, 8), False, 8, FUSED_STACK, 10643),
    ("llm-foundry, benchmarks", "MPT-7B", Method.FULL, (4096, 8), True, 8, FUSED_STACK, 8611),
    ("torchtitan, benchmarks (500 W)", "Llama-3-8B", Method.FULL, (8192, 1), True, 8, EAGER_STACK, 5762),
    ("torchtitan, benchmarks, compiled", "Llama-3-8B", Method.FULL, (8192, 1), True, 8, FUSED_STACK, 6667),
)
"""H100 SXM in bfloat16: source, model, method, (length, micro-batch), checkpointing, devices, kernels, tokens a second
and device. No part of the fit. llm-foundry doesn't state its micro-batches, 8 is assumed; torchtitan's checkpointing is
selective, counted as full."""


def anchors() -> tuple[Run, ...]:
    """The anchors as runs."""
    return tuple(
        Run(
            source=source,
            model=model,
            work=_work(model, method, 16, ["all-linear"]),
            setting=_setting(3 if world > 1 else 0, world, size, checkpointed=checkpointed),
            node=_node("h100", world),
            stack=stack,
            measured=measured,
        )
        for source, model, method, size, checkpointed, world, stack, measured in ANCHORS
    )


def read_runs(path: Path) -> tuple[list[Run], int]:
    """The file's runs, each once however many memory figures it has; and how many rows with a speed can't be judged."""
    found: dict[str, Run] = {}
    left_out = 0
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if not row["speed"]:
                continue
            known = row["speed_unit"] == "tokens/s/gpu" and row["model"] in MODELS and row["gpu"] in CARDS
            if not known or row["micro_batch"] == "":
                left_out += 1
                continue
            same = {k: v for k, v in row.items() if k not in {"case", "metric", "measured_gib", "quality", "note"}}
            found.setdefault(json.dumps(same), _run(row))
    return list(found.values()), left_out


def _run(row: dict[str, str]) -> Run:
    method = {"full": Method.FULL, "lora": Method.LORA, "qlora": Method.QLORA, "dora": Method.DORA}[row["method"]]
    world = int(row["world"] or 1)
    sharded = 3 if row["fsdp"] == "True" else int(row["zero"] or 0)
    size = int(row["seq_len"]), int(row["micro_batch"])
    targets = json.loads(row["targets"]) if row["targets"] else []
    # its note names another card than its column
    card = "a6000" if "A6000" in f"{row['framework']} {row['note']}" else row["gpu"]
    return Run(
        source=row["source"],
        model=row["model"],
        work=_work(row["model"], method, int(row["lora_r"] or 16), targets if isinstance(targets, list) else [targets]),
        setting=_setting(sharded, world, size, checkpointed=row["grad_ckpt"] == "True"),
        node=_node(card, world),
        stack=FUSED_STACK if row["loss_impl"] in FUSED else EAGER_STACK,
        measured=float(row["speed"]),
    )


def _setting(stage: int, world: int, size: tuple[int, int], *, checkpointed: bool) -> Setting:
    return Setting(
        accelerator=Accelerator.GPU,
        sharding=Sharding(stage=stage, offload=Offload.NONE, world=world, precision=PrecisionUsed.BF16),
        ranks_per_node=world,
        micro_batch=size[1],
        length=size[0],
        accumulation=1,
        checkpointing=Checkpointing.FULL if checkpointed else Checkpointing.NONE,
    )


def _node(card: str, world: int) -> NodeClass:
    product, gib = CARDS[card]
    memory = Bytes(gib * GIB)
    found = find_product(product, memory)
    device = Device(
        accelerator=Accelerator.GPU,
        product=product,
        memory=memory,
        free=memory,
        bf16=found.bf16,
        peak_flops=found.peak_flops,
    )
    return NodeClass(
        name=card,
        device=device,
        devices_per_node=world,
        nodes=1,
        cores=32,
        ram=Bytes(512 * GIB),
        free_ram=Bytes(512 * GIB),
        disk=Bytes(4096 * GIB),
        nvme=False,
    )


def _work(model: str, method: Method, rank: int, targets: list[str]) -> Work:
    a = _architecture(model)
    if method is Method.FULL:
        return count_work(a, method, a.total_parameters, a.total_parameters, quantized=0)
    width = sum(g.count * sum(_adapted(g, targets)) for g in a.groups)
    adapter = rank * width
    packed = sum(g.count * g.linear_weights for g in a.groups) if method is Method.QLORA else 0
    return replace(count_work(a, method, adapter, a.total_parameters + adapter, quantized=packed), adapted=width)


def _adapted(layer: Layer, targets: list[str]) -> Iterator[int]:
    # what the older families call the fused query, key and value projection
    wanted = {*targets, *({"q_proj", "k_proj", "v_proj"} if "c_attn" in targets else ())}
    for module in layer.linears:
        if "all-linear" in wanted or module.name in wanted:
            yield module.inputs + module.outputs


def _architecture(model: str) -> Architecture:
    hidden, width, layers, (heads, kv_heads, head), vocab, words = MODELS[model]
    experts, plain = "experts" in words, "plain" in words
    query, key = heads * head, kv_heads * head
    shapes = [("q_proj", hidden, query), ("k_proj", hidden, key), ("v_proj", hidden, key), ("o_proj", query, hidden)]
    block = [("up_proj", hidden, width), ("down_proj", width, hidden)]
    block = block if plain else [("gate_proj", hidden, width), *block]
    routed = 8 * sum(i * o for _, i, o in block) if experts else 0
    shapes += [] if experts else block
    layer = Layer(
        count=layers,
        linears=tuple(Linear(name=n, inputs=i, outputs=o, bias=False) for n, i, o in shapes),
        attention=Attention(
            heads=heads, kv_heads=kv_heads, query_width=query, key_width=key, value_width=key, output_width=query
        ),
        feed_forward=FeedForward(
            width=width,
            gated=not plain,
            experts=8 if experts else 0,
            active=2 if experts else 0,
            expert_parameters=routed,
        ),
        norms=2,
        other_parameters=2 * hidden,
    )
    return Architecture(
        name=model,
        family="benchmark",
        hidden=hidden,
        vocab=vocab,
        tied="tied" in words,
        norm=Norm.LAYER if plain else Norm.RMS,
        max_positions=32_768,
        groups=(layer,),
        other_parameters=hidden,
    )
