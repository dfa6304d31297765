"""Where a result can serve, and with how much memory."""

import pytest

from finetune_operator.api.spec import Method
from finetune_operator.planner.serving import KEPT_TOKENS, describe_serving, served_bytes
from finetune_operator.units import GIB, MIB
from tests.unit.planner.builders import SEVEN, TINY, make_workload


@pytest.mark.parametrize(
    ("method", "repo", "expected"),
    [
        pytest.param(Method.FULL, SEVEN, "a model of its own in 16 bits: about 15.2 GiB", id="full"),
        pytest.param(
            Method.LORA,
            SEVEN,
            "the adapter (77 MiB) on the base model in 16 bits, or merged into it: about 15.2 GiB",
            id="lora",
        ),
        pytest.param(
            Method.QLORA,
            SEVEN,
            "the adapter (77 MiB) on the base model in 4 bits: about 6.2 GiB; in 16 bits, or merged into it: "
            "about 15.2 GiB",
            id="qlora",
        ),
        pytest.param(
            Method.LORA,
            TINY,
            "the adapter (9 MiB) on the base model in 16 bits, or merged into it: about 997 MiB",
            id="tiny",
        ),
    ],
)
def test_where_a_result_serves(method: Method, repo: str, expected: str) -> None:
    assert describe_serving(make_workload(method, repo)) == expected


def test_memory_for_serving_is_weights_keys_values_and_driver() -> None:
    architecture = make_workload(repo=SEVEN).architecture
    # 28 layers, 4 key and value heads of 128 each, 2 bytes
    cached = 28 * 2 * 4 * 128 * 2 * KEPT_TOKENS
    assert served_bytes(architecture, 0) == 2 * 7_615_616_512 + cached + 560 * MIB
    assert served_bytes(architecture, 0) / GIB == pytest.approx(15.17, abs=0.01)
