"""A file system with this machine's Python and a shell: the base of images where no registry is at hand."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

TOOLS: Final = (
    "sh",
    "bash",
    "cat",
    "ls",
    "sleep",
    "mkdir",
    "cp",
    "rm",
    "mv",
    "ln",
    "chmod",
    "env",
    "id",
    "head",
    "tail",
)
"""What a person or a Dockerfile reaches for."""

LEFT_OUT: Final = shutil.ignore_patterns("__pycache__", "test", "idlelib", "config-*", "*.a")
KEPT_PACKAGES: Final = ("pip", "setuptools", "_distutils_hack", "distutils-precedence")
"""Beginnings of what stays in site-packages: what installs the rest."""

LIBRARIES: Final = (
    "libgcc_s.so.1",
    "libstdc++.so.6",
    "libgomp.so.1",
    "libnss_dns.so.2",
    "libnss_files.so.2",
    # parts of glibc by their old names, which programs of wheels ask for
    "libdl.so.2",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libutil.so.1",
)
"""Loaded by name at run time, or by wheels."""

FILES: Final = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}


def write_rootfs(root: Path) -> None:
    """Fill an empty folder, some 100 MB."""
    for folder in ("bin", "etc", "lib64", "proc", "sys", "dev", "run", "root", "usr/bin", "usr/local/bin", "var/tmp"):
        (root / folder).mkdir(parents=True)
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    for name, text in FILES.items():
        (root / name).write_text(text, encoding="utf-8")
    python = _copy_python(root)
    tools = [Path(found) for tool in TOOLS if (found := shutil.which(tool))]
    for tool in tools:
        shutil.copy(tool, root / "bin" / tool.name)
    extensions = (Path(sys.base_prefix) / "lib").rglob("*.so*")
    _copy_libraries(root, [python, *tools, *(e for e in extensions if "site-packages" not in e.parts)])


def _copy_python(root: Path) -> Path:
    prefix = Path(sys.base_prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    inside = root / prefix.relative_to("/")
    standard = Path("lib") / version
    shutil.copytree(prefix / standard, inside / standard, ignore=_without_packages, symlinks=True)
    for library in (prefix / "lib").glob("libpython*"):
        shutil.copy(library, inside / "lib" / library.name, follow_symlinks=False)
    (inside / "bin").mkdir(exist_ok=True)
    shutil.copy(prefix / "bin" / version, inside / "bin" / version)
    for name in ("python3", "python"):
        (root / "usr/local/bin" / name).symlink_to(prefix / "bin" / version)
    return prefix / "bin" / version


def _without_packages(folder: str, names: list[str]) -> set[str]:
    left_out = LEFT_OUT(folder, names)
    if Path(folder).name == "site-packages":
        left_out |= {n for n in names if not n.startswith(KEPT_PACKAGES)}
    return left_out


def _copy_libraries(root: Path, programs: Iterable[Path]) -> None:
    told = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout  # noqa: S607 - PATH's
    cache = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout  # noqa: S607 - PATH's
    found = set(re.findall(r"(/\S+\.so\S*)", told))
    found |= {p for name in LIBRARIES for p in re.findall(rf"{re.escape(name)} .*x86-64.*=> (/\S+)", cache)}
    for library in map(Path, sorted(found)):
        target = root / library.relative_to("/")
        if not target.exists() and library.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)
