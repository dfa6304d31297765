"""What is known of GPU products."""

import pytest

from finetune_operator.planner.devices import PRODUCTS, find_product
from finetune_operator.units import GIB, Bytes

SIZE = Bytes(24 * GIB)


@pytest.mark.parametrize(
    ("name", "teraflops", "bf16"),
    [
        pytest.param("NVIDIA A100-SXM4-80GB", 312, True, id="driver"),
        pytest.param("NVIDIA-GeForce-RTX-4090", 165, True, id="node-label"),
        pytest.param("NVIDIA H100 80GB HBM3", 989, True, id="plain"),
        pytest.param("NVIDIA H100 PCIe", 756, True, id="longest-part-counts"),
        pytest.param("NVIDIA L4", 121, True, id="not-L40"),
        pytest.param("NVIDIA L40S", 362, True, id="not-L40-either"),
        pytest.param("NVIDIA A10G", 70, True, id="not-A10"),
        pytest.param("NVIDIA A10", 125, True, id="not-A100"),
        pytest.param("Tesla T4", 65, False, id="no-bfloat16"),
        pytest.param("Quadro RTX 6000", 130, False, id="turing"),
        pytest.param("NVIDIA RTX 6000 Ada Generation", 364, True, id="ada"),
        pytest.param("AMD Instinct MI300X", 1307, True, id="other-maker"),
    ],
)
def test_product_is_found_by_its_name(name: str, teraflops: int, bf16: bool) -> None:  # noqa: FBT001 a table's column
    found = find_product(name, SIZE)
    assert (found.peak_flops, found.bf16) == (teraflops * 1e12, bf16)


def test_a_slice_computes_its_sevenths() -> None:
    found = find_product("NVIDIA A100-SXM4-40GB MIG 3g.20gb", SIZE)
    assert found.peak_flops == pytest.approx(312e12 * 3 / 7)


def test_an_unknown_product_is_judged_cautiously_by_its_memory() -> None:
    small, large = (find_product("Acme 1", Bytes(n * GIB)) for n in (24, 80))
    assert small.peak_flops == 24 * 2.5e12
    assert large.peak_flops == 80 * 2.5e12
    assert small.bf16


def test_at_least_25_products_are_known_once_each() -> None:
    names = [name for name, _, _ in PRODUCTS]
    assert len(names) == len(set(names)) >= 25
