"""The chart and the images: least privilege, values that their schema knows, one version, the definition as made."""

import json
import re
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml

from finetune_operator import __version__

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "helm" / "finetune-operator"
RULE: Final = re.compile(r"^ *- (\{apiGroups: .*\})$", re.MULTILINE)
"""A rule of a role, written in one line."""


def read(name: str) -> str:
    return (CHART / name).read_text(encoding="utf-8")


def values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(read("values.yaml"))
    return found


def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(read("values.schema.json"))
    return found


def rules() -> list[dict[str, Any]]:
    text = read("templates/rbac.yaml").replace("{{ $name }}", "finetune-operator")
    found = [yaml.safe_load(rule) for rule in RULE.findall(text)]
    assert len(found) == text.count("apiGroups:")
    return found


def test_the_definition_in_the_chart_is_the_one_that_is_made() -> None:
    name = "finetunejobs.finetune-operator.dev.yaml"
    assert read(f"files/{name}") == (ROOT / "crds" / name).read_text(encoding="utf-8")
    assert '"helm.sh/resource-policy" "keep"' in read("templates/crd.yaml")


def test_values_are_those_of_their_schema() -> None:
    jsonschema.validate(values(), schema())
    assert schema()["properties"].keys() - {"global"} == values().keys()


@pytest.mark.parametrize(
    "wrong",
    [{"replicas": 0}, {"workers": "4"}, {"resync": "often"}, {"unknown": 1}, {"namespaces": ["A_b"]}, {"runAsUser": 0}],
)
def test_wrong_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values() | wrong, schema())


def test_every_value_is_used_and_every_used_value_is_there() -> None:
    text = "".join(p.read_text(encoding="utf-8") for p in (CHART / "templates").iterdir())
    used = set(re.findall(r"\.Values\.([\w.]+)", text))
    for path in used:
        at: Any = values()
        for part in path.split("."):
            assert part in at, path
            at = at[part]
    assert values().keys() == {path.partition(".")[0] for path in used}


def test_no_right_is_for_everything_and_none_is_for_secrets() -> None:
    for rule in rules():
        assert "*" not in json.dumps(rule)
        assert "secrets" not in rule["resources"]
        assert "pods/exec" not in rule["resources"]


def test_pods_and_jobs_of_users_are_only_read() -> None:
    reading = {"get", "list", "watch"}
    verbs = {resource: set(rule["verbs"]) for rule in rules() for resource in rule["resources"]}
    assert verbs["nodes"] == verbs["pods"] == verbs["finetunejobs"] == reading
    assert verbs["pods/log"] == {"get"}
    assert verbs["finetunejobs/status"] == {"patch"}


def test_the_lease_that_may_be_changed_is_named() -> None:
    leases = [rule for rule in rules() if rule["resources"] == ["leases"]]
    assert [rule.get("resourceNames") for rule in leases if set(rule["verbs"]) != {"create"}] == [["finetune-operator"]]


def test_the_operators_pod_is_within_the_restricted_standard() -> None:
    text = read("templates/deployment.yaml")
    for line in (
        "runAsNonRoot: true",
        "seccompProfile: {type: RuntimeDefault}",
        "allowPrivilegeEscalation: false",
        "readOnlyRootFilesystem: true",
        "capabilities: {drop: [ALL]}",
    ):
        assert text.count(line) == 1, line
    assert "hostPath" not in text


def test_chart_and_package_have_one_version() -> None:
    chart = yaml.safe_load(read("Chart.yaml"))
    assert chart["appVersion"] == chart["version"] == __version__
    assert values()["trainer"]["image"].endswith(f":{__version__}")


@pytest.mark.parametrize("name", ["operator", "trainer_image"])
def test_images_run_as_nobody_special_on_a_base_of_ones_choice(name: str) -> None:
    lines = (ROOT / name / "Dockerfile").read_text(encoding="utf-8").splitlines()
    stages = [line for line in lines if line.startswith("FROM")]
    assert (stages[0], stages[-1]) == ("FROM ${BASE} AS build", "FROM ${BASE}")
    assert "USER 10001:10001" in lines
    assert any("-c constraints.txt" in line for line in lines)
    extra = {"operator": "'.[operator]'", "trainer_image": "--extra trainer"}[name]
    assert any(extra in line for line in lines)


def test_what_the_trainer_stands_on_is_a_layer_without_our_sources() -> None:
    text = (ROOT / "trainer_image" / "Dockerfile").read_text(encoding="utf-8")
    before, _, after = text.partition("--extra trainer")
    assert "COPY operator" not in before
    assert "COPY trainer_image" in after
