"""How much of its data sheet a device reaches: a few physical constants, fitted on published runs.

`benchmarks/speed_model.py` fits them on half of the runs and reports the other half; docs/speed-model.md says what each
one stands for and how far off it is.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

CEILINGS: Final = {
    "A100": 0.869,
    "A100 PCIE": 0.811,
    "A800": 0.869,
    "H100": 0.803,
    "H800": 0.803,
    "H200": 0.803,
    "GH200": 0.838,
    "B200": 0.776,
    "MI300X": 0.6,
    "RTX": 0.95,
    "T4": 0.45,
}
"""Share of its peak that the best matrix multiplication sustains, by how a product's name begins; the longest counts.

Data centre cards: measured, the table of maximum achievable matmul FLOPS in github.com/stas00/ml-engineering (H200 as
H100, A800 as A100). Workstation and consumer cards are listed with the rate for 32-bit accumulation, which their power
allows; the 70 W of a T4 don't allow its peak (both assumed)."""

WIDE_SHARES: Final = {
    "RTX": 1 / 2,
    "RTX A": 1 / 4,
    "RTX 6000 ADA": 1 / 4,
    "RTX 5000 ADA": 1 / 4,
    "RTX PRO": 1 / 4,
    "L": 1 / 4,
    "A10": 1 / 4,
    "A10G": 1 / 4,
    "A40": 1 / 4,
    "T4": 1 / 8,
    "V100": 1 / 8,
}
"""32-bit peak as a share of the 16-bit one, by how a product's name begins (data sheets: RTX 4090 82.6 of 165, L40S 92
of 362, T4 8.1 of 65, V100 15.7 of 125)."""

OTHER_WIDE_SHARE: Final = 1 / 16
"""Of other products: 19.5 of 312 on an A100, 67 of 989 on an H100."""

OTHER_CEILING: Final = 0.8
"""Of products that aren't in the table: what most of those in it reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """What is fitted."""

    matmul: float
    """Share of the ceiling that the shapes of linear modules reach on average."""
    attention: float
    """Likewise attention's kernel, forward and backward."""
    elementwise: float
    """Times that the counted traffic between matrix multiplications passes at the data sheet's bandwidth: casts and
    copies that aren't counted, and a bandwidth that isn't reached."""
    adapter_bytes: float
    """Bytes an input or output element of a module with an adapter, a pass: casts, two thin products, scale, add."""
    logit_bytes: float
    """Bytes an entry of the logits, over the whole loss, in separate operators."""
    unpack_bytes: float
    """Bytes of bandwidth that unpacking a 4-bit weight costs; 2.5 are moved, the kernel reaches an eighth."""
    launch: float
    """Seconds in which the processor launches one pass of one layer; a device isn't faster than that."""
    launch_gather: float
    """Times as many under ZeRO-3, whose hooks gather and free weights."""
    overlap: float
    """Share of communication that computing hides, where they can run at once."""


FITTED: Final = Efficiency(
    matmul=0.9,
    attention=0.7,
    elementwise=2.86,
    adapter_bytes=7.03,
    logit_bytes=60.0,
    unpack_bytes=20.0,
    launch=1.58e-3,
    launch_gather=2.06,
    overlap=0.574,
)
"""As benchmarks/speed_model.py --fit finds them; matmul, attention, logit_bytes, unpack_bytes are at their bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What software does beside the matrix multiplications."""

    elementwise: float
    """Share of the layers' traffic that is left where kernels are fused; 1 without."""
    logits: float
    """Likewise of the loss."""
    head_passes: int
    """Forward passes of the output head: 2 where the loss computes logits again instead of keeping them."""


TRAINER: Final = Stack(elementwise=1.0, logits=0.33, head_passes=2)
"""Our trainer's: transformers' own layers, TRL's fused output head."""


class Spread(NamedTuple):
    """Measured time as a share of the estimated one: the 10th and the 90th percentile of a regime's runs."""

    fast: float
    slow: float


ONE_DEVICE: Final = Spread(0.61, 1.11)
"""Weights in 16 bits on one GPU: the wider of all runs and those not fitted on, as benchmarks/speed_model.py prints."""

QUANTIZED: Final = Spread(0.76, 1.38)
"""4-bit weights, likewise."""

SEVERAL: Final = Spread(0.83, 1.35)
"""Several GPUs of a node, likewise."""

ASSUMED: Final = Spread(0.6, 1.7)
"""Offloading, several nodes, processors, DoRA, products outside of CEILINGS: no published runs stand behind these."""


def find_wide_share(product: str) -> float:
    """The share of its 16-bit peak that a product has in 32 bits."""
    found = [begin for begin in WIDE_SHARES if product == begin or product.startswith(begin)]
    return WIDE_SHARES[max(found, key=len)] if found else OTHER_WIDE_SHARE


def find_ceiling(product: str) -> float | None:
    """The share of its peak that a product sustains; None for one that isn't in the table."""
    found = [begin for begin in CEILINGS if product == begin or product.startswith(f"{begin} ")]
    return CEILINGS[max(found, key=len)] if found else None
