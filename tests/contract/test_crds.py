"""crds/ is what the models say now, and in a form that every API server takes."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from finetune_operator.api.crd import CRD_NAME, render_crd, render_text
from finetune_operator.constants import API_VERSION, KIND
from tests.support.bad_jobs import BAD_JOBS, make_cluster_job
from tests.support.breaches import BOUNDS, OTHER, bounds, breaches

ROOT: Final = Path(__file__).parents[2]
FILE: Final = ROOT / "crds" / "finetunejobs.finetune-operator.dev.yaml"
MAX_BYTES: Final = 64 * 1024
FORBIDDEN: Final = frozenset(
    {"$ref", "$defs", "definitions", "patternProperties", "const", "uniqueItems", "anyOf", "oneOf", "allOf", "not"}
    | {"pattern", "title", "examples", "nullable", "exclusiveMinimum", "exclusiveMaximum", "propertyNames"},
)
"""What structural schemas don't have, or have only where we say it by rules, with sentences."""

SCALARS: Final = frozenset({"string", "integer", "boolean"})
"""No floats: decimals are text."""


def root() -> dict[str, Any]:
    schema: dict[str, Any] = render_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: dict[str, Any], place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema with its place."""
    yield place, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{place}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{place}[]")


NODES: Final = dict(nodes(root()))
RULES: Final = [(at, rule) for at, node in NODES.items() for rule in node.get("x-kubernetes-validations", ())]


def test_the_file_is_fresh() -> None:
    assert FILE.read_text(encoding="utf-8") == render_text(), "write it anew: make crds"
    assert yaml.safe_load(FILE.read_text(encoding="utf-8")) == render_crd()


def test_the_file_is_small_and_the_only_one() -> None:
    assert FILE.stat().st_size <= MAX_BYTES
    assert [p.name for p in FILE.parent.iterdir()] == [f"{CRD_NAME}.yaml"]


def test_names_are_those_of_the_product() -> None:
    spec = render_crd()["spec"]
    version = spec["versions"][0]
    assert f"{spec['group']}/{version['name']}" == API_VERSION
    assert spec["names"]["kind"] == KIND
    assert spec["names"]["shortNames"] == ["ftj"]
    assert spec["names"]["categories"] == ["finetune"]
    assert version["subresources"] == {"status": {}}


@pytest.mark.parametrize("place", NODES)
def test_every_node_is_structural(place: str) -> None:
    node = NODES[place]
    assert not FORBIDDEN & node.keys()
    assert node["type"] in {*SCALARS, "object", "array"}
    assert not {"properties", "additionalProperties"} <= node.keys()
    assert ("items" in node) == (node["type"] == "array")
    if node["type"] == "object" and place != ".metadata":
        kinds = {"properties", "additionalProperties", "x-kubernetes-preserve-unknown-fields"}
        assert len(kinds & node.keys()) == 1


def test_what_the_operator_alone_writes_is_one_value_a_field() -> None:
    """Who wrote what is kept with each object, and the API server works it out anew at each write."""
    status = NODES[".status"]["properties"]
    kinds = {"array": ("x-kubernetes-list-type", "atomic"), "object": ("x-kubernetes-map-type", "atomic")}
    for name, node in status.items():
        if node["type"] in kinds and name != "conditions":
            keyword, value = kinds[node["type"]]
            assert node[keyword] == value, name


def test_lists_of_named_things_are_shared_by_name() -> None:
    maps = {at: n for at, n in NODES.items() if n.get("x-kubernetes-list-type") == "map"}
    assert set(maps) == {".status.conditions", ".spec.podTemplate.imagePullSecrets"}
    for node in maps.values():
        assert set(node["x-kubernetes-list-map-keys"]) <= set(node["items"]["required"])


def test_every_rule_says_what_is_wrong_on_one_line() -> None:
    assert len(RULES) > 30
    for _, rule in RULES:
        assert rule["message"].strip() == rule["message"]
        assert 0 < len(rule["message"]) < 2048
        assert "\n" not in rule["message"] + rule["rule"]


def test_a_rule_points_to_a_field_that_is_there() -> None:
    assert [(at, rule) for at, rule in RULES if at + rule.get("fieldPath", "") not in NODES] == []


def test_a_bad_job_is_at_hand_for_every_rule() -> None:
    """Each is held against a real API server; rules on changes have tests of their own there."""
    sentences = [bad.told.split(": ", 1)[-1] for bad in BAD_JOBS]
    untried = {
        r["message"] for _, r in RULES if "oldSelf" not in r["rule"] and not any(s in r["message"] for s in sentences)
    }
    assert untried == set()


def test_a_bad_job_is_at_hand_for_every_bound_of_the_schema() -> None:
    """Each is held against a real API server."""
    spec = {at: node for at, node in NODES.items() if at.startswith(".spec")}
    found = Counter(b.keyword for b in breaches(root()["properties"]["spec"], make_cluster_job(), ("spec",)))
    assert found == Counter(keyword for node in spec.values() for keyword in bounds(node))
    assert {keyword for node in spec.values() for keyword in node} - BOUNDS == OTHER


def test_what_rules_read_is_bounded() -> None:
    """The API server estimates what rules can cost from these."""
    for place, node in NODES.items():
        if not place.startswith(".spec") or "x-kubernetes-preserve-unknown-fields" in node or "enum" in node:
            continue
        bound = {"string": "maxLength", "array": "maxItems"}.get(node["type"])
        bound = "maxProperties" if "additionalProperties" in node else bound
        assert bound is None or bound in node, place


def test_every_field_of_the_spec_is_described() -> None:
    fields = {at for at in NODES if at.startswith(".spec") and not at.endswith("[]")}
    assert {at for at in fields if not NODES[at].get("description")} == set()


def test_no_default_is_below_a_list() -> None:
    assert [at for at, node in NODES.items() if "[]" in at and "default" in node] == []


def test_an_object_that_nobody_has_looked_at_isn_t_current() -> None:
    assert NODES[".status"]["default"] == {"observedGeneration": -1}


def test_every_column_shows_a_field_that_is_there() -> None:
    for column in render_crd()["spec"]["versions"][0]["additionalPrinterColumns"]:
        path = column["jsonPath"].split("[")[0]
        assert path in NODES or path.startswith(".metadata."), column
