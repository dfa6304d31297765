"""Builds a program once and keeps it."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.support.kubernetes.paths import CACHE, SOURCES
from tests.support.kubernetes.programs import KUBE, Program
from tests.support.kubernetes.toolchain import environment, find_go

NAMED_LINES: Final = 8
"""How much of what the compiler said is repeated."""


class BuildError(RuntimeError):
    """Go said no."""


def built(program: Program) -> Path:
    """The folder with the program's binaries, built now if it isn't there yet.

    Raises:
        BuildError: with the end of what Go said.
        NoGoError: there is none to build it with.
    """
    if not program.folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix=f".{program.name}-") as work:
            _keep(_build(program, Path(work)), program.folder)
    return program.folder


def _build(program: Program, work: Path) -> Path:
    binaries = work / "bin"
    binaries.mkdir()
    if program.packages:
        _install(program, binaries)
    else:
        _compile_own(program, work / "source", binaries)
    return binaries


def _keep(binaries: Path, folder: Path) -> None:
    # Whoever else built the same meanwhile has built the same: the first one stays.
    try:
        binaries.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def _install(program: Program, binaries: Path) -> None:
    targets = [f"{package}@v{program.version}" for package in program.packages]
    flags = ["-trimpath", "-ldflags", "-s -w", *(["-tags", program.tags] if program.tags else [])]
    _go(["install", *flags, *targets], program, {"GOBIN": str(binaries)})


def _compile_own(program: Program, source: Path, binaries: Path) -> None:
    shutil.copytree(SOURCES / program.name, source)
    render = _render_kubernetes if program.name == KUBE else _render_module
    (source / "go.mod").write_text(render(program), encoding="utf-8")
    _go(["mod", "tidy"], program, folder=source)
    stamp = [
        f"-X k8s.io/{module}.gitVersion=v{program.version}"
        for module in ("component-base/version", "client-go/pkg/version")
    ]
    flags = ["-trimpath", "-ldflags", " ".join(["-s", "-w", *stamp])]
    _go(["build", *flags, "-o", str(binaries / program.name), "."], program, folder=source)


def _render_module(program: Program) -> str:
    """go.mod of a module that requires its pins."""
    pins = (f"require {pin}" for pin in program.pins)
    return "\n".join([f"module finetune.test/{program.name}", "go 1.26", *pins, ""])


def _render_kubernetes(program: Program) -> str:
    """go.mod: Kubernetes replaces its staging modules by folders, for which we name the published versions."""
    downloaded = json.loads(_go(["mod", "download", "-json", f"k8s.io/kubernetes@v{program.version}"], program))
    upstream: dict[str, Any] = json.loads(_go(["mod", "edit", "-json", downloaded["GoMod"]], program))
    staging = "v0." + program.version.split(".", 1)[1]
    replaced = [r["Old"]["Path"] for r in upstream["Replace"]]
    return "\n".join(
        [
            f"module finetune.test/{program.name}",
            f"go {upstream['Go']}",
            *(f"require {pin}" for pin in program.pins),
            f"require k8s.io/kubernetes v{program.version}",
            *(f"require k8s.io/{name} {staging}" for name in ("component-base", "kubectl")),
            *(f"replace {module} => {module} {staging}" for module in replaced),
            "",
        ]
    )


def _go(
    arguments: Sequence[str], program: Program, extra: Mapping[str, str] | None = None, folder: Path | None = None
) -> str:
    command = ["nice", str(find_go()), *arguments]
    done = subprocess.run(
        command,
        cwd=folder or CACHE,
        env={**environment(cgo=program.cgo), **(extra or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-NAMED_LINES:])
        raise BuildError(f"{program.name} {program.version} can't be built: go {arguments[0]} says\n{said}")
    return done.stdout
