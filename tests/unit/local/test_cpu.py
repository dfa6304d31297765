"""The processor as a device: what /proc says, less what control groups take."""

import os
from pathlib import Path

import psutil
import pytest

from finetune_operator.api.spec import Accelerator
from finetune_operator.local.cpu import read_cores, read_cpu, read_ram
from finetune_operator.planner.processors import PEAK_FLOPS_BASELINE, peak_flops
from finetune_operator.units import MIB
from tests.unit.local.test_cgroups import V2, lay_out

XEON = (
    "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Platinum 8480+\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16\n"
)
RYZEN = "processor\t: 0\nmodel name\t: AMD Ryzen 7 5800X\nflags\t\t: fpu sse2 avx2\nmodel name\t: another\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd\n"


@pytest.mark.parametrize(
    ("cpuinfo", "product", "bf16"),
    [
        pytest.param(XEON, "Intel(R) Xeon(R) Platinum 8480+", True, id="bfloat16"),
        pytest.param(RYZEN, "AMD Ryzen 7 5800X", False, id="no-bfloat16"),
        pytest.param(ARM, "CPU", False, id="no-name"),
        pytest.param("", "CPU", False, id="nothing-said"),
    ],
)
def test_the_product_is_what_the_kernel_says(tmp_path: Path, cpuinfo: str, product: str, bf16: bool) -> None:  # noqa: FBT001  a table's column
    device = read_cpu(lay_out(tmp_path, {"proc/cpuinfo": cpuinfo}))
    assert (device.accelerator, device.product, device.bf16) == (Accelerator.CPU, product, bf16)


def test_a_machine_without_proc_is_still_a_device(tmp_path: Path) -> None:
    device = read_cpu(tmp_path)
    assert device.product == "CPU"
    assert 0 < device.free <= device.memory == psutil.virtual_memory().total


def test_the_memory_is_what_the_container_may_use(tmp_path: Path) -> None:
    limits = {"sys/fs/cgroup/pods/a/memory.max": str(8 * MIB), "sys/fs/cgroup/pods/a/memory.current": str(2 * MIB)}
    root = lay_out(tmp_path, V2 | limits)
    assert (read_ram(root).total, read_ram(root).free) == (8 * MIB, 6 * MIB)
    assert (read_cpu(root).memory, read_cpu(root).free) == (8 * MIB, 6 * MIB)


def test_a_limit_above_the_machine_changes_nothing(tmp_path: Path) -> None:
    root = lay_out(tmp_path, V2 | {"sys/fs/cgroup/pods/a/memory.max": str(2**59)})
    assert read_ram(root).total == psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("10000 100000", 1), ("100000 100000", 1), ("100000000 100000", len(os.sched_getaffinity(0)))],
    ids=["part-of-a-core", "one-core", "more-than-there-are"],
)
def test_cores_are_those_that_the_quota_leaves(tmp_path: Path, quota: str, cores: int) -> None:
    assert read_cores(lay_out(tmp_path, V2 | {"sys/fs/cgroup/pods/a/cpu.max": quota})) == cores


def test_the_best_instruction_set_decides_and_cores_multiply() -> None:
    speeds = [peak_flops(frozenset({"fpu", flag}), 1) for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2")]
    assert speeds == sorted(speeds, reverse=True)
    assert peak_flops(frozenset({"avx2", "amx_bf16"}), 1) == speeds[0]
    assert peak_flops(frozenset(), 3) == 3 * PEAK_FLOPS_BASELINE < 3 * speeds[-1]
