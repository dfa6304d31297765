"""Names that children can be named after."""

import json

import pytest
from pydantic import ValidationError

from finetune_operator.api.resource import FineTuneJob, Metadata
from tests.support.plans import make_manifest


@pytest.mark.parametrize("name", ["a", "ticket-priority", "7b", "a" * 40])
def test_dns_labels_are_names(name: str) -> None:
    assert Metadata(name=name).name == name


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a" * 41, f"{'a' * 41} has 41 characters; write at most 40"),
        ("Tickets_2", '"Tickets_2" is not made of a-z, 0-9 and - between them; write for example tickets-2'),
        ("-a", '"-a" is not made of a-z, 0-9 and - between them; write for example a'),
        ("a.b", '"a.b" is not made of a-z, 0-9 and - between them; write for example a-b'),
        ("a\n", '"a\n" is not made of a-z, 0-9 and - between them; write for example a'),
        ("", '"" is not made of a-z, 0-9 and - between them; write for example my-job'),
        ("Ü", '"Ü" is not made of a-z, 0-9 and - between them; write for example my-job'),
    ],
    ids=["too-long", "upper-case", "leading-dash", "dot", "line-end", "empty", "no-ascii"],
)  # fmt: skip
def test_other_names_are_refused_with_one_that_would_do(name: str, sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Metadata(name=name)
    assert caught.value.errors()[0]["msg"] == sentence


@pytest.mark.parametrize(("field", "value"), [("kind", "FinetuneJob"), ("apiVersion", "finetune-operator.dev/v1")])
def test_another_kind_or_version_is_refused(field: str, value: str) -> None:
    with pytest.raises(ValidationError, match=field):
        FineTuneJob.model_validate_json(json.dumps(make_manifest() | {field: value}))
