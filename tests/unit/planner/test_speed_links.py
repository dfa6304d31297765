"""What devices and the ways between them reach."""

import pytest

from finetune_operator.planner.efficiency import CEILINGS, OTHER_CEILING, find_ceiling
from finetune_operator.planner.links import HOST_LINK, NETWORK, PEERS, PEERS_BY_HOST, between, gpu_rates
from tests.unit.planner.builders import make_gpus


@pytest.mark.parametrize(
    ("product", "share"),
    [
        pytest.param("A100", CEILINGS["A100"], id="itself"),
        pytest.param("A100 80GB", CEILINGS["A100"], id="with-its-memory"),
        pytest.param("A100 PCIE 80GB", CEILINGS["A100 PCIE"], id="longest-counts"),
        pytest.param("RTX 4090", CEILINGS["RTX"], id="consumer"),
        pytest.param("A10", None, id="not-part-of-a-word"),
        pytest.param("", None, id="unknown"),
    ],
)
def test_a_ceiling_is_found_by_how_a_name_begins(product: str, share: float | None) -> None:
    assert find_ceiling(product) == share


@pytest.mark.parametrize(
    ("product", "peers"),
    [
        pytest.param("NVIDIA H100 80GB HBM3", 180e9, id="nvlink"),
        pytest.param("NVIDIA A100-SXM4-80GB", 120e9, id="older-nvlink"),
        pytest.param("NVIDIA A100 80GB PCIe", PEERS, id="pcie"),
        pytest.param("NVIDIA L40S", PEERS, id="server-without-link"),
        pytest.param("NVIDIA RTX 5000 Ada Generation", PEERS, id="workstation"),
        pytest.param("NVIDIA GeForce RTX 4090", PEERS_BY_HOST, id="consumer"),
        pytest.param("NVIDIA GeForce RTX 5070 Ti", PEERS_BY_HOST, id="consumer-ti"),
        pytest.param("unheard of", PEERS, id="unknown"),
    ],
)
def test_devices_of_a_node_talk_over_what_their_product_has(product: str, peers: float) -> None:
    assert between(make_gpus(80, product=product), 8, 8) == peers


def test_between_nodes_the_slower_way_counts() -> None:
    assert between(make_gpus(80, product="NVIDIA H100"), 16, 8) == NETWORK
    assert between(make_gpus(24, product="NVIDIA GeForce RTX 4090"), 16, 8) == PEERS_BY_HOST


def test_an_unknown_product_is_no_surer_than_its_peak() -> None:
    rates = gpu_rates(make_gpus(80, product="unheard of", peak_flops=100e12).device)
    assert not rates.known
    assert rates.matmul == pytest.approx(OTHER_CEILING * 100e12)
    assert rates.memory == pytest.approx(0.4e12)


def test_ways_are_ordered_as_in_any_machine_room() -> None:
    memory = gpu_rates(make_gpus(80, product="NVIDIA H100").device).memory
    assert NETWORK <= HOST_LINK < between(make_gpus(80, product="NVIDIA H100"), 2, 2) < memory
