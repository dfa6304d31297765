"""Ids of options."""

import pytest
from pydantic import TypeAdapter

from finetune_operator.api.base import OptionId
from finetune_operator.api.spec import Accelerator, Method
from finetune_operator.api.status import Offload
from finetune_operator.planner.naming import class_tags, marketing_size, option_id, slug
from finetune_operator.units import GIB
from tests.unit.planner.builders import make_cpu, make_gpus

GPU, CPU = Accelerator.GPU, Accelerator.CPU


@pytest.mark.parametrize(
    ("gib", "size"),
    [
        pytest.param(23.99, 24, id="4090"),
        pytest.param(24.0, 24, id="exact"),
        pytest.param(22.5, 24, id="L4"),
        pytest.param(15.0, 16, id="T4"),
        pytest.param(31.8, 32, id="5090"),
        pytest.param(44.99, 48, id="L40S"),
        pytest.param(39.4, 40, id="A100-40"),
        pytest.param(79.6, 80, id="A100-80"),
        pytest.param(93.6, 94, id="H100-NVL"),
        pytest.param(140.4, 141, id="H200"),
        pytest.param(179.1, 180, id="B200"),
        pytest.param(27.0, 27, id="nothing-near"),
        pytest.param(300.2, 301, id="beyond-all"),
        pytest.param(0.5, 1, id="tiny"),
    ],
)
def test_memory_is_called_what_is_on_the_box(gib: float, size: int) -> None:
    assert marketing_size(int(gib * GIB)) == size


@pytest.mark.parametrize(
    ("method", "sharding", "counts", "tag", "kind", "expected"),
    [
        pytest.param(Method.LORA, (0, Offload.NONE), (1, 1), "cpu", CPU, "lora-cpu", id="cpu"),
        pytest.param(Method.FULL, (0, Offload.NONE), (2, 1), "cpu", CPU, "full-2xcpu", id="cpu-nodes"),
        pytest.param(Method.LORA, (0, Offload.NONE), (1, 1), "24g", GPU, "lora-1x24g", id="zero-0"),
        pytest.param(Method.FULL, (3, Offload.NONE), (1, 4), "80g", GPU, "full-z3-4x80g", id="zero-3"),
        pytest.param(Method.QLORA, (3, Offload.NONE), (1, 2), "24g", GPU, "qlora-z3-2x24g", id="qlora"),
        pytest.param(Method.DORA, (0, Offload.NONE), (1, 1), "24g", GPU, "dora-1x24g", id="dora"),
        pytest.param(Method.FULL, (2, Offload.OPTIMIZER), (1, 1), "80g", GPU, "full-z2-offload-1x80g", id="optimizer"),
        pytest.param(Method.FULL, (3, Offload.PARAMETERS), (1, 8), "24g", GPU, "full-z3-offload-8x24g", id="weights"),
        pytest.param(Method.FULL, (3, Offload.NONE), (2, 8), "80g", GPU, "full-z3-2x8x80g", id="nodes"),
    ],
)
def test_id_speaks(
    method: Method, sharding: tuple[int, Offload], counts: tuple[int, int], tag: str, kind: Accelerator, expected: str
) -> None:
    assert option_id(method, sharding, counts, tag, kind) == expected


def test_classes_of_different_memory_need_no_more_than_that() -> None:
    assert class_tags((make_gpus(24), make_gpus(80), make_cpu())) == ("24g", "80g", "cpu")


def test_classes_of_equal_memory_are_told_apart_by_product() -> None:
    classes = (make_gpus(80, product="NVIDIA-A100-SXM4-80GB"), make_gpus(80, product="NVIDIA H100 80GB HBM3"))
    assert class_tags(classes) == ("80g-a100-sxm4-80gb", "80g-h100-80gb-hbm3")


def test_classes_of_one_product_are_told_apart_by_their_own_name() -> None:
    assert class_tags((make_gpus(80, name="East"), make_gpus(80, name="west"))) == ("80g-east", "80g-west")


def test_classes_that_nothing_tells_apart_are_numbered() -> None:
    assert class_tags((make_gpus(80, name="a"), make_gpus(80, name="a"))) == ("80g-1", "80g-2")


def test_longest_id_is_an_option_id() -> None:
    tag = class_tags((make_gpus(80, product="x" * 90), make_gpus(80, product="y" * 90)))[0]
    longest = option_id(Method.FULL, (3, Offload.PARAMETERS), (4096, 64), tag, GPU)
    assert TypeAdapter(OptionId).validate_python(longest) == longest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("NVIDIA GeForce RTX 4090", "rtx-4090", id="maker-and-brand"),
        pytest.param("AMD EPYC 9B14", "epyc-9b14", id="processor"),
        pytest.param("***", "unnamed", id="nothing-left"),
    ],
)
def test_slug_is_short_and_plain(text: str, expected: str) -> None:
    assert slug(text) == expected
