"""One control plane for the whole tier; each test has a namespace of its own."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.kubernetes.binaries import find_command
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.control_plane import control_plane as start_control_plane
from tests.support.kubernetes.kubectl import Kubectl
from tests.support.kubernetes.kwok import kwok as start_kwok

GIVEN: Final = "TEST_KUBECONFIG"
"""Environment variable: kubeconfig of a cluster that may be used up. Not KUBECONFIG, whose cluster may matter."""


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of our own, without any node: for tests that read its audit log or end its programs."""
    with start_control_plane(tmp_path_factory.mktemp("control-plane"), find_command()) as running:
        yield running


@pytest.fixture(scope="session")
def kwok(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane, with kwok: nodes that a test creates come alive, and their pods seem to run."""
    with start_kwok(control_plane):
        yield control_plane


@pytest.fixture(scope="session")
def kubectl(request: pytest.FixtureRequest) -> Kubectl:
    """Administrator of the cluster that was given, else of our own control plane."""
    if given := os.environ.get(GIVEN):
        return Kubectl(program=("kubectl",), kubeconfig=Path(given).absolute())
    own: ControlPlane = request.getfixturevalue("control_plane")
    return own.kubectl


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """One that no other test uses."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kubectl.make_namespace(name)
    yield name
    kubectl.run("delete", "namespace", name, "--wait=false")
