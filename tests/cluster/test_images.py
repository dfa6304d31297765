"""Images are built by Dockerfiles, on the base that is made here, and run."""

from pathlib import Path
from typing import Final

import pytest

from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.images import PYTHON_IMAGE, build_image
from tests.support.kubernetes.pods import make_pod, wait_for_phase

DOCKERFILE: Final = """\
ARG BASE=python:3.11-slim
FROM ${BASE}
COPY said.txt /said.txt
RUN python3 -c "import platform; open('/made.txt', 'w').write(platform.python_version())" && chmod 0444 /made.txt
USER 65534
"""


def test_an_image_is_built_by_its_dockerfile_and_runs(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "said.txt").write_text("copied")
    image = build_image("localhost/built:1", tmp_path, DOCKERFILE, BASE=PYTHON_IMAGE)
    cluster.nodes[0].load(image)
    pod = make_pod(namespace, "print(open('/said.txt').read(), open('/made.txt').read())", nodeName="node-1")
    pod["spec"]["containers"][0]["image"] = "localhost/built:1"
    cluster.plane.kubectl.create(pod)
    wait_for_phase(cluster.plane.kubectl, namespace, "Succeeded")
    assert cluster.plane.kubectl.run("logs", "pod", "-n", namespace).startswith("copied 3.")


@pytest.mark.usefixtures("cluster")
def test_a_base_that_is_not_here_is_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="buildah bud"):
        build_image("localhost/none:1", tmp_path, "FROM localhost/none:1\n")
