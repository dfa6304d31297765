"""Images without a registry or a daemon, by buildah; kept as archives that containerd imports."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.support.kubernetes.building import built
from tests.support.kubernetes.node_files import PAUSE_IMAGE
from tests.support.kubernetes.paths import CACHE
from tests.support.kubernetes.programs import PAUSE
from tests.support.kubernetes.rootfs import write_rootfs

STORE: Final = CACHE / "images"
"""Buildah's own storage, and the archives."""

PYTHON_IMAGE: Final = "localhost/python:1"
"""Python and a shell; the build argument for the base of the product's images where none can be pulled."""

PYTHON_FILE: Final = 'FROM scratch\nCOPY . /\nENV PATH=/usr/local/bin:/usr/bin:/bin\nCMD ["python3"]\n'
PAUSE_FILE: Final = 'FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n'


def pause_image() -> Path:
    """What holds a pod's namespaces."""
    return build_image(PAUSE_IMAGE, built(PAUSE), PAUSE_FILE)


def python_image() -> Path:
    """The base image, made anew for another Python or other sources of it."""
    source = Path(write_rootfs.__code__.co_filename).read_bytes()
    key = hashlib.sha256(source + sys.version.encode()).hexdigest()[:8]
    kept = STORE / f"python-{key}.tar"
    if not kept.exists():
        STORE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=STORE) as root:
            Path(root).chmod(0o755)
            write_rootfs(Path(root))
            build_image(PYTHON_IMAGE, Path(root), PYTHON_FILE).rename(kept)
    return kept


def build_image(name: str, context: Path, dockerfile: str, mounts: Sequence[str] = (), **arguments: str) -> Path:
    """Build by that Dockerfile, without pulling anything, and write the archive.

    Args:
        name: tag of the image.
        context: what the Dockerfile copies from.
        dockerfile: its text.
        mounts: there while it is built, and not in the image: source:target:ro.
        arguments: of the build.

    Raises:
        RuntimeError: with the end of what buildah said.
    """
    (STORE / "store").mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=STORE, suffix=".Dockerfile") as file:
        file.write(dockerfile)
        file.flush()
        given = [f"--build-arg={key}={value}" for key, value in arguments.items()]
        where = ("--isolation=chroot", "--network=host", "--pull-never", "--layers", "--file", file.name, "--tag", name)
        _buildah("bud", *where, *given, *(f"--volume={mount}" for mount in mounts), str(context))
    archive = STORE / f"{name.replace('/', '_').replace(':', '_')}.tar"
    archive.unlink(missing_ok=True)
    _buildah("push", name, f"docker-archive:{archive}:{name}")
    return archive


def _buildah(command: str, *arguments: str) -> None:
    program = shutil.which("buildah")
    if not program:
        raise RuntimeError("buildah isn't installed, which builds the images; on Debian: make cluster-packages")
    storage = ("--root", str(STORE / "store"), "--runroot", str(STORE / "run"))
    done = subprocess.run([program, *storage, command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-8:])
        raise RuntimeError(f"buildah {command} {arguments[-1]} says\n{said}")
