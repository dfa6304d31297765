"""Jobs for the tiny model, rendered by the product's own renderers, with rows in every format."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.spec import Accelerator, Adapter, Method, Objective
from finetune_operator.planner.architecture import read_architecture
from finetune_operator.planner.plan import Plan, PrecisionUsed
from finetune_operator.planner.workload import read_workload
from finetune_operator.renderers.bundle import render_bundle
from finetune_operator.renderers.trainer_config import Places
from tests.support.plans import make_class, make_device, make_job, make_plan
from tests.support.tiny_model import CONFIG

COLORS: Final = {"rose": "red", "sky": "blue"}
"""What there is to learn."""

CONTRACT: Final = {"output": {"json": {"required": ["color"], "values": {"color": ["red", "blue"]}}}}
"""Of the answers."""


def question(index: int) -> str:
    """One of many ways to ask."""
    return f"What color is the {list(COLORS)[index % 2]} number {index}?"


def answer(index: int) -> str:
    """The right answer as JSON."""
    return json.dumps({"color": list(COLORS.values())[index % 2]})


def row(row_format: str, index: int, *, held_out: bool = False) -> dict[str, Any]:
    """One row in a format; held-out Alpaca rows have the key `expected`."""
    match row_format:
        case "Alpaca":
            return {"instruction": question(index), "expected" if held_out else "output": answer(index)}
        case "Messages":
            turns = (("user", question(index)), ("assistant", answer(index)))
            return {"messages": [{"role": role, "content": content} for role, content in turns]}
        case "PromptCompletion":
            return {"prompt": question(index) + " ", "completion": answer(index)}
        case _:
            return {"text": f"{question(index)} {answer(index)}"}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")


def write_data(folder: Path, row_format: str = "Alpaca", train: int = 64, held_out: int = 8) -> None:
    """train.jsonl and check.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "train.jsonl", [row(row_format, i) for i in range(train)])
    write_rows(folder / "check.jsonl", [row(row_format, 1000 + i, held_out=True) for i in range(held_out)])


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyJob:
    """A rendered job."""

    job_file: Path
    output: Path


def tiny_plan(
    method: Method,
    rank: int,
    config: Mapping[str, Any] = CONFIG,
    objective: Objective = Objective.SFT,
    **changes: Any,
) -> Plan:
    """A plan for a tiny model on this CPU with its exact counts."""
    workload = read_workload(read_architecture(config), method, Adapter(rank=rank), objective)
    values: dict[str, Any] = {
        "id": f"{method.value.lower()}-cpu",
        "method": method,
        "node_class": make_class(device=make_device(accelerator=Accelerator.CPU)),
        "precision": PrecisionUsed.FP32,
        "micro_batch": 8,
        "accumulation": 1,
        "total_parameters": workload.parameters,
        "trainable_parameters": workload.trainable,
        "learning_rate": "3e-3",
    }
    return make_plan(**values | changes)


def render(folder: Path, model: Path, plan: Plan, *, adapter_folder: Path | None = None, **spec: Any) -> TinyJob:
    """Write job.json and deepspeed.json for that plan; data are in the folder."""
    if adapter_folder is not None:
        spec["model"] = {"source": {"path": str(model)}, "adapter": {"path": str(adapter_folder)}}
    architecture = read_architecture(json.loads((model / "config.json").read_text(encoding="utf-8")))
    training = {"epochs": "4", "batchSize": 8, "checkpoint": {"everySteps": 10}}
    whole: dict[str, Any] = {
        "dataset": {
            "train": {"source": {"path": "train.jsonl"}},
            "evaluation": {"source": {"path": "check.jsonl"}},
            "maxLength": 256,
        },
        "adapter": {"rank": 8},
        "training": training,
    }
    job: FineTuneJob = make_job(**whole | spec)
    places = Places(
        model=str(model),
        model_description="tiny",
        model_source=str(model),
        model_revision=None,
        train=(str(folder / "train.jsonl"),),
        evaluation=str(folder / "check.jsonl"),
        output=str(folder / "out"),
        adapter=str(adapter_folder) if adapter_folder is not None else None,
    )
    bundle = folder / "bundle"
    bundle.mkdir(parents=True, exist_ok=True)
    for name, text in render_bundle(job, plan, architecture, places).files.items():
        (bundle / name).write_text(text, encoding="utf-8")
    return TinyJob(job_file=bundle / "job.json", output=folder / "out")
