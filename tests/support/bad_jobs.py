"""Jobs for a cluster, each with one thing wrong, and what the API server says of it."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final, NamedTuple

VOLUME: Final = {"volume": {"claimName": "data", "path": "train.jsonl"}}
CONTRACT: Final = {"output": {"json": {"required": ["reason"], "values": {"priority": ["high", "low"]}}}}


class BadJob(NamedTuple):
    """One job that is refused."""

    id: str
    changes: Mapping[str, Any]
    """Values by their place in the whole manifest; a value of None takes the place away."""
    told: str
    """Part of what the API server says: the place, and the sentence of the rule."""


def make_cluster_job(name: str = "tickets") -> dict[str, Any]:
    """A job that a cluster takes: model, rows and output on volumes."""
    return {
        "apiVersion": "finetune-operator.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name},
        "spec": {
            "model": {"source": {"volume": {"claimName": "models", "path": "smollm2"}}},
            "dataset": {"train": {"source": deepcopy(VOLUME)}, "evaluation": {"fraction": "0.1"}},
            "output": {"volume": {"claimName": "results", "path": "tickets"}},
        },
    }


def changed(manifest: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with values put at places such as spec.training.epochs."""
    found: dict[str, Any] = deepcopy(dict(manifest))
    for place, value in changes.items():
        *groups, last = place.split(".")
        node = found
        for group in groups:
            node = node.setdefault(group, {})
        if value is None:
            del node[last]
        else:
            node[last] = value
    return found


_ALONE: Final = "by finetune run on your machine alone; in a cluster write"
_DATA: Final = f"a path is read {_ALONE} hub, volume, configMap or image"
_IMAGE: Final = {"image": {"reference": "registry.example/a:1", "path": "a"}}
_DECIMALS: Final = (
    ("spec.dataset.evaluation.fraction", "1", 'is not between 0 and 1; write for example "0.1"'),
    ("spec.dataset.evaluation.fraction", "0.0", 'is not between 0 and 1; write for example "0.1"'),
    ("spec.dataset.evaluation.fraction", "a tenth", 'is not between 0 and 1; write for example "0.1"'),
    ("spec.dataset.evaluation.fraction", "1e-999", 'is not between 0 and 1; write for example "0.1"'),
    ("spec.dataset.contract.maxBadRows", "5", "is more than all rows: it is a share of them"),
    ("spec.adapter.dropout", "1", "would drop everything"),
    ("spec.training.epochs", "0", "is not above 0 and at most 10000"),
    ("spec.training.epochs", "-1", "is not above 0 and at most 10000"),
    ("spec.training.learningRate", "1", 'is not between 0 and 1; write for example "2e-4"'),
    ("spec.training.learningRate", "2e-4x", 'is not between 0 and 1; write for example "2e-4"'),
    ("spec.training.warmup", "1", "is not a share of all steps, below 1"),
    ("spec.training.weightDecay", "1.1", "is above 1"),
    ("spec.training.maxGradNorm", "0", "is not above 0 and at most 1e6"),
    ("spec.training.earlyStopping.threshold", "1e301", "is too large"),
    ("spec.hardware.memoryMargin", "0.9", "leaves too little to plan with"),
    ("spec.hardware.maxCost", "0", "is not above 0 and at most 1e12"),
    ("spec.hardware.maxHourlyCost", "1e13", "is not above 0 and at most 1e12"),
    ("spec.hardware.maxDuration", "2 hours", 'is not a duration; write for example "2h15m"'),
    ("spec.hardware.maxDuration", "0s", "is no time at all; write for example 2h15m"),
    ("spec.preference.beta", "0", "is not above 0 and at most 100"),
    ("spec.preference.desirableWeight", "1001", "is not above 0 and at most 1000"),
    ("spec.preference.undesirableWeight", "0", "is not above 0 and at most 1000"),
    ("spec.plan.option", "LoRA 1", "is not an option's id"),
)

_SOURCES: Final = (
    BadJob("model-path", {"spec.model.source": {"path": "a"}}, f"spec.model.source: a path is read {_ALONE} hub"),
    BadJob("model-gguf", {"spec.model.source": {"gguf": "a"}}, f"spec.model.source: a path is read {_ALONE} hub"),
    BadJob("no-model", {"spec.model.source": {}}, "spec.model.source: write exactly one of hub, volume, image"),
    BadJob("two-models", {"spec.model.source.hub": {"repo": "me/a"}}, "write exactly one of hub, volume, image"),
    BadJob(
        "adapter-path",
        {"spec.model.adapter": {"path": "a"}, "spec.method": "LoRA"},
        f"spec.model.adapter: a path is read {_ALONE} hub",
    ),
    BadJob(
        "adapter-without-its-method",
        {"spec.model.adapter": {"hub": {"repo": "me/a"}}},
        "spec.method: has to be that of model.adapter; write LoRA, QLoRA or DoRA",
    ),
    BadJob(
        "packed-pairs",
        {"spec.training": {"packing": "BestFit"}, "spec.objective": "DPO"},
        "spec.training.packing: is for objective: SFT; write Auto or Never",
    ),
    BadJob(
        "reward-of-answers",
        {"spec.objective": "Reward", "spec.acceptance": {"metric": "exact-match"}},
        "spec.acceptance: a metric that it names isn't measured with that objective",
    ),
    BadJob("train-path", {"spec.dataset.train.source": {"path": "a"}}, f"spec.dataset.train.source: {_DATA}"),
    BadJob("no-rows", {"spec.dataset.train.source": {}}, "write exactly one of hub, volume, configMap, image"),
    BadJob(
        "path-among-several",
        {"spec.dataset.train": {"sources": [VOLUME, {"path": "a"}]}},
        f"spec.dataset.train.sources[1]: {_DATA}",
    ),
    BadJob(
        "one-and-several",
        {"spec.dataset.train.sources": [_IMAGE]},
        "spec.dataset.train: write exactly one of source, sources",
    ),
    BadJob(
        "format-of-several",
        {"spec.dataset.train": {"sources": [VOLUME], "format": "Text"}},
        "spec.dataset.train.format: is for a single source; write it beside each of the sources",
    ),
    BadJob(
        "source-twice",
        {"spec.dataset.train": {"sources": [VOLUME, _IMAGE, {**VOLUME, "weight": "2"}]}},
        "spec.dataset.train.sources: names a file twice; name it once, with the weight of both",
    ),
    BadJob(
        "weight-of-several",
        {"spec.dataset.train": {"sources": [{**VOLUME, "weight": "0"}]}},
        "spec.dataset.train.sources[0].weight: is not above 0 and at most 1000",
    ),
    BadJob(
        "no-sources",
        {"spec.dataset.train": {"sources": []}},
        "spec.dataset.train.sources: in body should have at least",
    ),
    BadJob(
        "evaluation-path",
        {"spec.dataset.evaluation": {"source": {"path": "a"}}},
        f"spec.dataset.evaluation.source: {_DATA}",
    ),
    BadJob(
        "no-evaluation",
        {"spec.dataset.evaluation": {}},
        "spec.dataset.evaluation: write exactly one of source, fraction",
    ),
    BadJob(
        "format-of-a-fraction",
        {"spec.dataset.evaluation.format": "Text"},
        "spec.dataset.evaluation.format: is for a source, and there is none; write it under dataset.train",
    ),
    BadJob("output-path", {"spec.output": {"path": "a"}}, f"spec.output: a path is written {_ALONE} volume"),
    BadJob("no-output", {"spec.output": {}}, "spec.output: holds nothing; write volume with claimName and path"),
    BadJob(
        "out-of-a-volume", {"spec.output.volume.path": "a/../../b"}, "spec.output.volume.path: leads out of it; write"
    ),
    BadJob("absolute-path", {"spec.output.volume.path": "/a"}, "spec.output.volume.path: leads out of it; write"),
    BadJob("claim-name", {"spec.output.volume.claimName": "A b"}, "claimName: is not the name of an object"),
    BadJob(
        "key-with-a-slash",
        {"spec.dataset.train.source": {"configMap": {"name": "a", "key": "a/b"}}},
        "configMap.key: is not a key of a ConfigMap or Secret",
    ),
    BadJob("repo", {"spec.model.source": {"hub": {"repo": "a"}}}, "hub.repo: is not owner/name of a repository"),
    BadJob(
        "revision",
        {"spec.model.source": {"hub": {"repo": "a/b", "revision": "a b"}}},
        "hub.revision: is not a branch, tag or commit",
    ),
    BadJob(
        "image-reference",
        {"spec.model.source": {"image": {"reference": "a b", "path": "."}}},
        "image.reference: is not the reference of an image",
    ),
)

_ACROSS: Final = (
    BadJob("long-name", {"metadata.name": "a" * 41}, "metadata.name is too long"),
    BadJob("dotted-name", {"metadata.name": "a.b"}, "metadata.name may hold a-z, 0-9 and - between them"),
    BadJob("unknown-method", {"spec.method": "lora"}, 'spec.method: Unsupported value: "lora"'),
    BadJob("float", {"spec.training.epochs": 3.5}, "spec.training.epochs: Invalid value"),
    BadJob("long-decimal", {"spec.training.epochs": "1" * 33}, "spec.training.epochs: Too long"),
    BadJob("rank", {"spec.adapter.rank": 0}, "spec.adapter.rank: Invalid value"),
    BadJob("seed", {"spec.training.seed": 2**32}, "spec.training.seed: Invalid value"),
    BadJob("restarts", {"spec.restarts.limit": 11}, "spec.restarts.limit: Invalid value"),
    BadJob(
        "uneven-batch",
        {"spec.hardware": {"nodes": 3, "devicesPerNode": 2}},
        "spec.training.batchSize: can't be shared evenly by so many devices",
    ),
    BadJob(
        "idle-adapter",
        {"spec.method": "Full", "spec.adapter.rank": 8},
        "spec.adapter: is not used by method: Full; remove it, or write method: LoRA",
    ),
    BadJob(
        "all-and-some",
        {"spec.adapter.targetModules": ["all-linear", "q_proj"]},
        "spec.adapter.targetModules: names all-linear and others; write one or the other",
    ),
    BadJob(
        "unprintable",
        {"spec.adapter.targetModules": ["q_proj\n"]},
        "spec.adapter.targetModules[0]: has characters that can't be printed",
    ),
    BadJob(
        "many-cpus",
        {"spec.hardware": {"accelerator": "CPU", "devicesPerNode": 2}},
        "spec.hardware.devicesPerNode: contradicts accelerator: CPU, where a node is one device; write 1",
    ),
    BadJob(
        "value-of-exists",
        {"spec.hardware.tolerations": [{"operator": "Exists", "value": "a"}]},
        "spec.hardware.tolerations[0].value: is not compared by operator: Exists",
    ),
    BadJob(
        "toleration-of-nothing",
        {"spec.hardware.tolerations": [{}]},
        "spec.hardware.tolerations[0]: compares a key and names none",
    ),
    BadJob(
        "label-key",
        {"spec.hardware.tolerations": [{"key": "a b"}]},
        "spec.hardware.tolerations[0].key: is not the key of a label",
    ),
    BadJob("selector-key", {"spec.hardware.nodeSelector": {"a b": "c"}}, "has a key that is not the key of a label"),
    BadJob(
        "long-key",
        {"spec.dataset.contract.output.json.values": {"a" * 201: ["b"]}},
        "spec.dataset.contract.output.json.values: has a key of more than 200 characters",
    ),
    BadJob("label-value", {"spec.hardware.nodeSelector": {"a": "b c"}}, "is not the value of a label"),
    BadJob(
        "nothing-allowed",
        {"spec.dataset.contract.output.json.values": {"priority": []}},
        "spec.dataset.contract.output.json.values: a key's list of values is empty",
    ),
    BadJob("metric", {"spec.acceptance.metric": "f1"}, "spec.acceptance.metric: is not a metric; write one of loss"),
    BadJob("no-field", {"spec.acceptance.metric": "field:"}, "spec.acceptance.metric: is not a metric"),
    BadJob(
        "minimum-of-loss",
        {"spec.acceptance.minimum": "0.9"},
        "spec.acceptance.minimum: is for a metric that is better when it is higher; write maximum instead",
    ),
    BadJob(
        "maximum-of-a-share",
        {"spec.acceptance": {"metric": "exact-match", "maximum": "0.9"}},
        "spec.acceptance.maximum: is for a metric that is better when it is lower; write minimum instead",
    ),
    BadJob(
        "minimum-above-all",
        {"spec.acceptance": {"metric": "exact-match", "minimum": "90"}},
        "spec.acceptance.minimum: is not a share, at most 1",
    ),
    BadJob("maximum", {"spec.acceptance.maximum": "1e301"}, "spec.acceptance.maximum: is too large"),
    BadJob(
        "metric-without-contract",
        {"spec.acceptance.metric": "json-valid"},
        "spec.acceptance: a metric that it names needs dataset.contract.output.json",
    ),
    BadJob(
        "regress-without-contract",
        {"spec.acceptance.mustNotRegress": ["loss", "field:a"]},
        "spec.acceptance: a metric that it names needs dataset.contract.output.json",
    ),
    BadJob(
        "metric-of-no-field",
        {"spec.acceptance.metric": "field:a", "spec.dataset.contract": CONTRACT},
        "spec.acceptance: a metric that it names is no field of dataset.contract.output.json",
    ),
    BadJob(
        "regress-of-no-field",
        {"spec.acceptance.mustNotRegress": ["field:reason", "field:a"], "spec.dataset.contract": CONTRACT},
        "spec.acceptance: a metric that it names is no field of dataset.contract.output.json",
    ),
    BadJob(
        "rewards-of-sft",
        {"spec.acceptance.metric": "reward-accuracy"},
        "spec.acceptance: a metric that it names isn't measured with that objective",
    ),
    BadJob(
        "regress-of-others",
        {"spec.acceptance.mustNotRegress": ["preference-accuracy"], "spec.objective": "KTO"},
        "spec.acceptance: a metric that it names isn't measured with that objective",
    ),
    BadJob(
        "minimum-of-a-given-loss",
        {"spec.acceptance": {"metric": "loss", "minimum": "0.9"}},
        "spec.acceptance.minimum: is for a metric that is better when it is higher; write maximum instead",
    ),
    BadJob(
        "maximum-of-preferences",
        {"spec.acceptance.maximum": "0.9", "spec.objective": "DPO"},
        "spec.acceptance.maximum: is for a metric that is better when it is lower; write minimum instead",
    ),
    BadJob(
        "held-out-loss-of-preferences",
        {"spec.training.evaluate": {"everySteps": 10}, "spec.objective": "GRPO"},
        "spec.training.evaluate: has no measure for that objective; remove it, or write objective: SFT",
    ),
    BadJob(
        "early-stopping-of-preferences",
        {"spec.training.earlyStopping": {}, "spec.objective": "GRPO"},
        "spec.training.earlyStopping: has no measure for that objective; remove it, or write objective: SFT",
    ),
    BadJob(
        "cycles-of-a-schedule-without",
        {"spec.training.cycles": 3},
        "spec.training.cycles: is not used by that schedule; remove it, or write CosineWithRestarts",
    ),
    BadJob(
        "preference-of-sft",
        {"spec.preference": {"beta": "0.2"}},
        "spec.preference: is not used by that objective; remove it, or write objective: DPO",
    ),
    BadJob(
        "weights-of-dpo",
        {"spec.preference": {"desirableWeight": "2"}, "spec.objective": "DPO"},
        "spec.preference: has weights, which that objective doesn't use; remove them, or write objective: KTO",
    ),
)

BAD_JOBS: Final = (
    *_SOURCES,
    *_ACROSS,
    *(BadJob(f"{p.rsplit('.', 1)[-1]}-{value}", {p: value}, f"{p}: {says}") for p, value, says in _DECIMALS),
)
"""At least one for every rule of the definition."""

GOOD_CHANGES: Final[Mapping[str, Mapping[str, Any]]] = {
    "smallest": {},
    "hub": {
        "spec.model.source": {"hub": {"repo": "me/tiny-1.5", "tokenSecretRef": {"name": "hub.token", "key": "token"}}}
    },
    "image": {"spec.model.source": {"image": {"reference": f"a.example:5000/m@sha256:{'0' * 64}", "path": "."}}},
    "several": {"spec.dataset.train": {"sources": [VOLUME, {**_IMAGE, "weight": "0.5", "format": "Text"}]}},
    "held-out": {
        "spec.dataset.evaluation": {"source": {"configMap": {"name": "a", "key": "b.jsonl"}}, "format": "Text"}
    },
    "fields": {
        "spec.acceptance": {
            "metric": "field:priority",
            "minimum": "0.9",
            "mustNotRegress": ["field:reason", "json-exact"],
        },
        "spec.dataset.contract": CONTRACT,
    },
    "schema": {
        "spec.dataset.contract.output.json.schema": {"type": "object", "properties": {"a": {"anyOf": [1, "b"]}}}
    },
    "full": {"spec.method": "Full", "spec.adapter": {}},
    "stopped-early": {
        "spec.training": {
            "schedule": "CosineWithRestarts",
            "cycles": 3,
            "evaluate": {"everySteps": 10},
            "earlyStopping": {"threshold": "0.01"},
        },
    },
    "pairs": {
        "spec.objective": "DPO",
        "spec.preference": {"beta": "0.2"},
        "spec.acceptance": {"minimum": "0.9", "mustNotRegress": ["reward-accuracy"]},
    },
    "judged": {
        "spec.objective": "KTO",
        "spec.preference": {"undesirableWeight": "2"},
        "spec.acceptance.metric": "reward-accuracy",
    },
    "devices": {"spec.hardware": {"nodes": 2, "devicesPerNode": 8, "maxDuration": "2h15m", "maxCost": "2e1"}},
    "everything-of-pods": {
        "spec.hardware": {"nodeSelector": {"nvidia.com/gpu.product": "A"}, "tolerations": [{"operator": "Exists"}]},
        "spec.restarts.limit": 0,
        "spec.suspend": True,
        "spec.ttlSecondsAfterFinished": 0,
        "spec.podTemplate": {"imagePullSecrets": [{"name": "a"}], "priorityClassName": "a", "serviceAccountName": "b"},
    },
}
"""Changes that a cluster takes."""
