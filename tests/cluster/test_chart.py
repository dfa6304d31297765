"""The chart by helm: linted, rendered with several values, and no value past its schema."""

from pathlib import Path
from typing import Any, Final

import pytest

from tests.cluster.helm import CHART, Helm, HelmError
from tests.support.pod_security import violations

DEFINITION: Final = ("CustomResourceDefinition", "finetunejobs.finetune-operator.dev")


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    """One that no cluster answers."""
    return Helm(home=tmp_path)


def names(objects: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(o["kind"], o["metadata"]["name"]) for o in objects}


def only(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [o for o in objects if o["kind"] == kind]
    return found


def environment(deployment: dict[str, Any]) -> dict[str, str]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {e["name"]: e.get("value", "") for e in container["env"]}


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="as-it-is"),
        pytest.param({"namespaces": ["a", "b"], "crd": {"install": False}}, id="namespaces"),
        pytest.param({"runAsUser": None, "metrics": {"service": False}}, id="user-of-the-cluster"),
    ],
)
def test_lint_has_nothing_to_say(helm: Helm, values: dict[str, Any]) -> None:
    said = helm.run("lint", "--strict", str(CHART), values=values)
    assert "1 chart(s) linted, 0 chart(s) failed" in said
    assert "WARNING" not in said
    assert "ERROR" not in said


def test_what_is_installed_as_it_is(helm: Helm) -> None:
    objects = helm.template({})
    assert names(objects) == {
        DEFINITION,
        ("ServiceAccount", "finetune-operator"),
        ("Service", "finetune-operator"),
        ("Deployment", "finetune-operator"),
        ("ClusterRole", "finetune-operator-capacity"),
        ("ClusterRole", "finetune-operator-jobs"),
        ("ClusterRoleBinding", "finetune-operator-capacity"),
        ("ClusterRoleBinding", "finetune-operator-jobs"),
        ("Role", "finetune-operator-lease"),
        ("RoleBinding", "finetune-operator-lease"),
    }
    kept = only(objects, "CustomResourceDefinition")["metadata"]["annotations"]
    assert kept == {"helm.sh/resource-policy": "keep"}


def test_the_operators_pod_is_restricted(helm: Helm) -> None:
    assert violations(only(helm.template({}), "Deployment")["spec"]["template"]["spec"]) == []


def test_rights_are_for_the_namespaces_that_are_named(helm: Helm) -> None:
    objects = helm.template({"namespaces": ["a", "b"]})
    bound = {
        o["metadata"]["namespace"]
        for o in objects
        if o["kind"] == "RoleBinding" and o["roleRef"]["kind"] == "ClusterRole"
    }
    assert bound == {"a", "b"}
    assert ("ClusterRoleBinding", "finetune-operator-jobs") not in names(objects)
    assert environment(only(objects, "Deployment"))["FINETUNE_NAMESPACES"] == "a,b"


def test_what_is_switched_off_is_not_there(helm: Helm) -> None:
    objects = helm.template(
        {"crd": {"install": False}, "metrics": {"service": False}, "progress": {"enabled": False}, "runAsUser": None}
    )
    assert {o["kind"] for o in objects}.isdisjoint({"CustomResourceDefinition", "Service"})
    (rules,) = [o["rules"] for o in objects if o["metadata"]["name"] == "finetune-operator-jobs" and "rules" in o]
    assert "pods/log" not in [r for rule in rules for r in rule["resources"]]
    security = only(objects, "Deployment")["spec"]["template"]["spec"]["securityContext"]
    assert security == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_every_value_of_the_pod_arrives(helm: Helm) -> None:
    given: dict[str, Any] = {
        "image": {"repository": "registry.example/operator", "tag": "7", "pullPolicy": "Always"},
        "trainer": {"image": "registry.example/trainer@sha256:12", "user": 7, "grace": "90s"},
        "replicas": 2,
        "workers": 8,
        "resync": "1h",
        "runAsUser": 4711,
        "imagePullSecrets": [{"name": "registry"}],
        "podAnnotations": {"example.com/a": "b"},
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
        "priorityClassName": "system-cluster-critical",
        "log": {"level": "debug", "format": "text"},
    }
    deployment = only(helm.template(given), "Deployment")
    template = deployment["spec"]["template"]
    spec = template["spec"]
    (container,) = spec["containers"]
    assert deployment["spec"]["replicas"] == 2
    assert (container["image"], container["imagePullPolicy"]) == ("registry.example/operator:7", "Always")
    assert {k: spec[k] for k in ("imagePullSecrets", "nodeSelector", "tolerations", "priorityClassName")} == {
        k: given[k] for k in ("imagePullSecrets", "nodeSelector", "tolerations", "priorityClassName")
    }
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["runAsGroup"] == 4711
    assert template["metadata"]["annotations"] == given["podAnnotations"]
    set_to = environment(deployment)
    assert {name: set_to[f"FINETUNE_{name}"] for name in ("TRAINER_IMAGE", "TRAINER_USER", "TRAINER_GRACE")} == {
        "TRAINER_IMAGE": "registry.example/trainer@sha256:12",
        "TRAINER_USER": "7",
        "TRAINER_GRACE": "90s",
    }
    assert {name: set_to[f"FINETUNE_{name}"] for name in ("WORKERS", "RESYNC", "LOG_LEVEL", "LOG_FORMAT")} == {
        "WORKERS": "8",
        "RESYNC": "1h",
        "LOG_LEVEL": "debug",
        "LOG_FORMAT": "text",
    }


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        pytest.param({"replicas": 0}, "replicas", id="none"),
        pytest.param({"workers": "4"}, "workers", id="text"),
        pytest.param({"resync": "often"}, "resync", id="no-duration"),
        pytest.param({"trainer": {"image": ""}}, "trainer", id="no-image"),
        pytest.param({"namespaces": ["A_b"]}, "namespaces", id="no-namespace"),
        pytest.param({"runAsUser": 0}, "runAsUser", id="root"),
        pytest.param({"image": {"tag": 7}}, "image", id="number-for-a-tag"),
        pytest.param({"trainers": {}}, "trainers", id="misspelt"),
    ],
)
def test_a_value_past_the_schema_is_refused(helm: Helm, wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(HelmError, match=named):
        helm.template(wrong)


def test_one_release_may_be_named_otherwise(helm: Helm) -> None:
    said = helm.run("template", "prod", str(CHART), "--namespace", "elsewhere", values={})
    assert "name: prod-finetune-operator\n" in said
    assert "namespace: finetune-system" not in said
