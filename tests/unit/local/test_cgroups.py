"""Limits of control groups, read from files laid out as the kernel does."""

from pathlib import Path

import pytest

from finetune_operator.local.cgroups import read_cpu_quota, read_memory_limit
from finetune_operator.units import GIB, MIB

UNLIMITED_V1 = "9223372036854771712"


def lay_out(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    return root


V2 = {"proc/self/cgroup": "0::/pods/a"}
V1 = {"proc/self/cgroup": "5:memory:/pods/a\n4:cpu,cpuacct:/pods/a\n1:name=systemd:/\n0::/"}


def quota_v1(quota: str) -> dict[str, str]:
    folder = "sys/fs/cgroup/cpu/pods/a"
    return V1 | {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000"}


@pytest.mark.parametrize(
    ("files", "limit", "free"),
    [
        pytest.param(
            V2
            | {
                "sys/fs/cgroup/pods/a/memory.max": str(4 * GIB),
                "sys/fs/cgroup/pods/a/memory.current": str(3 * GIB),
                "sys/fs/cgroup/pods/a/memory.stat": f"anon {GIB}\ninactive_file {GIB}",
            },
            4 * GIB,
            2 * GIB,
            id="v2-page-cache-counts-as-free",
        ),
        pytest.param(
            V2
            | {
                "sys/fs/cgroup/pods/a/memory.max": "max",
                "sys/fs/cgroup/pods/memory.max": str(8 * GIB),
                "sys/fs/cgroup/pods/memory.current": str(GIB),
            },
            8 * GIB,
            7 * GIB,
            id="v2-limit-of-a-group-above",
        ),
        pytest.param(
            V2
            | {
                "sys/fs/cgroup/pods/a/memory.max": str(4 * GIB),
                "sys/fs/cgroup/pods/a/memory.current": "0",
                "sys/fs/cgroup/pods/memory.max": str(8 * GIB),
                "sys/fs/cgroup/pods/memory.current": str(7 * GIB),
            },
            4 * GIB,
            GIB,
            id="v2-neighbours-have-taken-more-than-our-own-limit-leaves",
        ),
        pytest.param(
            V2
            | {
                "sys/fs/cgroup/pods/a/memory.max": str(MIB),
                "sys/fs/cgroup/pods/a/memory.current": str(2 * MIB),
            },
            MIB,
            0,
            id="v2-more-used-than-allowed",
        ),
        pytest.param(
            V1
            | {
                "sys/fs/cgroup/memory/pods/a/memory.limit_in_bytes": str(4 * GIB),
                "sys/fs/cgroup/memory/pods/a/memory.usage_in_bytes": str(3 * GIB),
                "sys/fs/cgroup/memory/pods/a/memory.stat": f"total_inactive_file {2 * GIB}",
            },
            4 * GIB,
            3 * GIB,
            id="v1",
        ),
        pytest.param(
            V1
            | {
                "sys/fs/cgroup/memory/memory.limit_in_bytes": str(4 * GIB),
                "sys/fs/cgroup/memory/memory.usage_in_bytes": str(GIB),
            },
            4 * GIB,
            3 * GIB,
            id="v1-in-a-container-whose-own-group-is-mounted-as-the-root",
        ),
    ],
)
def test_the_tightest_limit_counts(tmp_path: Path, files: dict[str, str], limit: int, free: int) -> None:
    found = read_memory_limit(lay_out(tmp_path, files))
    assert found is not None
    assert (found.limit, found.free) == (limit, free)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({}, id="no-control-groups"),
        pytest.param(V2, id="v2-without-limits"),
        pytest.param(V2 | {"sys/fs/cgroup/pods/a/memory.max": "max"}, id="v2-max"),
        pytest.param(V1 | {"sys/fs/cgroup/memory/pods/a/memory.limit_in_bytes": UNLIMITED_V1}, id="v1-unlimited"),
        pytest.param(V2 | {"sys/fs/cgroup/elsewhere/memory.max": "1"}, id="limit-of-another-group"),
    ],
)
def test_no_limit_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    assert read_memory_limit(lay_out(tmp_path, files)) is None


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        pytest.param(V2 | {"sys/fs/cgroup/pods/a/cpu.max": "150000 100000"}, 1.5, id="v2"),
        pytest.param(V2 | {"sys/fs/cgroup/pods/a/cpu.max": "max 100000"}, None, id="v2-max"),
        pytest.param(
            V2 | {"sys/fs/cgroup/pods/a/cpu.max": "max 100000", "sys/fs/cgroup/pods/cpu.max": "400000 100000"},
            4.0,
            id="v2-of-a-group-above",
        ),
        pytest.param(
            quota_v1("50000"),
            0.5,
            id="v1",
        ),
        pytest.param(
            quota_v1("-1"),
            None,
            id="v1-unlimited",
        ),
        pytest.param({}, None, id="no-control-groups"),
    ],
)
def test_the_quota_is_in_cores(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    assert read_cpu_quota(lay_out(tmp_path, files)) == quota
