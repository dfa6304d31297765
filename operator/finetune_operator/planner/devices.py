"""What known GPU products are."""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from finetune_operator.units import GIB, MIB, Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A kind of GPU."""

    name: str
    """The part of the driver's name that it is known by; empty for an unknown product."""
    peak_flops: float
    """Dense 16-bit operations a second with 32-bit accumulation, by its data sheet."""
    bf16: bool
    """Computes in bfloat16 natively."""
    memory: Bytes | None
    """As its driver reports it, which is up to a tenth less than what is on the box; None for an unknown product."""
    bandwidth: float | None
    """Bytes a second of its memory, by its data sheet; None for an unknown product."""
    link: float | None
    """Bytes a second in one direction to the other devices of a node over a link of their own, as NVLink; None where
    they talk over PCIe, or where it isn't known. Bridges that join two cards only are not counted."""


_TABLE: Final[tuple[tuple[str, int, bool, int, int, int | None], ...]] = (
    ("GB300", 2500, True, 284208, 8000, 900),
    ("GB200", 2500, True, 189471, 8000, 900),
    ("B300", 2250, True, 275040, 8000, 900),
    ("B200", 2250, True, 183359, 8000, 900),
    ("GH200", 989, True, 97871, 4000, 450),
    ("H200 NVL", 835, True, 143771, 4800, None),
    ("H200", 989, True, 143771, 4800, 450),
    ("H20 3E", 148, True, 143771, 4800, 450),
    ("H20", 148, True, 97871, 4000, 450),
    ("H100 PCIE", 756, True, 81559, 2039, None),
    ("H100 NVL", 835, True, 95830, 3938, None),
    ("H100", 989, True, 81559, 3352, 450),
    ("H800", 989, True, 81559, 3352, 200),
    ("A100 PCIE 80GB", 312, True, 81920, 1935, None),
    ("A100 PCIE", 312, True, 40960, 1555, None),
    ("A100 80GB", 312, True, 81920, 2039, 300),
    ("A100", 312, True, 40960, 1555, 300),
    ("A800", 312, True, 81920, 2039, 200),
    ("A30", 165, True, 24576, 933, None),
    ("A40", 150, True, 46068, 696, None),
    ("A10G", 70, True, 23028, 600, None),
    ("A10", 125, True, 23028, 600, None),
    ("L40S", 362, True, 46068, 864, None),
    ("L40", 181, True, 46068, 864, None),
    ("L20", 119, True, 46068, 864, None),
    ("L4", 121, True, 23034, 300, None),
    ("RTX PRO 6000 SERVER", 504, True, 97887, 1597, None),
    ("RTX PRO 6000", 504, True, 97887, 1792, None),
    ("RTX PRO 5000", 268, True, 48935, 1344, None),
    ("RTX PRO 4500", 202, True, 32623, 896, None),
    ("RTX 6000 ADA", 364, True, 49140, 960, None),
    ("RTX 5000 ADA", 261, True, 32760, 576, None),
    ("RTX A6000", 155, True, 49140, 768, None),
    ("RTX A5000", 111, True, 24564, 768, None),
    ("RTX A4000", 77, True, 16376, 448, None),
    ("RTX 5090", 209, True, 32607, 1792, None),
    ("RTX 5090 LAPTOP", 81, True, 24463, 896, None),
    ("RTX 5080", 113, True, 16303, 960, None),
    ("RTX 5070 TI", 88, True, 16303, 896, None),
    ("RTX 5070", 62, True, 12227, 672, None),
    ("RTX 4090", 165, True, 24564, 1008, None),
    ("RTX 4090 LAPTOP", 79, True, 16376, 576, None),
    ("RTX 4080", 97, True, 16376, 717, None),
    ("RTX 4070 TI", 80, True, 12282, 504, None),
    ("RTX 4070", 58, True, 12282, 504, None),
    ("RTX 3090", 71, True, 24576, 936, None),
    ("RTX 3080 TI", 68, True, 12288, 912, None),
    ("RTX 3080", 60, True, 10240, 760, None),
    ("RTX 3060", 25, True, 12288, 360, None),
    ("RTX 8000", 130, False, 46080, 672, None),
    ("RTX 6000", 130, False, 24220, 672, None),
    ("TITAN RTX", 130, False, 24220, 672, None),
    ("RTX 2080 TI", 54, False, 11019, 616, None),
    ("RTX 2080", 40, False, 8192, 448, None),
    ("V100S", 130, False, 32510, 1134, None),
    ("V100 PCIE 32GB", 112, False, 32510, 900, None),
    ("V100 PCIE", 112, False, 16160, 900, None),
    ("V100 32GB", 125, False, 32510, 900, 150),
    ("V100", 125, False, 16160, 900, 150),
    ("T4", 65, False, 15109, 320, None),
    ("P100", 19, False, 16276, 732, None),
    ("MI355X", 2516, True, 294896, 8000, None),
    ("MI325X", 1307, True, 262128, 6000, None),
    ("MI300X", 1307, True, 196592, 5300, None),
    ("MI250", 181, True, 65520, 1638, None),
)
"""Name, 10^12 operations a second, bfloat16, memory in MiB, 10^9 bytes a second of the memory and of the link. Laptop
cards are scaled from the desktop's by cores and clock."""

PRODUCTS: Final = tuple(
    Product(
        name=name,
        peak_flops=tera * 1e12,
        bf16=bf16,
        memory=Bytes(mebibytes * MIB),
        bandwidth=bandwidth * 1e9,
        link=link * 1e9 if link is not None else None,
    )
    for name, tera, bf16, mebibytes, bandwidth, link in _TABLE
)
"""From the makers' data sheets, without sparsity (those of B200, GB200, B300, H200, H100 NVL, L4, L40, L40S and MI325X
were held against published copies); consumer cards at the rate for 32-bit accumulation, which training uses; memory as
drivers report it, with error correction where it is on by default. The product of which all words occur in a name
counts; of several the one with the longest."""

UNKNOWN_FLOPS_PER_GIB: Final = 2.5e12
"""Peak assumed of an unknown product, a GiB of its memory: what the slowest cards above have (RTX 3090: 3.0, A10G: 3.1,
A6000: 3.2), so that an estimate of its speed is rather too low."""

SLICE_MEMORY: Final = 0.95
"""GiB a MIG slice has for each GB in the name of its profile, at least: 1g.5gb has 4.75 GiB, 3g.40gb 39.5."""

_SLICE: Final = re.compile(r"\b(?:(\d)C\.)?(\d)G\.(\d+)GB")
"""A slice of a GPU as the driver names it, "MIG 3g.20gb": so many sevenths of the compute and so much memory; before
it, "1c.3g.20gb", the sevenths of a part of the slice."""


@lru_cache(maxsize=1024)
def find_product(name: str, memory: Bytes) -> Product:
    """The product that a driver or a node's label names; for an unknown one a cautious guess from its memory.

    An unknown product is taken to compute in bfloat16: every GPU for training since 2020 does.
    """
    known = named_product(name)
    if known is not None:
        return known
    peak = UNKNOWN_FLOPS_PER_GIB * memory / GIB
    return Product(name="", peak_flops=peak, bf16=True, memory=None, bandwidth=None, link=None)


@lru_cache(maxsize=1024)
def named_product(name: str) -> Product | None:
    """The known product, or the slice of one, of that name."""
    text = name.upper().replace("-", " ").replace("_", " ")
    words = set(re.findall(r"[A-Z0-9.]+", text))
    found = [p for p in PRODUCTS if words.issuperset(p.name.split())]
    if not found:
        return None
    whole = max(found, key=lambda p: len(p.name))
    cut = _SLICE.search(text)
    return whole if cut is None else _slice(whole, int(cut[1] or cut[2]), int(cut[3]))


@lru_cache(maxsize=1024)
def slice_memory(name: str) -> Bytes | None:
    """Memory of the MIG slice whose profile is in that name, rather too low; None where there is none."""
    cut = _SLICE.search(name.upper())
    return Bytes(int(int(cut[3]) * SLICE_MEMORY * GIB)) if cut is not None else None


def _slice(whole: Product, sevenths: int, gigabytes: int) -> Product:
    """Slices have no link: devices of one node can't reach each other's memory."""
    memory = Bytes(int(gigabytes * SLICE_MEMORY * GIB))
    share = min(1.0, memory / whole.memory) if whole.memory else 0.0
    return replace(
        whole,
        peak_flops=whole.peak_flops * min(sevenths, 7) / 7,
        memory=memory,
        bandwidth=(whole.bandwidth or 0.0) * share,
        link=None,
    )
