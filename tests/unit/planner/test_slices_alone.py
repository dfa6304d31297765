"""A job uses one MIG slice: several can't work together."""

import pytest

from finetune_operator.api.spec import Accelerator, Method
from finetune_operator.planner.candidates import enumerate_candidates
from finetune_operator.planner.plan import RejectionReason
from finetune_operator.planner.planner import plan
from tests.unit.planner.builders import make_capacity, make_facts, make_gpus, make_spec

SLICES = make_gpus(40, 2, 4, product="NVIDIA-H100-80GB-HBM3-MIG-3g.40gb")


@pytest.mark.parametrize(
    ("product", "alone"),
    [("NVIDIA H100 80GB HBM3 MIG 3g.40gb", True), ("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", True), ("NVIDIA A100", False)],
)
def test_a_slice_is_known_by_its_product(product: str, alone: bool) -> None:  # noqa: FBT001  a table's column
    assert make_gpus(product=product).alone is alone


@pytest.mark.parametrize("method", list(Method))
def test_candidates_take_one_slice(method: Method) -> None:
    found = enumerate_candidates(method, make_spec().hardware, make_capacity(SLICES))
    assert {(c.nodes, c.devices_per_node) for c in found} == {(1, 1)}


def test_a_job_that_wants_more_is_told_why_not() -> None:
    spec = make_spec(hardware={"accelerator": Accelerator.GPU, "devicesPerNode": 2})
    found = plan(spec, make_facts(), make_capacity(SLICES))
    assert not found.viable
    assert {r.reason for r in found.rejected} == {RejectionReason.NOT_ENOUGH_DEVICES}
    assert "slices of a GPU train alone" in found.rejected[0].message
