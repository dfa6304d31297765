"""One cluster with two nodes for the whole tier."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.product import operator_image, trainer_image
from tests.cluster.site import Site, make_site
from tests.support.kubernetes.binaries import find_command
from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.cluster import cluster as start_cluster
from tests.support.kubernetes.images import python_image
from tests.support.kubernetes.kubectl import Kubectl
from tests.support.kubernetes.paths import ROOT

CRD: Final = ROOT / "crds" / "finetunejobs.finetune-operator.dev.yaml"
RESTRICTED: Final = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes that have the image of Python."""
    folder = tmp_path_factory.mktemp("cluster")
    with start_cluster(folder, find_command(), num_nodes=2, images=[python_image()]) as running:
        yield running


@pytest.fixture(scope="session")
def with_trainer(cluster: Cluster) -> Cluster:
    """With the trainer's image on one node."""
    cluster.nodes[0].load(trainer_image())
    return cluster


@pytest.fixture(scope="session")
def with_images(with_trainer: Cluster) -> Cluster:
    """With the operator's, too."""
    with_trainer.nodes[0].load(operator_image())
    return with_trainer


@pytest.fixture
def kubectl(cluster: Cluster) -> Kubectl:
    """The administrator's."""
    return cluster.plane.kubectl


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """One that no other test uses, and that enforces restricted pods."""
    with new_namespace(kubectl) as name:
        yield name


@pytest.fixture
def site(with_trainer: Cluster, namespace: str, tmp_path: Path) -> Iterator[Site]:
    """Everything but the operator."""
    with_trainer.plane.kubectl.run("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    with new_site(with_trainer, namespace, tmp_path / "volume") as made:
        yield made


@contextmanager
def new_namespace(kubectl: Kubectl) -> Iterator[str]:
    """One that enforces restricted pods, and goes with all that is in it."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kubectl.make_namespace(name, **RESTRICTED)
    yield name
    kubectl.run("delete", "namespace", name)


@contextmanager
def new_site(cluster: Cluster, namespace: str, volume: Path) -> Iterator[Site]:
    """A site in that namespace; its volume stays."""
    kubectl = cluster.plane.kubectl
    yield make_site(kubectl, namespace, cluster.nodes[0].cluster, volume)
    kubectl.run("delete", "pv", f"disk-{namespace}", "--wait=false")
