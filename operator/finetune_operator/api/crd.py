"""The CustomResourceDefinition of a FineTuneJob, made from the models; `make crds` writes it to crds/.

What validators say across fields is said by rules that stand beside them. CEL can't say, and the operator says in a
condition: that a part of a path is longer than 255 bytes; that a claim, ConfigMap, Secret, key, image or repository is
missing; that the cluster knows no image volumes; that dataset.contract.output.json.schema is no JSON schema; that this
version doesn't train an objective; that plan.option is none of the options.
"""

import sys
from typing import Any, Final

import yaml

from finetune_operator.api.rules import LIST_KEYS, LIST_TYPE, MAP_TYPE, VALIDATIONS, Rule, literal, same
from finetune_operator.api.spec import FineTuneJobSpec
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.api.structural import Schema, structural
from finetune_operator.constants import GROUP, KIND, MAX_NAME_LENGTH, VERSION

PLURAL: Final = "finetunejobs"
"""What URLs and RBAC name the kind by."""

SHORT_NAME: Final = "ftj"
"""What people type after `kubectl get`."""

CATEGORY: Final = "finetune"
"""`kubectl get finetune` lists all kinds of it."""

CRD_NAME: Final = f"{PLURAL}.{GROUP}"
"""Name of the definition itself."""

CHANGEABLE: Final = ("suspend", "restarts", "ttlSecondsAfterFinished")
"""Fields of the spec that may change once a plan is chosen."""

_PLANNED: Final = "(has(oldSelf.status) && has(oldSelf.status.plan))"
"""Whether a plan was chosen, in CEL."""


_ATOMIC: Final = {"array": {LIST_TYPE: "atomic"}, "object": {MAP_TYPE: "atomic"}}
"""What is written as one value."""


def render_crd() -> dict[str, Any]:
    """The definition as a manifest."""
    names = {"kind": KIND, "listKind": f"{KIND}List", "plural": PLURAL, "singular": KIND.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": CRD_NAME},
        "spec": {
            "group": GROUP,
            "names": {**names, "shortNames": [SHORT_NAME], "categories": [CATEGORY]},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _columns(),
                    "schema": {"openAPIV3Schema": _object()},
                },
            ],
        },
    }


def _object() -> Schema:
    spec = structural(FineTuneJobSpec)
    return {
        "description": "A fine-tuning job: every way to train that fits is listed, the chosen one trained and judged.",
        "type": "object",
        "required": ["spec"],
        VALIDATIONS: [rule.schema() for rule in (*_name_rules(), *_rules_once_planned(spec))],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": {"description": "What is asked for.", **spec},
            "status": _status(),
        },
    }


def _status() -> Schema:
    """What the operator says; nobody has looked at an object yet that it says nothing of."""
    made = structural(FineTuneJobStatus)
    properties = made["properties"]
    for child in properties.values():
        # one writer writes it whole: who wrote which of some hundred fields would be kept with each job
        child.update(_ATOMIC.get(child["type"], {}))
    properties["conditions"] |= {LIST_TYPE: "map", LIST_KEYS: ["type"]}
    properties["conditions"]["items"] |= _ATOMIC["object"]
    seen = properties["observedGeneration"]["default"]
    return {"description": "What the operator says of it.", **made, "default": {"observedGeneration": seen}}


def _name_rules() -> tuple[Rule, ...]:
    label = literal("[a-z0-9]([-a-z0-9]*[a-z0-9])?")
    return (
        Rule(
            f"self.metadata.name.size() <= {MAX_NAME_LENGTH}",
            f"metadata.name is too long: what belongs to a job is named after it; write at most {MAX_NAME_LENGTH} "
            "characters",
        ),
        Rule(
            f"self.metadata.name.matches({label})",
            "metadata.name may hold a-z, 0-9 and - between them; write for example my-job",
        ),
    )


def _rules_once_planned(spec: Schema) -> tuple[Rule, ...]:
    """At the root, since a rule in an arm of a union is passed by switching arms."""
    fixed = [name for name in spec["properties"] if name not in {*CHANGEABLE, "plan"}]
    always = [n for n in fixed if n in spec["required"] or "default" in spec["properties"][n]]
    equal = [f"self.spec.{n} == oldSelf.spec.{n}" for n in always]
    unchanged = " && ".join((*equal, same([n for n in fixed if n not in always], "self.spec", "oldSelf.spec")))
    chosen = "self.spec.plan.option"
    return (
        Rule(
            f"!{_PLANNED} || ({unchanged})",
            f"can't change once a plan is chosen, except for {', '.join(CHANGEABLE)}; "
            "delete the job and apply it anew, or write another metadata.name",
            ".spec",
        ),
        Rule(
            f"!{_PLANNED} || !has(self.spec.plan) || !has({chosen}) || {chosen} == oldSelf.status.plan.option"
            f" || (has(oldSelf.spec.plan) && has(oldSelf.spec.plan.option) && {chosen} == oldSelf.spec.plan.option)",
            "is another option than the chosen one; write that one or remove it, or delete the job and apply it anew",
            ".spec.plan",
        ),
    )


def _columns() -> list[dict[str, Any]]:
    def column(name: str, path: str, kind: str = "string", *, wide: bool = False) -> dict[str, Any]:
        return {"name": name, "type": kind, "jsonPath": path, **({"priority": 1} if wide else {})}

    return [
        column("Phase", ".status.phase"),
        column("Plan", ".status.plan.option"),
        column("Step", ".status.progress.step", "integer"),
        column("Of", ".status.progress.steps", "integer"),
        column("Loss", ".status.progress.loss"),
        column("ETA", ".status.progress.remaining"),
        column("Verdict", ".status.evaluation.decision"),
        column("Age", ".metadata.creationTimestamp", "date"),
        column("Model", ".status.model.architecture", wide=True),
        column("Restarts", ".status.restarts", "integer", wide=True),
        column("Planned", '.status.conditions[?(@.type=="Planned")].message', wide=True),
        column("Failure", '.status.conditions[?(@.type=="Failed")].message', wide=True),
    ]


class _Dumper(yaml.SafeDumper):
    """What is short stands on one line."""

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:  # noqa: FBT001  PyYAML's
        node = super().represent_mapping(tag, mapping, flow_style)
        parts = [part for pair in node.value for part in pair]
        leaves = all(isinstance(part, yaml.ScalarNode) for part in parts)
        node.flow_style = leaves and sum(len(part.value) for part in parts) < _SHORT
        return node

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:  # noqa: FBT001
        node = super().represent_sequence(tag, sequence, flow_style)
        node.flow_style = all(isinstance(part, yaml.ScalarNode) for part in node.value)
        return node


_SHORT: Final = 110
"""Characters of a mapping's keys and values that are still read at a glance on one line."""


def _sharing(node: Any, known: dict[str, Any]) -> Any:
    """The same with equal parts as one object, which the text says once: its size is limited."""
    if isinstance(node, list):
        return known.setdefault(repr(node), [_sharing(n, known) for n in node]) if len(repr(node)) > _SHORT else node
    if isinstance(node, dict):
        found = {key: _sharing(below, known) for key, below in node.items()}
        return known.setdefault(repr(node), found) if len(repr(node)) > _SHORT else found
    return node


def render_text() -> str:
    """The definition as the text of its file."""
    head = "# Made by `make crds` from operator/finetune_operator/api; change the models there.\n"
    return head + yaml.dump(_sharing(render_crd(), {}), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


if __name__ == "__main__":
    sys.stdout.write(render_text())
