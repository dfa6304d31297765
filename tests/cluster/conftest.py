"""One cluster with two nodes for the whole tier."""

import uuid
from collections.abc import Iterator

import pytest

from tests.support.kubernetes.binaries import find_command
from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.cluster import cluster as start_cluster
from tests.support.kubernetes.images import python_image
from tests.support.kubernetes.kubectl import Kubectl


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes that have the image of Python."""
    folder = tmp_path_factory.mktemp("cluster")
    with start_cluster(folder, find_command(), num_nodes=2, images=[python_image()]) as running:
        yield running


@pytest.fixture
def kubectl(cluster: Cluster) -> Kubectl:
    """The administrator's."""
    return cluster.plane.kubectl


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """One that no other test uses, and that enforces restricted pods."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kubectl.make_namespace(name, **{"pod-security.kubernetes.io/enforce": "restricted"})
    yield name
    kubectl.run("delete", "namespace", name)
