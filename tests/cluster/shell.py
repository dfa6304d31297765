"""What a person types: kubectl on their path, with `kubectl finetune` as its plug-in."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.cli import Said
from tests.support.kubernetes.kubectl import Kubectl

PROGRAMS: Final = Path(sys.executable).parent
"""Where kubectl-finetune is installed."""

DEADLINE_SECONDS: Final = 600.0
"""Guards against hanging."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """A person at work in one namespace."""

    folder: Path
    kubeconfig: Path
    namespace: str

    def kubectl(self, *arguments: str, given: Any = None) -> Said:
        """Run a command to its end.

        Args:
            arguments: of kubectl; the namespace comes last.
            given: an object for its standard input.
        """
        path = os.pathsep.join([str(self.folder / "bin"), str(PROGRAMS), os.environ["PATH"]])
        done = subprocess.run(
            ["kubectl", *arguments, "--namespace", self.namespace],  # noqa: S607  found on the path, as a person's is
            cwd=self.folder,
            env={**os.environ, "PATH": path, "KUBECONFIG": str(self.kubeconfig), "COLUMNS": "200"},
            input=None if given is None else json.dumps(given),
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        return Said(code=done.returncode, out=done.stdout, err=done.stderr)


def make_shell(folder: Path, kubectl: Kubectl, namespace: str) -> Shell:
    """One whose path begins with a kubectl that reaches the cluster."""
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "kubectl"
    first, *more = kubectl.program
    # by its place: a kubectl that is found on the path would find this one
    command = shlex.join([shutil.which(first) or first, *more])
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return Shell(folder=folder, kubeconfig=kubectl.kubeconfig, namespace=namespace)
