"""What is known of GPU products."""

import pytest

from finetune_operator.planner.devices import PRODUCTS, find_product, named_product, slice_memory
from finetune_operator.units import GIB, MIB, Bytes

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
    names = [p.name for p in PRODUCTS]
    assert len(names) == len(set(names)) >= 25


@pytest.mark.parametrize(
    ("name", "mebibytes", "bandwidth", "link"),
    [
        pytest.param("NVIDIA H100 80GB HBM3", 81559, 3352e9, 450e9, id="nvlink"),
        pytest.param("NVIDIA H100 PCIe", 81559, 2039e9, None, id="pcie"),
        pytest.param("NVIDIA A100-SXM4-80GB", 81920, 2039e9, 300e9, id="size-in-the-name"),
        pytest.param("NVIDIA-A100-PCIE-40GB", 40960, 1555e9, None, id="small-pcie"),
        pytest.param("Tesla V100-SXM2-32GB", 32510, 900e9, 150e9, id="volta"),
        pytest.param("NVIDIA H20-3e", 143771, 4800e9, 450e9, id="H20-3e"),
        pytest.param("NVIDIA B300 SXM6 AC", 275040, 8000e9, 900e9, id="B300"),
        pytest.param("NVIDIA RTX PRO 6000 Blackwell Server Edition", 97887, 1597e9, None, id="server-edition"),
        pytest.param("NVIDIA GeForce RTX 5070 Ti", 16303, 896e9, None, id="not-5070"),
    ],
)
def test_a_product_has_memory_bandwidth_and_link(
    name: str, mebibytes: int, bandwidth: float, link: float | None
) -> None:
    found = named_product(name)
    assert found is not None
    assert (found.memory, found.bandwidth, found.link) == (mebibytes * MIB, bandwidth, link)


def test_a_slice_has_its_part_of_memory_and_bandwidth_and_no_link() -> None:
    found = named_product("NVIDIA-H100-80GB-HBM3-MIG-3g.40gb")
    assert found is not None
    assert (found.memory, found.link) == (38 * GIB, None)
    assert found.bandwidth == pytest.approx(3352e9 * 38 * 1024 / 81559)


@pytest.mark.parametrize(
    ("name", "sevenths"),
    [("MIG 1g.10gb", 1), ("MIG-2g.20gb", 2), ("MIG 1c.3g.40gb", 1), ("MIG-1g.10gb.me", 1), ("MIG 7g.80gb", 7)],
)
def test_every_profile_is_read(name: str, sevenths: int) -> None:
    found = named_product(f"NVIDIA H100 80GB HBM3 {name}")
    assert found is not None
    assert found.peak_flops == pytest.approx(989e12 * sevenths / 7)


def test_what_is_unknown_is_not_made_up() -> None:
    assert named_product("Acme 1") is None
    assert slice_memory("NVIDIA H100") is None
    found = find_product("Acme 1", SIZE)
    assert (found.memory, found.bandwidth, found.link) == (None, None, None)


def test_memory_bandwidth_of_every_product_is_plausible() -> None:
    """The planner's speed needs both; a slip of a digit would show here."""
    for found in PRODUCTS:
        assert found.memory is not None
        assert found.bandwidth is not None
        assert 8 * GIB <= found.memory <= 300 * GIB
        assert 25 <= found.peak_flops / found.bandwidth <= 500, found.name
