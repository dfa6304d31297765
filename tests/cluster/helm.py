"""The chart, by helm."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.cluster.product import OPERATOR_IMAGE, TRAINER_IMAGE
from tests.support.kubernetes.building import built
from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.network import enter
from tests.support.kubernetes.paths import ROOT
from tests.support.kubernetes.programs import HELM

CHART: Final = ROOT / "helm" / "finetune-operator"
DEADLINE_SECONDS: Final = 600.0
"""Guards against hanging."""

IMAGES: Final[dict[str, Any]] = {
    "image": {
        "repository": OPERATOR_IMAGE.partition(":")[0],
        "tag": OPERATOR_IMAGE.partition(":")[2],
        "pullPolicy": "Never",
    },
    "trainer": {"image": TRAINER_IMAGE, "pullPolicy": "Never", "grace": "60s"},
    "nodeSelector": {"kubernetes.io/hostname": "node-1"},
}
"""Values for a cluster without a registry, whose first node has them."""


class HelmError(RuntimeError):
    """Helm said no; the message is what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Helm:
    """Helm with a home of its own."""

    home: Path
    before: tuple[str, ...] = ()
    """What it is started through."""
    kubeconfig: Path = Path("/dev/null")

    def run(self, *arguments: str, values: dict[str, Any] | None = None) -> str:
        """What it printed.

        Raises:
            HelmError: it didn't exit with 0.
        """
        given = ["--values", "-"] if values is not None else []
        done = subprocess.run(
            [*self.before, str(built(HELM) / "helm"), *arguments, *given],
            input=yaml.safe_dump(values or {}),
            env={"HOME": str(self.home), "KUBECONFIG": str(self.kubeconfig), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        if done.returncode:
            raise HelmError((done.stderr + done.stdout).strip())
        return done.stdout

    def template(self, values: dict[str, Any], namespace: str = "finetune-system") -> list[dict[str, Any]]:
        """What would be installed, object by object."""
        said = self.run("template", "finetune-operator", str(CHART), "--namespace", namespace, values=values)
        return [o for o in yaml.safe_load_all(said) if o]


def helm_of(cluster: Cluster, home: Path) -> Helm:
    """The administrator's."""
    return Helm(home=home, before=enter(cluster.nodes[0].cluster), kubeconfig=cluster.plane.kubeconfig)
