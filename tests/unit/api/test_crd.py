"""The definition says what the models say."""

import json
from typing import Annotated, Any, Final

import pytest
from pydantic import Field, ValidationError

from finetune_operator.api.base import ApiModel, DecimalString, Matching, Within, format_place
from finetune_operator.api.crd import CHANGEABLE, render_crd
from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.rules import Rule, ruled, same
from finetune_operator.api.spec import FineTuneJobSpec
from finetune_operator.api.structural import structural
from finetune_operator.api.surroundings import refused_in_cluster
from tests.support.bad_jobs import BAD_JOBS, GOOD_CHANGES, BadJob, changed, make_cluster_job

VALIDATIONS: Final = "x-kubernetes-validations"


class Leaf(ApiModel):
    """A leaf."""

    model_config = ruled(Rule("self.count > 1", "is one", ".count"))

    count: Annotated[int, Field(ge=0, lt=8)] = 3
    """How many
    there are."""


class Tree(ApiModel):
    """A tree."""

    leaf: Leaf = Leaf()
    leaves: Annotated[tuple[Leaf, ...], Field(max_length=4)] = ()
    """All of them."""
    named: dict[str, Leaf] = Field(default_factory=dict)
    share: Annotated[DecimalString, Within("is no share", above=0, below=1)] | None = None
    text: Annotated[str, Matching("a+", "is no a", "aa")]


def properties(model: type[ApiModel] = Tree) -> dict[str, Any]:
    found: dict[str, Any] = structural(model)["properties"]
    return found


def test_an_object_is_written_out_with_its_docstrings_defaults_and_rules() -> None:
    assert properties()["leaf"] == {
        "description": "A leaf.",
        "type": "object",
        "default": {},
        VALIDATIONS: [{"rule": "self.count > 1", "message": "is one", "fieldPath": ".count"}],
        "properties": {
            "count": {
                "description": "How many there are. Default: 3.",
                "type": "integer",
                "minimum": 0,
                "maximum": 7,
                "default": 3,
            },
        },
    }


def test_what_is_in_a_list_or_a_map_has_no_default_but_says_it() -> None:
    for held in (properties()["leaves"]["items"], properties()["named"]["additionalProperties"]):
        assert "default" not in held
        assert "default" not in held["properties"]["count"]
        assert held["properties"]["count"]["description"].endswith("Default: 3.")
    assert properties()["leaves"]["maxItems"] == 4


def test_a_bounded_decimal_is_one_rule_and_a_pattern_is_a_rule_with_a_sentence() -> None:
    share, text = properties()["share"], properties()["text"]
    assert share[VALIDATIONS] == [
        {
            "rule": "self.matches(r'^([0-9]+(\\.[0-9]+)?(e-?[0-9]+)?)$') && double(self) > 0 && double(self) < 1",
            "message": "is no share",
        },
    ]
    assert "pattern" not in text
    assert text[VALIDATIONS] == [{"rule": "self.matches(r'^(a+)$')", "message": 'is no a; write for example "aa"'}]
    assert structural(Tree)["required"] == ["text"]


class Loose(ApiModel):
    thing: Any


def test_a_type_that_a_definition_can_t_say_is_an_error_with_its_place() -> None:
    with pytest.raises(ValueError, match="thing: a CRD has no such type"):
        structural(Loose)


def test_optional_fields_are_the_same_where_both_or_neither_has_them() -> None:
    assert same(("a",), "x", "y") == "(has(x.a) ? has(y.a) && x.a == y.a : !has(y.a))"


def test_every_field_of_the_spec_is_held_by_the_rules_once_planned_or_may_change() -> None:
    schema = render_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    told = " ".join(rule["rule"] for rule in schema[VALIDATIONS])
    names = [f.alias for f in FineTuneJobSpec.model_fields.values()]
    assert {n for n in names if f"oldSelf.spec.{n}" not in told} == set(CHANGEABLE)


def refusals(manifest: dict[str, Any]) -> list[str]:
    """Places and sentences by which the models refuse a job for a cluster."""
    try:
        job = FineTuneJob.model_validate_json(json.dumps(manifest))
    except ValidationError as e:
        return [format_place(error["loc"]) for error in e.errors()]
    return [f"spec.{format_place(f.at)}" for f in refused_in_cluster(job.spec)]


@pytest.mark.parametrize("bad", BAD_JOBS, ids=lambda b: b.id)
def test_what_the_api_server_refuses_the_models_refuse(bad: BadJob) -> None:
    assert refusals(changed(make_cluster_job(), bad.changes))


@pytest.mark.parametrize("changes", GOOD_CHANGES.values(), ids=GOOD_CHANGES)
def test_what_the_api_server_takes_the_models_take(changes: dict[str, Any]) -> None:
    assert refusals(changed(make_cluster_job(), changes)) == []
