"""Rows of published measurements as what the planner estimates: which stack ran, and with what settings.

A stack differs from ours in what its versions are known to do: copies of logits, arithmetic of adapters, kernels,
quantisation. It is told by framework, versions and how a run was set up; no figure here is fitted to a row.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from finetune_operator.api.spec import Accelerator, Adapter, Method, Objective
from finetune_operator.api.status import Checkpointing, Offload
from finetune_operator.planner.architecture import Architecture, read_architecture
from finetune_operator.planner.catalogue import find_short
from finetune_operator.planner.devices import find_product
from finetune_operator.planner.memory import TURING_CONTEXT
from finetune_operator.planner.plan import PrecisionUsed
from finetune_operator.planner.recipe import (
    NF4_BYTES,
    NF4_DOUBLE_BYTES,
    Adapters,
    Engine,
    Head,
    Kernels,
    Optimizer,
    Recipe,
)
from finetune_operator.planner.setting import DRIVER_CONTEXT, Setting
from finetune_operator.planner.states import Sharding
from finetune_operator.planner.workload import Workload, read_workload
from finetune_operator.units import GIB, Bytes

Row = Mapping[str, str]
"""One line of a file with the columns of the published cases."""

METHODS: Final = {"full": Method.FULL, "lora": Method.LORA, "qlora": Method.QLORA, "dora": Method.DORA}

LOGIT_BYTES: Final = {"hf448": 14, "hfkeep": 14, "hfold": 12, "hf": 12, "litgpt": 14, "foak": 8}
"""Bytes of each logit at the start of the backward pass: the 16-bit logits where the outputs are kept (2), their 32-bit
copy, the shifted copy, the log-probabilities (4 each); unsloth's and foak's kernel writes into one 32-bit copy."""

UNCAST: Final = frozenset({"gpt_bigcode"})
"""Families whose old code didn't cast logits to 32 bits: the loss is in the arithmetic of the run."""

UNCAST_NAMES: Final = ("Qwen-",)
"""Likewise first-generation Qwen, whose code came with its weights."""

DEEPSPEED_BUCKET: Final = 500_000_000
"""Elements of ZeRO 1 and 2's gradient bucket by default, allocated whether needed or not."""

GPU_MEMORY: Final = {"a100": 79.15, "h100": 79.1, "t4": 14.6, "rtx3090": 23.7, "rtx4090": 23.6, "a10": 22.0}
"""GiB of a device that a process can take."""

GPU_SHARE: Final = 0.985
"""Share of a product's memory that a process can take, where nobody has said how much that is."""

CHUNKED: Final = frozenset({"liger", "cce", "chunked", "fused", "unsloth"})
"""Losses that never hold all logits."""

WHOLE_LOSSES: Final = frozenset(LOGIT_BYTES)
"""Losses that hold all logits."""

WORDS: Final[Mapping[str, frozenset[str]]] = {
    "method": frozenset(METHODS),
    "quant": frozenset({"", "nf4", "fp4", "int4", "4bit", "bnb4", "gptq4", "awq4", "int8", "8bit", "bnb8"}),
    "grad_ckpt": frozenset({"true", "false", "1", "0", ""}),
    "fsdp": frozenset({"true", "false", "1", "0", ""}),
    "attn": frozenset({"", "flash", "sdpa", "eager"}),
    "optimizer": frozenset(
        {"", "adamw", "adamw_torch", "adamw_foreach", "adamw_fused", "adamw_torch_fused"}
        | {"adamw_8bit", "adamw_bnb_8bit", "paged_adamw_8bit", "paged_adamw_32bit"}
    ),
    "precision": frozenset({"pure", "amp", "ds"}),
    "weights": frozenset({"", "bf16", "fp16", "fp32"}),
    "loss_impl": CHUNKED | WHOLE_LOSSES | {"", "trl"},
    "zero": frozenset({"", "0", "1", "2", "3", "0.0", "1.0", "2.0", "3.0"}),
    "offload": frozenset({"", "cpu", "optimizer", "param", "parameters"}),
    "metric": frozenset({"allocated", "reserved", "process", "oom"}),
}
"""What columns hold; another word is another stack, which isn't guessed at."""

ZERO_3: Final = 3
MOST_RANK: Final = 1024
MOST: Final = 10**9
"""More tokens, rows or devices than any run has."""

GPTQ_BYTES: Final = 0.5 + (2 + 0.5) / 128
"""A weight in four bits, a 16-bit scale and a 4-bit zero point for each 128."""


class UnreadableRowError(ValueError):
    """A row that can't be expressed: an unknown model, method or target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One measurement, as the planner sees it."""

    row: Row
    workload: Workload
    setting: Setting

    @property
    def cluster(self) -> tuple[str, str, str]:
        """Rows of one cluster are one experiment with a few numbers changed."""
        return self.row["source"], self.row["model"], self.row["method"]


def read_case(row: Row) -> Case:
    """The case of a row.

    Raises:
        UnreadableRowError: it names what isn't known, or can't be.
    """
    if None in row.values() or None in row:
        raise UnreadableRowError(f"{row.get('case')}: has not as many cells as the header")
    config = find_short(row["model"])
    if config is None:
        raise UnreadableRowError(f"{row['case']}: the model {row['model']} isn't known")
    _hold_words(row)
    _measured(row)
    architecture = read_architecture(config)
    recipe = read_recipe(row, architecture)
    text = f"{row['framework']} {row['note']}".lower()
    objective = next((o for o in Objective if re.search(rf"\b{o.value.lower()}\b", text)), Objective.SFT)
    method = METHODS[row["method"].strip().lower()]
    workload = read_workload(architecture, method, _adapter(row, architecture), objective, recipe)
    if row["note"].startswith("emb"):
        workload = _with_tables(workload)
    return Case(row=row, workload=workload, setting=_setting(row, recipe))


def _hold_words(row: Row) -> None:
    """Every word is one that is understood: a row that means something else would be judged by what it isn't."""
    for column, known in WORDS.items():
        if row[column].strip().lower() not in known:
            listed = ", ".join(sorted(known - {""}))
            raise UnreadableRowError(f"{row['case']}: {column} is {row[column]!r}; known are {listed}")
    if row["method"] == "lora" and row["quant"]:
        raise UnreadableRowError(f"{row['case']}: method lora with quant {row['quant']}; write qlora")
    if _offload(row) is Offload.PARAMETERS and _number(row, "zero", 0, 0) != ZERO_3:
        raise UnreadableRowError(f"{row['case']}: parameters are offloaded under ZeRO-3 alone")


def _measured(row: Row) -> None:
    try:
        value = float(row["measured_gib"])
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UnreadableRowError(f"{row['case']}: measured_gib is {row['measured_gib']!r}; write a number above 0")


def _number(row: Row, column: str, default: int, least: int = 1) -> int:
    """A whole number, which some tables write with a point.

    Raises:
        UnreadableRowError: it isn't one, or is too small.
    """
    try:
        value = float(row[column] or default)
    except ValueError:
        value = math.nan
    if not least <= value < MOST:
        raise UnreadableRowError(f"{row['case']}: {column} is {row[column]!r}; write a number of {least} or more")
    return int(value)


def _is_true(row: Row, column: str) -> bool:
    return row[column].strip().lower() in {"true", "1"}


def _offload(row: Row) -> Offload:
    """Where state is; a plain "cpu" is the optimizer's."""
    return {"param": Offload.PARAMETERS, "parameters": Offload.PARAMETERS, "": Offload.NONE}.get(
        row["offload"].strip().lower(), Offload.OPTIMIZER
    )


def _with_tables(workload: Workload) -> Workload:
    """Embeddings and head are trained too, as copies beside the frozen ones, in 16 bits."""
    tables = 2 * workload.architecture.embedding_parameters
    recipe = replace(workload.recipe, state_bytes=2)
    return replace(workload, trainable=workload.trainable + tables, recipe=recipe)


def read_recipe(row: Row, architecture: Architecture) -> Recipe:
    """How the stack of that row runs."""
    framework, note = row["framework"].lower(), row["note"].lower()
    amp, full = row["precision"] == "amp", row["method"].lower() == "full"
    fsdp, zero = _is_true(row, "fsdp"), _number(row, "zero", 0, 0)
    engine = Engine.FSDP if fsdp else Engine.DEEPSPEED if zero or row["precision"] == "ds" else Engine.TORCH
    chunked = row["loss_impl"] in CHUNKED
    fused = "foak" in note or "compile" in framework or "unsloth" in framework or row["loss_impl"] == "liger"
    own_code = any(name in framework for name in ("torchtune", "litgpt"))
    quantised, prepared = row["method"] == "qlora", _is_prepared(row)
    wide_frozen = prepared and not amp
    wide_adapters = not own_code and engine is not Engine.DEEPSPEED
    adapters = Adapters.RUN if not wide_adapters else Adapters.AUTOCAST if amp else Adapters.WIDE
    stored = 4 if row["weights"].lower() == "fp32" or (fsdp and amp) else None
    return Recipe(
        engine=engine,
        optimizer=_optimizer(row["optimizer"]),
        head=Head.TILED if row["loss_impl"] == "trl" else Head.CHUNKED if chunked else Head.WHOLE,
        logit_bytes=_logit_bytes(row, architecture, wide=wide_frozen),
        kernels=Kernels.FUSED if fused else Kernels.PLAIN,
        adapters=adapters,
        eager=row["attn"] == "eager",
        state_bytes=stored if full else 4 if wide_adapters else None,
        quantised_bytes=_quantised_bytes(row),
        wide_residual=prepared,
        wide_frozen=wide_frozen,
        experts_apart="transformers5" not in framework,
        reduce_bucket=DEEPSPEED_BUCKET if zero in {1, 2} else None,
        repeats_keys="transformers4.45" in framework and architecture.family == "mistral",
        joined_projections="litgpt" in framework,
        keeps_quantised_inputs=quantised and "litgpt" in framework,
    )


def device_memory(name: str) -> float | None:
    """GiB that a process can take of a device; None for one that isn't known."""
    known = GPU_MEMORY.get(name.lower())
    if known is not None:
        return known
    # a driver writes RTX 3090 where tables write rtx3090
    spaced = re.sub(r"^(rtx)(?=\w)", r"\1 ", name.lower())
    memory = find_product(spaced, Bytes(0)).memory
    return None if memory is None else memory / GIB * GPU_SHARE


def _is_prepared(row: Row) -> bool:
    """Whether peft.prepare_model_for_kbit_training was called before: by scripts on plain PEFT, without an engine.

    Other stacks are taken not to.
    """
    if row["method"] != "qlora" or _is_true(row, "fsdp"):
        return False
    return _is_plain_script(row) or row["note"].startswith("baseline-peft-bnb")


def _is_plain_script(row: Row) -> bool:
    """Transformers 5 and PEFT alone, without autocast."""
    return "transformers5" in row["framework"] and row["precision"] == "pure"


def _logit_bytes(row: Row, architecture: Architecture, *, wide: bool) -> int:
    kept = 2 if "transformers4.48" in row["framework"] else 0
    amp = row["precision"] == "amp"
    if architecture.family in UNCAST or row["model"].startswith(UNCAST_NAMES):
        # logits, their shifted copy, log-probabilities, gradient; autocast computes the loss in 32 bits
        fused = row["loss_impl"] == "foak"
        return (14 if fused else 18) if amp else (6 if fused else 8)
    base = LOGIT_BYTES.get(row["loss_impl"], 12)
    if row["loss_impl"] == "foak":
        return base + kept
    # a head in 32 bits makes 32-bit logits: two bytes more
    return base + (2 if wide else 0)


def _quantised_bytes(row: Row) -> float:
    if row["quant"] in {"gptq4", "awq4"}:
        return GPTQ_BYTES
    if "8" in row["quant"]:
        return 1.0
    # such scripts leave double quantisation off, as bitsandbytes does by default
    single = _is_plain_script(row) or row["note"] == "nf4"
    return NF4_BYTES if single else NF4_DOUBLE_BYTES


def _optimizer(name: str) -> Optimizer:
    if "paged" in name:
        return Optimizer.PAGED_ADAMW_8BIT
    if "8bit" in name:
        return Optimizer.ADAMW_8BIT
    return Optimizer.ADAMW_FOREACH if "foreach" in name else Optimizer.ADAMW


def _adapter(row: Row, architecture: Architecture) -> Adapter:
    if row["method"] == "full":
        return Adapter()
    try:
        asked = json.loads(row["targets"] or '"all-linear"')
    except ValueError:
        asked = row["targets"]
    if not isinstance(asked, str | list):
        raise UnreadableRowError(f"{row['case']}: targets is {row['targets']}; write a list of names")
    names = [m.name for m in architecture.linears]
    listed = [asked] if isinstance(asked, str) else list(asked)
    if "c_attn" in listed and "q_proj" in names:
        listed += ["q_proj", "k_proj", "v_proj"]
    targets = tuple(dict.fromkeys(t for t in listed if t in names or t == "all-linear"))
    if not targets:
        raise UnreadableRowError(f"{row['case']}: {row['model']} has none of the modules {row['targets']}")
    rank = _number(row, "lora_r", 16)
    if rank > MOST_RANK:
        raise UnreadableRowError(f"{row['case']}: lora_r is {rank}; at most {MOST_RANK} are planned")
    dropout = "0.05" if "litgpt" in row["framework"].lower() else "0"
    return Adapter(rank=rank, target_modules=targets, dropout=dropout)


def _setting(row: Row, recipe: Recipe) -> Setting:
    world, zero = _number(row, "world", 1), _number(row, "zero", 0, 0)
    precision = (
        PrecisionUsed.FP32 if row["weights"].lower() == "fp32" and row["precision"] == "pure" else PrecisionUsed.BF16
    )
    return Setting(
        accelerator=Accelerator.GPU,
        sharding=Sharding(
            stage=zero if recipe.engine is Engine.DEEPSPEED else 0,
            offload=_offload(row),
            world=world,
            precision=precision,
        ),
        ranks_per_node=min(world, 8),
        micro_batch=_number(row, "micro_batch", 1),
        length=_number(row, "seq_len", 2048),
        accumulation=1,
        checkpointing=Checkpointing.FULL if _is_true(row, "grad_ckpt") else Checkpointing.NONE,
        context=TURING_CONTEXT if row["gpu"] == "t4" else DRIVER_CONTEXT,
        # every published run here has rows of equal length, or attention that takes lengths instead of a mask
        packed=True,
    )
