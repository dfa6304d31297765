"""The trainer's values with harmless defaults: a test names only what it is about."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from finetune_trainer.events import (
    DataFacts,
    EvaluationShape,
    HeldOutEvent,
    MemoryEvent,
    RowFault,
    StepEvent,
    TokenLengths,
)
from finetune_trainer.evidence import (
    AnswerRow,
    Environment,
    Evaluation,
    RunRecord,
    Verdict,
)
from finetune_trainer.job_config import AcceptanceConfig, JobConfig, JsonContractConfig
from finetune_trainer.lineage import Lineage, LineageRun

CONTRACT: Final = JsonContractConfig(
    required=("priority", "reason"), values={"priority": ("high", "low")}, json_schema=None
)
"""Of the default job's answers."""

_JOB: Final[dict[str, Any]] = {
    "version": 1,
    "name": "ticket-priority",
    "method": "LoRA",
    "objective": "SFT",
    "model": {"path": "/models/base", "description": "models/base"},
    "preference": None,
    "data": {
        "objective": "SFT",
        "train": [{"path": "/data/train.jsonl", "format": "Alpaca", "weight": 1.0}],
        "evaluation": {"path": "/data/check.jsonl", "format": "Alpaca"},
        "evaluation_fraction": None,
        "max_length": 512,
        "seed": 42,
        "contract": {
            "answer_json": CONTRACT.model_dump(mode="json"),
            "unique_input": False,
            "fail_on_bad_row": False,
            "max_bad_share": 0.05,
        },
    },
    "adapter": {"rank": 16, "alpha": 32, "rank_stabilized": False, "dropout": 0.05, "target_modules": ["all-linear"]},
    "parent": None,
    "shown": None,
    "quantization": None,
    "training": {
        "epochs": 3.0,
        "micro_batch_size": 4,
        "gradient_accumulation": 2,
        "learning_rate": 2e-4,
        "schedule": "cosine",
        "schedule_cycles": None,
        "warmup_share": 0.03,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "seed": 42,
        "precision": "BF16",
        "optimizer": "AdamW",
        "gradient_checkpointing": False,
        "packing": "Auto",
        "evaluate_every_steps": None,
        "early_stopping": None,
        "checkpoint_every_steps": 50,
        "checkpoints_kept": 2,
    },
    "world": {"accelerator": "CPU", "nodes": 1, "devices_per_node": 1},
    "acceptance": {"metric": "json-exact", "minimum": 0.9, "maximum": None, "must_not_regress": []},
    "prediction": {
        "option": "lora-cpu",
        "memory_bytes": {"weights": 269_000_000, "optimizer": 58_600_000, "activations": 1_900_000_000},
        "tokens_per_second": 2000.0,
        "trainable_parameters": 4_884_480,
        "total_parameters": 139_399_488,
        "phase_bytes": {"baseline": 700_000_000, "backward": 2_227_600_000, "tuned": 700_000_000},
    },
    "output": "/out/ticket-priority",
}

_WHOLE: Final = frozenset({"memory_bytes", "answer_json"})
"""Parts that a change replaces, where all others are changed key by key."""


def make_job(**changes: Any) -> JobConfig:
    """A LoRA job; a dictionary changes only the keys it names, as in training={"epochs": 1.0}."""
    return JobConfig.model_validate_json(json.dumps(_merged(_JOB, changes)))


def make_acceptance(**changes: Any) -> AcceptanceConfig:
    """A rule: json-exact of at least 0.9."""
    return make_job(acceptance=changes).acceptance


def make_lengths(**changes: Any) -> TokenLengths:
    """Lengths of 240 short rows."""
    fields = {"p50": 61, "p95": 88, "max": 131, "total": 15_120, "answer_total": 4_320}
    return TokenLengths(**(fields | changes))


def make_shape(**changes: int) -> EvaluationShape:
    """How 60 short rows are evaluated."""
    fields = {"tokens": 2016, "pairs": 264_000, "positions": 368, "targets": 290}
    answering = {"prompt_tokens": 1600, "prompt_pairs": 180_000, "answering": 14, "reach": 146}
    return EvaluationShape(**(fields | answering | changes))


def make_facts(**changes: Any) -> DataFacts:
    """240 rows without a fault."""
    fields: dict[str, Any] = {
        "format": "Alpaca",
        "rows": 240,
        "skipped": 0,
        "faults": (),
        "fault_count": 0,
        "lengths": make_lengths(),
    }
    return DataFacts(**(fields | changes))


def make_fault(line: int = 17, message: str = "output is empty; write it or remove the row") -> RowFault:
    """One malformed row."""
    return RowFault(file="/data/train.jsonl", line=line, message=message)


def make_step(step: int = 1, **changes: Any) -> StepEvent:
    """A logged step of ninety."""
    fields: dict[str, Any] = {
        "step": step,
        "steps": 90,
        "epoch": step / 30,
        "loss": 2.0,
        "learning_rate": 1e-4,
        "gradient_norm": 1.0,
        "tokens_per_second": 2000.0,
        "remaining_seconds": 60.0,
        "memory_bytes": 2_000_000_000,
    }
    return StepEvent(**(fields | changes))


def make_held_out(step: int, loss: float, **changes: Any) -> HeldOutEvent:
    """An evaluation of two held-out rows in a run of ninety steps."""
    fields: dict[str, Any] = {"steps": 90, "epoch": step / 30, "rows": 2, "tokens": 36, "seconds": 0.5}
    return HeldOutEvent(step=step, loss=loss, **(fields | changes))


def make_history(steps: int = 90) -> tuple[StepEvent, ...]:
    """A run that goes well: the loss falls, with ripples that no random numbers are needed for."""
    return tuple(
        make_step(
            n,
            steps=steps,
            epoch=3 * n / steps,
            loss=0.25 + 2.4 * math.exp(-6 * n / steps) + 0.12 * math.sin(2.7 * n) * math.cos(0.9 * n),
            learning_rate=2e-4 * min(1.0, n / (0.1 * steps)) * 0.5 * (1 + math.cos(math.pi * n / steps)),
            gradient_norm=0.6 + 2.2 * math.exp(-5 * n / steps) + 0.3 * math.sin(1.9 * n) ** 2,
            tokens_per_second=1900.0 + 260 * math.sin(2.1 * n) - (900 if n == 1 else 0),
        )
        for n in range(1, steps + 1)
    )


def make_answer(line: int = 1, **changes: Any) -> AnswerRow:
    """A held-out row that was answered as the reference has it."""
    right = '{"priority": "high", "reason": "outage"}'
    fields: dict[str, Any] = {
        "file": "/data/check.jsonl",
        "line": line,
        "prompt": f"Ticket {line}: the shop is down.",
        "reference": right,
        "output": right,
    }
    return AnswerRow(**(fields | changes))


def make_evaluation(
    subject: Literal["baseline", "tuned"] = "tuned",
    metrics: Mapping[str, float] | None = None,
    answers: Sequence[AnswerRow] | None = None,
) -> Evaluation:
    """One model on two held-out rows: the base model answers in prose, the tuned one as it should."""
    output = {} if subject == "tuned" else {"output": "This looks urgent."}
    given = answers if answers is not None else (make_answer(1, **output), make_answer(2, **output))
    share = 1.0 if subject == "tuned" else 0.0
    measured = {"loss": 0.3, "perplexity": 1.35} if subject == "tuned" else {"loss": 2.7, "perplexity": 14.9}
    names = ("exact-match", "json-valid", "json-fields", "json-allowed", "json-exact", "field:priority", "field:reason")
    if given:
        measured |= dict.fromkeys(names, share)
    return Evaluation(subject=subject, metrics=dict(metrics or measured), answers=tuple(given), seconds=12.5)


def make_environment(**changes: Any) -> Environment:
    """A laptop."""
    fields: dict[str, Any] = {
        "versions": {"torch": "2.13.0", "transformers": "5.23.0", "python": "3.11.7"},
        "device": "Example CPU 3000",
        "driver": "",
        "cores": 8,
        "ram_bytes": 17_179_869_184,
        "command": "finetune run job.yaml --option lora-cpu",
        "seed": 42,
        "checksums": {"/data/train.jsonl": "sha256:" + "1" * 64, "/data/check.jsonl": "sha256:" + "2" * 64},
    }
    return Environment(**(fields | changes))


def make_verdict(**changes: Any) -> Verdict:
    """Keep."""
    fields: dict[str, Any] = {
        "decision": "Keep",
        "because": "json-exact went from 0.0% to 100.0% (2 of 2; 95% interval 34% to 100%); at least 90% was asked for",
        "next_step": "load the result from the output folder; the report has the lines to do it with",
    }
    return Verdict(**(fields | changes))


def make_memory(**changes: Any) -> MemoryEvent:
    """What a CPU measured of the default job, highest in the backward pass."""
    mebibyte = 1024**2
    phases = {"loading": 900, "baseline": 1500, "preparing": 1550, "forward": 2200, "backward": 2240, "step": 1700}
    fields: dict[str, Any] = {
        "step": 90,
        "predicted": make_job().prediction.memory_bytes,
        "measured": 2240 * mebibyte,
        "measured_by": "peak resident set of the training process",
        "peak": "backward",
        "phases": {name: count * mebibyte for name, count in phases.items()},
        "components": {
            "weights": 257 * mebibyte,
            "optimizer": 56 * mebibyte,
            "gradients+activations+logits+context": 1927 * mebibyte,
        },
        "tensors": {"weights": 257 * mebibyte, "optimizer": 56 * mebibyte, "gradients": 9 * mebibyte},
        "idle": 1400 * mebibyte,
        "device": {},
    }
    return MemoryEvent(**(fields | changes))


def make_gpu_memory() -> MemoryEvent:
    """What a GPU measured of full fine-tuning under ZeRO-2, highest in the optimizer step, though saving took more."""
    gibibyte = 1024**3
    phases = {"loading": 3.0, "preparing": 9.0, "forward": 14.0, "backward": 16.0, "step": 18.5, "saving": 19.0}
    gpu = {"allocated": 17.9, "reserved": 19.2, "process": 19.8}
    parts = {"weights": 2.5, "optimizer": 9.4, "gradients+buckets": 6.0, "context": 0.6}
    planned = {"weights": 2.5, "optimizer": 9.4, "gradients": 4.7, "activations": 0.2, "buckets": 0.4, "context": 0.9}
    fields = {
        "predicted": {n: round(b * gibibyte) for n, b in planned.items()},
        "measured": round(18.5 * gibibyte),
        "measured_by": "peak of the CUDA allocator, plus what the process holds outside of it",
        "peak": "step",
        "phases": {n: round(b * gibibyte) for n, b in phases.items()},
        "components": {n: round(b * gibibyte) for n, b in parts.items()},
        "tensors": {"weights": round(2.5 * gibibyte), "gradients": round(2.4 * gibibyte)},
        "idle": 8 * gibibyte,
        "device": {n: round(b * gibibyte) for n, b in gpu.items()},
    }
    return make_memory(**fields)


def make_lineage(*runs: LineageRun) -> Lineage:
    """Of a fresh adapter."""
    own = LineageRun(name="ticket-priority", objective="SFT", method="LoRA", began_from=None, data={})
    return Lineage(base="SmolLM2", base_digest="sha256:" + "b" * 64, runs=(*runs, own))


def make_record(**changes: Any) -> RunRecord:
    """A finished run of the default job."""
    job = make_job()
    fields: dict[str, Any] = {
        "job": job,
        "lineage": make_lineage(),
        "deepspeed": {"zero_optimization": {"stage": 0}},
        "train": make_facts(),
        "evaluation": make_facts(rows=2),
        "history": make_history(),
        "held_out": (),
        "resumed_from": (),
        "baseline": make_evaluation("baseline"),
        "tuned": make_evaluation("tuned"),
        "verdict": make_verdict(),
        "environment": make_environment(),
        "memory": make_memory(predicted=job.prediction.memory_bytes),
        "started_at": "2026-01-02T03:04:05+00:00",
        "training_seconds": 200.0,
        "output_files": {
            "adapter_config.json": 812,
            "adapter_model.safetensors": 19_588_456,
            "chat_template.jinja": 420,
            "tokenizer.json": 2_100_000,
        },
        "digest": "sha256:" + "a" * 64,
    }
    return RunRecord(**(fields | changes))


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and key not in _WHOLE:
            merged[key] = _merged(old, value)
        else:
            merged[key] = value
    return merged
