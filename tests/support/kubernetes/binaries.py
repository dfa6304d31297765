"""Where Kubernetes' own programs come from: built here, or a folder that a person has."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.support.kubernetes.building import built
from tests.support.kubernetes.programs import DEFAULT_RELEASE, kube

ASSETS: Final = "KUBEBUILDER_ASSETS"
"""Environment variable: a folder of programs, as envtest has it."""

CONTROL_PLANE: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")

Command = Callable[[str], tuple[str, ...]]
"""From a program's name to what starts it."""


class MissingProgramError(RuntimeError):
    """A folder that was given lacks a program."""


def find_command() -> Command:
    """Programs of KUBEBUILDER_ASSETS where it is set, else of the release that KUBERNETES names, built now if need be.

    Raises:
        MissingProgramError: the folder lacks one of the control plane's programs.
    """
    if assets := os.environ.get(ASSETS):
        return _of_folder(Path(assets))
    binary = built(kube(os.environ.get("KUBERNETES", DEFAULT_RELEASE))) / "kube"
    return lambda name: (str(binary), name)


def _of_folder(folder: Path) -> Command:
    for name in CONTROL_PLANE:
        if not shutil.which(name, path=folder):
            raise MissingProgramError(
                f"{ASSETS}={folder}: no {name} there, without which no pod is made or placed; "
                f"add it, or unset {ASSETS} so that the tests build their own"
            )
    return lambda name: (str(folder / name),)
