"""JSON as rows and answers have to be."""

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_trainer.data import strict_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param('{"a": 1', "is not JSON: Expecting ',' delimiter at column 8", id="unfinished"),
        pytest.param("", "is not JSON: Expecting value at column 1", id="nothing"),
        pytest.param('{"a": 1} {"b": 2}', "is not JSON: Extra data at column 10", id="two-values"),
        pytest.param(
            "{'a': 1}", "is not JSON: Expecting property name enclosed in double quotes at column 2", id="python"
        ),
        pytest.param('{"a": 1, "a": 2}', 'has the key "a" more than once; keep one of them', id="key-twice"),
        pytest.param(
            '[{"b": {"a": 1, "a": 1}}]', 'has the key "a" more than once; keep one of them', id="key-twice-deep"
        ),
        pytest.param('{"a": NaN}', "holds NaN, which is not JSON; write a number, a string or null", id="nan"),
        pytest.param(
            '{"a": -Infinity}', "holds -Infinity, which is not JSON; write a number, a string or null", id="inf"
        ),
        pytest.param("[" * 100_000, "nests too deeply; write flatter objects", id="deep"),
        pytest.param("9" * 4301, "holds a number of 4301 digits; write it as a string", id="long-integer"),
        pytest.param(
            '{"a": "\\ud83d"}',
            "holds half of a surrogate pair (\\ud800 to \\udfff); write the whole character",
            id="half-character",
        ),
        pytest.param(
            '{"\\udc00": 1}',
            "holds half of a surrogate pair (\\ud800 to \\udfff); write the whole character",
            id="half-character-in-a-key",
        ),
    ],
)
def test_what_is_not_json_is_told(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        strict_json.parse(text)


@pytest.mark.parametrize(
    "text",
    ['{"a": 1', '{"a": ', "{", '{"a": "x', '{"a": ["x",', ""],
    ids=["value", "colon", "brace", "text", "list", "-"],
)
def test_a_text_that_ends_too_early_is_told_apart(text: str) -> None:
    with pytest.raises(strict_json.UnfinishedError):
        strict_json.parse(text)


def test_a_broken_middle_is_not_taken_for_an_early_end() -> None:
    with pytest.raises(ValueError, match="delimiter") as e:
        strict_json.parse('{"a": 1 "b": 2}')
    assert not isinstance(e.value, strict_json.UnfinishedError)


@pytest.mark.parametrize("depth", [900, 985, 990, 995, 1000])
def test_any_depth_is_read_or_refused(depth: int) -> None:
    # just where parsing still succeeds, looking for half characters may be what nests too deeply
    for more in range(6):
        text = "[" * (depth + more) + '"\\u0041"' + "]" * (depth + more)
        with contextlib.suppress(ValueError):
            strict_json.parse(text)


@settings(max_examples=50, deadline=None)
@given(JSON)
def test_standard_json_is_read_as_it_stands(value: Any) -> None:
    assert strict_json.parse(json.dumps(value)) == value


@settings(max_examples=50, deadline=None)
@given(JSON)
def test_a_value_is_the_same_as_itself(value: Any) -> None:
    assert strict_json.same(value, json.loads(json.dumps(value)))


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        pytest.param(1, 1.0, True, id="number"),
        pytest.param(1, True, False, id="number-boolean"),
        pytest.param(0, False, False, id="zero-false"),
        pytest.param([0], [False], False, id="in-a-list"),
        pytest.param({"a": 1}, {"a": True}, False, id="in-an-object"),
        pytest.param({"a": 1, "b": [2]}, {"b": [2], "a": 1}, True, id="order-of-keys"),
        pytest.param([1, 2], [2, 1], False, id="order-of-a-list"),
        pytest.param([1], [1, 2], False, id="shorter"),
        pytest.param({"a": None}, {}, False, id="null-absent"),
        pytest.param("1", 1, False, id="text-number"),
        pytest.param([], {}, False, id="list-object"),
        pytest.param([], None, False, id="list-null"),
        pytest.param(True, True, True, id="true"),
        pytest.param(True, False, False, id="true-false"),
        pytest.param(json.loads("[" * 900 + "]" * 900), json.loads("[" * 900 + "]" * 900), True, id="deep"),
    ],
)
def test_equality_is_json_s_own(a: Any, b: Any, *, same: bool) -> None:
    assert strict_json.same(a, b) is same
