"""What one pass sees, for the lifecycle's tests."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from finetune_operator.api.resource import FineTuneJob, Identity
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.lifecycle.observed import Child, Chosen, JobSeen, Observed
from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.catalogue import CATALOGUE
from finetune_operator.planner.planner import plan
from finetune_operator.renderers.placement import Placement
from finetune_operator.renderers.settings import RenderSettings
from finetune_trainer.events import DataFacts, InspectionFacts, TokenLengths
from tests.support.trainer_builders import make_shape
from tests.unit.lifecycle.pods import BEGAN
from tests.unit.planner.builders import SEVEN, make_capacity, make_gpus

IDENTITY = Identity(name="tickets", namespace="support", uid="1a2b3c4d-0000-4000-8000-000000000000", generation=3)
SETTINGS = RenderSettings(trainer_image="registry.example/finetune-trainer:1")
GPUS = make_gpus(80, 8, 2, resource="nvidia.com/gpu", product="NVIDIA-A100-SXM4-80GB", free_devices=((8, 2),))


def make_cluster_job(**spec: Any) -> FineTuneJob:
    """A job as the API server would hold it."""
    fields: dict[str, Any] = {
        "model": {"source": {"volume": {"claimName": "models", "path": "qwen"}}},
        "dataset": {
            "train": {"source": {"configMap": {"name": "rows", "key": "train.jsonl"}}},
            "evaluation": {"fraction": "0.1"},
        },
        "output": {"volume": {"claimName": "adapters", "path": "tickets"}},
    }
    value = {
        "apiVersion": "finetune-operator.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": IDENTITY.name, "namespace": IDENTITY.namespace},
        "spec": fields | spec,
    }
    return FineTuneJob.model_validate_json(json.dumps(value))


def make_inspection(repo: str = SEVEN, rows: int = 1000) -> InspectionFacts:
    """What an inspection has read."""
    lengths = TokenLengths(p50=200, p95=400, max=512, total=rows * 220, answer_total=rows * 60)
    data = DataFacts(format="Alpaca", rows=rows, skipped=0, faults=(), fault_count=0, lengths=lengths)
    return InspectionFacts(
        model_config_json=json.dumps(CATALOGUE[repo]),
        weight_bytes=1 << 30,
        train=data,
        evaluation=data,
        evaluated=make_shape(),
    )


def see(**overrides: Any) -> Observed:
    """A job that nobody has looked at, on two nodes of eight free devices; 110 seconds after BEGAN."""
    capacity: Capacity = overrides.pop("capacity", make_capacity(GPUS))
    promised: Sequence[Placement] = overrides.pop("promised", ())
    fields: dict[str, Any] = {
        "identity": IDENTITY,
        "job": make_cluster_job(),
        "problem": "",
        "status": FineTuneJobStatus(),
        "facts": None,
        "facts_since": None,
        "facts_map": "tickets-1a2b3c4d-facts-0",
        "inspection": None,
        "chosen": None,
        "attempts": {},
        "children": (),
        "events": (),
        "log_problem": None,
        "capacity": lambda: capacity,
        "promised": lambda: promised,
        "writers": lambda: (),
        "plan": plan,
        "suspended": False,
        "now": BEGAN + timedelta(seconds=110),
    }
    return Observed(**(fields | overrides))


def make_chosen(placement: Placement) -> Chosen:
    """A choice that was made."""
    return Chosen(config_map="tickets-1a2b3c4d-run-0", option="lora-1x80g", hash="sha256:0", placement=placement)


def later(seen: Observed, status: FineTuneJobStatus, now: datetime | None = None, **seen_now: Any) -> Observed:
    """The next pass: what was said is what was written."""
    return replace(seen, status=status, now=now or seen.now, **seen_now)


def children(*jobs: JobSeen) -> tuple[Child, ...]:
    """The same as what the job owns, with a ConfigMap that no attempt has for itself."""
    found = [
        Child(api_version="batch/v1", kind="Job", name=j.name, uid=j.uid, attempt=n)
        for n, j in enumerate(jobs, start=1)
    ]
    return (*found, Child(api_version="v1", kind="ConfigMap", name="run", uid="u9", attempt=None))


def attempts(*jobs: JobSeen) -> dict[int, JobSeen]:
    """Jobs by number, from 1."""
    return dict(enumerate(jobs, start=1))
