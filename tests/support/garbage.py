"""Specs and statuses that no schema of ours lets through, as an object may have that was written past it."""

from typing import Any, Final

from tests.support.bad_jobs import BAD_JOBS, changed, make_cluster_job

_GOOD: Final = make_cluster_job()["spec"]


def _with(place: str, value: Any) -> dict[str, Any]:
    spec: dict[str, Any] = changed({"spec": _GOOD}, {f"spec.{place}": value})["spec"]
    return spec


SPECS: Final[dict[str, Any]] = {
    "text": "train it",
    "number": 7,
    "list": [1, 2],
    "true": True,
    "null": None,
    "empty": {},
    "all-null": dict.fromkeys(_GOOD),
    "unknown-field": _with("learningRate", "2e-4"),
    "keys-that-look-alike": {**_GOOD, "Model": {}, "": "", "a.b/c": [None]},
    "model-is-text": _with("model", "Qwen/Qwen2.5-7B"),
    "source-is-a-list": _with("model.source", ["hub"]),
    "hardware-is-text": _with("hardware", "8 GPUs"),
    "hardware-is-a-list": _with("hardware", [{"nodes": 1}]),
    "selector-is-a-list": _with("hardware", {"nodeSelector": ["gpu"]}),
    "selector-of-numbers": _with("hardware", {"nodeSelector": {"zone": 1}}),
    "tolerations-are-text": _with("hardware", {"tolerations": "all"}),
    "toleration-is-text": _with("hardware", {"tolerations": ["all"]}),
    "tolerations-are-an-object": _with("hardware", {"tolerations": {"key": "gpu"}}),
    "nodes-is-text": _with("hardware", {"nodes": "two"}),
    "nodes-is-huge": _with("hardware", {"nodes": 2**63 - 1}),
    "nodes-is-negative": _with("hardware", {"nodes": -1}),
    "epochs-is-a-float": _with("training", {"epochs": 1.5}),
    "epochs-is-no-number": _with("training", {"epochs": "three"}),
    "rank-is-a-float": _with("adapter", {"rank": 8.5}),
    "batch-of-nothing": _with("training", {"batchSize": 0}),
    "plan-is-text": _with("plan", "recommended"),
    "option-is-a-number": _with("plan", {"option": 1}),
    "option-with-a-line-end": _with("plan", {"option": "lora-1x24g\nError"}),
    "suspend-is-text": _with("suspend", "yes"),
    "ttl-is-text": _with("ttlSecondsAfterFinished", "soon"),
    "path-out-of-the-volume": _with("output.volume.path", "../../etc"),
    "deep": _with("dataset.contract", {"output": {"json": {"values": {"a": [[[[{}]]]]}}}}),
    "long": _with("output.volume.path", "a" * 100_000),
    "unprintable": _with("dataset.train", {"source": {"path": "a\u0000b\u202e"}}),
    "path-of-a-machine": _with("dataset.train", {"source": {"path": "rows.jsonl"}}),
}
"""None of them is a job."""

STATUSES: Final[dict[str, Any]] = {
    "text": "Succeeded",
    "list": [1],
    "number": 3,
    "conditions-are-text": {"conditions": "Succeeded"},
    "conditions-are-an-object": {"conditions": {"type": "Succeeded"}},
    "condition-is-text": {"conditions": ["Succeeded"]},
    "condition-without-anything": {"conditions": [{}]},
    "condition-of-another-sort": {"conditions": [{"type": "Done", "status": "True"}]},
    "attempts-are-text": {"attempts": "five"},
    "attempt-is-null": {"attempts": [None]},
    "plan-is-text": {"plan": "lora"},
    "progress-is-a-list": {"progress": [1]},
    "restarts-is-text": {"restarts": "two"},
    "phase-is-a-number": {"phase": 3},
    "unknown-field": {"done": True},
}
"""None of them is what we write."""

NAMES: Final = tuple(b for b in BAD_JOBS if set(b.changes) == {"metadata.name"})
"""Jobs whose names children can't be named after."""
