"""The product's images by their own Dockerfiles, and an operator as a process of this machine."""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.kubernetes.images import PYTHON_IMAGE, STORE, build_image, python_image
from tests.support.kubernetes.network import enter
from tests.support.kubernetes.paths import ROOT

TRAINER_IMAGE: Final = "localhost/finetune-trainer:1"
OPERATOR_IMAGE: Final = "localhost/finetune-operator:1"

CERTIFICATES: Final = "/etc/ssl/certs"

COMMON_SOURCES: Final = ("trainer_image", "pyproject.toml", "constraints.txt")
"""What the trainer runs: it imports nothing of the operator, which an import contract holds."""


def trainer_image() -> Path:
    """The archive of 6 GB; some minutes, and one where nothing but our own sources changed."""
    # the plans of these tests offload nothing, and the base has no compiler
    return _image("trainer", TRAINER_IMAGE, "trainer_image", COMMON_SOURCES, CPU_ADAM="0")


def operator_image() -> Path:
    """The archive of 200 MB."""
    return _image("operator", OPERATOR_IMAGE, "operator", (*COMMON_SOURCES, "operator"))


def _image(kind: str, name: str, folder: str, sources: Sequence[str], **arguments: str) -> Path:
    """Made anew when its sources change."""
    kept = STORE / f"{kind}-{_key(sources)}.tar"
    if not kept.exists():
        python_image()
        text = (ROOT / folder / "Dockerfile").read_text(encoding="utf-8")
        for old in STORE.glob(f"{kind}-*.tar"):
            old.unlink()
        with tempfile.TemporaryDirectory() as made:
            mounts = _installers(Path(made))
            build_image(name, ROOT, text, mounts, BASE=PYTHON_IMAGE, **arguments).rename(kept)
    return kept


def _installers(folder: Path) -> tuple[str, ...]:
    """How this machine's pip and uv reach packages: certificates and settings, of which the base has none."""
    settings = {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in os.environ.items()
        if name.startswith("PIP_")
    }
    (folder / "pip.conf").write_text(
        "[global]\n" + "".join(f"{k} = {v}\n" for k, v in settings.items()), encoding="utf-8"
    )
    (folder / "uv.toml").write_text("native-tls = true\n", encoding="utf-8")
    local = [p for p in settings.get("find-links", "").split() if Path(p).is_dir()]
    return (
        f"{folder / 'pip.conf'}:/etc/pip.conf:ro",
        f"{folder / 'uv.toml'}:/etc/uv/uv.toml:ro",
        *(f"{path}:{path}:ro" for path in (CERTIFICATES, *local) if Path(path).is_dir()),
    )


def _key(sources: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for source in sources for p in _files(ROOT / source)):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:8]


def _files(source: Path) -> Iterator[Path]:
    yield from [source] if source.is_file() else source.rglob("*.py")
    if source.is_dir():
        yield from source.glob("Dockerfile")


@contextmanager
def operator(network: str, kubeconfig: Path, namespace: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The operator's own process, outside of any pod and in the cluster's network, for one namespace."""
    flags = {
        "--kubeconfig": str(kubeconfig),
        "--namespaces": namespace,
        "--lease-namespace": namespace,
        "--trainer-image": TRAINER_IMAGE,
        "--trainer-pull-policy": "Never",
        "--trainer-grace": "60s",
        "--health-host": "127.0.0.1",
        "--health-port": str(20000 + os.getpid() % 20000),
        "--log-format": "text",
    }
    command = [
        *enter(network),
        sys.executable,
        "-m",
        "finetune_operator",
        *(part for pair in flags.items() for part in pair),
    ]
    with log.open("ab") as out, subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out) as process:
        try:
            yield process
        finally:
            process.kill()
