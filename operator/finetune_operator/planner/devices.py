"""What known GPU products can compute."""

import re
from dataclasses import dataclass
from typing import Final

from finetune_operator.units import GIB, Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A kind of GPU."""

    peak_flops: float
    """Dense 16-bit operations a second with 32-bit accumulation, by its data sheet."""
    bf16: bool
    """Computes in bfloat16 natively."""


PRODUCTS: Final[tuple[tuple[str, float, bool], ...]] = (
    ("GB200", 2500e12, True),
    ("B200", 2250e12, True),
    ("GH200", 989e12, True),
    ("H200", 989e12, True),
    ("H20", 148e12, True),
    ("H100 PCIE", 756e12, True),
    ("H100 NVL", 835e12, True),
    ("H100", 989e12, True),
    ("H800", 989e12, True),
    ("A100", 312e12, True),
    ("A800", 312e12, True),
    ("A30", 165e12, True),
    ("A40", 150e12, True),
    ("A10G", 70e12, True),
    ("A10", 125e12, True),
    ("L40S", 362e12, True),
    ("L40", 181e12, True),
    ("L4", 121e12, True),
    ("RTX PRO 6000", 504e12, True),
    ("RTX 6000 ADA", 364e12, True),
    ("RTX A6000", 155e12, True),
    ("RTX A5000", 111e12, True),
    ("RTX 5090", 209e12, True),
    ("RTX 5080", 113e12, True),
    ("RTX 4090", 165e12, True),
    ("RTX 4080", 97e12, True),
    ("RTX 3090", 71e12, True),
    ("RTX 3080", 60e12, True),
    ("RTX 8000", 130e12, False),
    ("RTX 6000", 130e12, False),
    ("TITAN RTX", 130e12, False),
    ("RTX 2080", 54e12, False),
    ("V100", 125e12, False),
    ("T4", 65e12, False),
    ("P100", 19e12, False),
    ("MI300X", 1307e12, True),
    ("MI325X", 1307e12, True),
    ("MI250", 362e12, True),
)
"""Part of the driver's name, peak, bfloat16: from the makers' data sheets, without sparsity; consumer cards at the rate
for 32-bit accumulation, which training uses. The longest part that occurs in a name counts."""

UNKNOWN_FLOPS_PER_GIB: Final = 2.5e12
"""Peak assumed of an unknown product, a GiB of its memory: what the slowest cards above have (RTX 3090: 3.0, A10G: 2.9,
A6000: 3.2), so that an estimate of its speed is rather too low."""

_SLICE: Final = re.compile(r" (\d)G\.\d+GB ")
"""A slice of a GPU as the driver names it, "MIG 3g.20gb": so many sevenths of the compute."""


def find_product(name: str, memory: Bytes) -> Product:
    """The product that a driver or a node's label names; for an unknown one a cautious guess from its memory.

    An unknown product is taken to compute in bfloat16: every GPU for training since 2020 does.
    """
    text = f" {name.upper().replace('-', ' ').replace('_', ' ')} "
    cut = _SLICE.search(text)
    share = int(cut[1]) / 7 if cut else 1.0
    found = [entry for entry in PRODUCTS if _occurs(entry[0], text)]
    if not found:
        return Product(peak_flops=UNKNOWN_FLOPS_PER_GIB * memory / GIB, bf16=True)
    _, peak, bf16 = max(found, key=lambda entry: len(entry[0]))
    return Product(peak_flops=peak * share, bf16=bf16)


def _occurs(part: str, text: str) -> bool:
    """Whether the part stands in the text as whole words: L4 is not L40, A10 not A100; a form factor may follow."""
    at = text.find(part)
    while at >= 0:
        before, after = text[at - 1], text[at + len(part)]
        if not before.isalnum() and not after.isalnum():
            return True
        at = text.find(part, at + 1)
    return False
