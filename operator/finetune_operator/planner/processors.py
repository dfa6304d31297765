"""What processors can compute."""

from typing import Final

BF16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16"})
"""Flags of /proc/cpuinfo that say bfloat16 is computed natively."""

PEAK_FLOPS_PER_CORE: Final = (
    ("amx_bf16", 2.0e12),
    ("avx512_bf16", 3.2e11),
    ("avx512f", 1.6e11),
    ("avx2", 9.6e10),
    ("asimd", 4.0e10),
)
"""Dense operations a second of one core by instruction set, best first, at a sustained 2.5 to 3 GHz.

Two fused multiply-adds of the vector's width a cycle (32-bit lanes, 16-bit where bfloat16 is native); for AMX one tile
product in 16 cycles."""

PEAK_FLOPS_BASELINE: Final = 2.0e10
"""A core without any of those: 128-bit vectors, no fused multiply-add."""

ASSUMED_FLAGS: Final = frozenset({"avx2"})
"""Instructions assumed of a processor that nothing is said of: every x86 server since 2015 has them."""

THREADS_A_CORE: Final = 2
"""Clouds and Kubernetes count logical processors; two share one core's vector units."""


def peak_flops(flags: frozenset[str], cores: float) -> float:
    """Operations a second of that many cores, by the best instruction set they have."""
    each = next((flops for flag, flops in PEAK_FLOPS_PER_CORE if flag in flags), PEAK_FLOPS_BASELINE)
    return each * cores
