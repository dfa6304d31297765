"""Bytes a second over the ways that weights and gradients take: a device's memory, other devices, RAM, other nodes."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from finetune_operator.planner.capacity import Device, NodeClass
from finetune_operator.planner.devices import Product, named_product
from finetune_operator.planner.efficiency import OTHER_CEILING, OTHER_WIDE_SHARE, find_ceiling, find_wide_share

LINK_REACHED: Final = 0.4
"""Share of a link's rate in one direction that gathering weights reaches (fitted on two and four A100s with NVLink)."""

PEERS: Final = 10e9
"""Bytes a second between devices over PCIe 4 that read each other's memory: assumed, two thirds of eight lanes."""

PEERS_BY_HOST: Final = 2.7e9
"""The same for consumer cards, whose driver sends it through the RAM (fitted on two RTX 3090)."""

_CONSUMER: Final = re.compile(r"RTX [2-5]0[5-9]0\b")
"""GeForce RTX 2050 to 5090, but none of the workstation cards such as RTX 5000 Ada."""

HOST_LINK: Final = 12e9
"""Bytes a second between a device and pinned RAM, in one direction: PCIe 4 in practice, with others beside it."""

NETWORK: Final = 10e9
"""Bytes a second in or out of a node: assumed 100 Gbit/s Ethernet in practice. InfiniBand has several times as much."""

RAM_BANDWIDTH: Final = 100e9
"""Bytes a second of a GPU node's RAM, shared by its processes, which aren't bound to sockets: half of the peak of two
sockets with DDR4."""

CPU_BANDWIDTH: Final = 20e9
"""Bytes a second of a processor's memory where it is the device: two channels of DDR4, in practice."""

FLOPS_A_BYTE: Final = 250.0
"""Peak operations a byte of memory bandwidth, of an unknown product: 75 (RTX 3090) to 420 (L40S)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What one device of a class of nodes does in a second."""

    matmul: float
    """Operations of the best 16-bit matrix multiplication."""
    wide: float
    """Share of that which 32-bit multiplication reaches."""
    memory: float
    """Bytes of its memory."""
    peers: float
    """Bytes from the other devices of its node."""
    known: bool
    """Whether how much of its peak it sustains has been measured."""


def gpu_rates(device: Device) -> Rates:
    """A GPU's rates, from its product where that is known."""
    return _rates(device.product, device.peak_flops)


@lru_cache(maxsize=512)
def _rates(name: str, peak: float) -> Rates:
    product = named_product(name)
    reached = find_ceiling(product.name) if product is not None else None
    bandwidth = product.bandwidth if product is not None else None
    return Rates(
        matmul=peak * (OTHER_CEILING if reached is None else reached),
        wide=OTHER_WIDE_SHARE if product is None else find_wide_share(product.name),
        memory=bandwidth or peak / FLOPS_A_BYTE,
        peers=_peers(product),
        known=reached is not None,
    )


def _peers(product: Product | None) -> float:
    if product is None:
        return PEERS
    if product.link is not None:
        return LINK_REACHED * product.link
    return PEERS_BY_HOST if _CONSUMER.search(product.name) else PEERS


def between(node: NodeClass, world: int, ranks_per_node: int) -> float:
    """Bytes a second of the slowest part of the way between so many devices."""
    peers = gpu_rates(node.device).peers
    return min(NETWORK, peers) if world > ranks_per_node else peers
